"""Keeps the reply of a call with an Idempotency-Key on its way to the caller, before its end is let go."""

import hashlib

import structlog

from gateway.edges.proxy.asgi import Message, Scope, Send
from gateway.flows.first_call import FirstCalls
from gateway.ledger.faults import StoreUnavailable
from gateway.wire import kept_reply
from gateway.wire.headers import Headers

FIRST_ERROR_STATUS = 400

log = structlog.get_logger()


class Keeping:
    """One claimed call. `send` takes the place of the caller's; `close` gives an unused claim back."""

    def __init__(self, first_calls: FirstCalls, *, account_id: str, key: str, hold_id: str, send: Send) -> None:
        self._first_calls = first_calls
        self._account_id = account_id
        self._key = key
        self._hold_id = hold_id
        self._send = send
        self._status = 0
        self._closed = False
        self._headers: Headers = []
        self._body: bytearray | None = bytearray()

    async def send(self, message: Message) -> None:
        """Passes the message on; the last one of a reply that cost something after the reply was kept."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
        elif self._succeeds:
            await self._take(message["body"], ended=not message["more_body"])
        elif not message["more_body"]:
            await self.close()  # before the caller can know, who may try again at once
        await self._send(message)

    @property
    def _succeeds(self) -> bool:
        return 0 < self._status < FIRST_ERROR_STATUS

    async def close(self) -> None:
        """After the call: one that was refused, or answered with an error, makes room for the next. Idempotent."""
        if self._succeeds or self._closed:
            return
        self._closed = True
        try:
            await self._first_calls.forget(self._account_id, self._key, hold_id=self._hold_id)
        except StoreUnavailable as away:
            # The claim refers to a hold that was never charged, which lets the next call through as well.
            log.warning("an idempotency key was not given back", request_id=self._hold_id, why=away.reason)

    async def _take(self, chunk: bytes, *, ended: bool) -> None:
        if self._body is None:
            return
        self._body += chunk
        if len(self._body) > kept_reply.MOST_BYTES:
            self._body = None
        elif ended:
            reply = kept_reply.pack(self._status, self._headers, bytes(self._body))
            try:
                await self._first_calls.keep(self._account_id, self._key, hold_id=self._hold_id, reply=reply)
            except StoreUnavailable as away:
                log.warning("a first reply was not kept", request_id=self._hold_id, why=away.reason)


def request_digest(scope: Scope, priced_by: bytes) -> bytes:
    """What tells two requests with one key apart: method, target, and what of the body decides the price.

    Of a form these are its fields, not its file: its boundary differs with every attempt of one and the same call.
    """
    told = hashlib.sha256()
    for part in (scope["method"].encode(), scope["raw_path"], scope["query_string"], priced_by):
        told.update(b"%d:" % len(part))
        told.update(part)
    return told.digest()
