"""Endpoints behind a door, as routes: who asks, what is asked, whether it is a repeat or an edit of something stale.

The order is the same everywhere: authenticate and count, read the query, read the body, tell a repeat by its
Idempotency-Key, answer, comparing If-Match as the change is written. Nothing is read of whom the door does not let in.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.books.faults import BooksUnavailable
from gateway.edges.api.checked import body_of, etag_matches, header_once, only_known, read_body, read_query
from gateway.edges.api.endpoint import Answered, Ask, Document, Door, Endpoint, Refuse
from gateway.edges.api.faults import fault_reply
from gateway.edges.api.json_reply import json_reply, new_request_id, problem_reply
from gateway.flows.faults import CallerFault
from gateway.flows.first_call import Repeat
from gateway.flows.first_change import EditedByAnother, FirstChanges
from gateway.wire.kept_reply import pack, unpack
from gateway.wire.problems import Fault, ProblemReply

LONGEST_KEY: Final = 255
PRODUCTS_ONLY: Final = "This API key is for some products only: it may not change billing, and not see or change keys."
# Nothing was changed, and asking again may end otherwise.
_NOT_DONE: Final = {402, 412}
_KEPT_HEADERS: Final = {b"content-type", b"cache-control", b"etag"}
_REPEATS: Final[Mapping[Repeat, tuple[Fault, str | None]]] = {
    Repeat.IN_PROGRESS: (Fault.IDEMPOTENCY_IN_PROGRESS, None),
    Repeat.MISMATCH: (Fault.IDEMPOTENCY_MISMATCH, None),
    Repeat.NOT_KEPT: (
        Fault.IDEMPOTENCY_REPLY_GONE,
        "The first request with this key was not answered to its end: look whether it was done, then use a new key.",
    ),
}


def routes_of(endpoints: Iterable[Endpoint], door: Door, changes: FirstChanges) -> list[Route]:
    """A route per path, for all its methods, so that any other method is told which there are."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [
        Route(path, _served(methods, Served(door, changes)), methods=list(methods)) for path, methods in by_path.items()
    ]


def etag_of(document: Document) -> str:
    """A strong ETag: of what is told, not of when."""
    return f'"{hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]}"'


def _served(methods: dict[str, Endpoint], served: "Served") -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        # Starlette serves HEAD wherever GET is served.
        method = "GET" if request.method == "HEAD" and "HEAD" not in methods else request.method
        return await served.answer(methods[method], request)

    return endpoint


class Served:
    """What all endpoints behind one door have in common."""

    def __init__(self, door: Door, changes: FirstChanges) -> None:
        self._door = door
        self._changes = changes

    async def answer(self, endpoint: Endpoint, request: Request) -> Response:
        """Every request gets an answer: of the endpoint, or a problem."""
        request_id = new_request_id()
        headers: Sequence[tuple[bytes, bytes]] = ()
        try:
            who = await self._door.who(request, request_id)
            headers = who.headers
            ask = Ask(request, request_id, who)
            response = await self._checked(endpoint, ask)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            response = _told(error, request, request_id)
        response.headers["x-request-id"] = request_id
        response.raw_headers.extend(headers)
        return response

    async def _checked(self, endpoint: Endpoint, ask: Ask) -> Response:
        """The answer to a request that can be read. Refuse, or whatever the endpoint raises."""
        request, query, body, raw = ask.request, None, None, b""
        if endpoint.whole_key and ask.caller.products is not None:
            raise Refuse(Fault.KEY_NOT_ALLOWED, PRODUCTS_ONLY)
        if endpoint.query is not None and endpoint.query_is_read:
            query = read_query(endpoint.query, request)
        elif self._door.name is not None and not endpoint.more_is_sent:
            only_known(endpoint.query, request)
        if endpoint.body is not None and endpoint.body_is_read:
            raw = await body_of(request)
            kind = header_once(request.headers, request.headers.raw, "content-type")
            # In a thread: strict reading of 64 KiB takes milliseconds.
            body = await asyncio.to_thread(read_body, endpoint.body, raw, kind)
        ask = Ask(request, ask.request_id, ask.who, query, body)
        if not endpoint.changes:
            return await _read(endpoint, ask)
        key = header_once(request.headers, request.headers.raw, "idempotency-key")
        if key is None:
            return await self._edited(endpoint, ask)
        if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
            raise Refuse(Fault.BAD_REQUEST, f"Idempotency-Key must be 1 to {LONGEST_KEY} printable ASCII characters")
        return await self._once(endpoint, ask, key, raw)

    async def _once(self, endpoint: Endpoint, ask: Ask, key: str, raw: bytes) -> Response:
        """The change, made once for its key; a repeat gets the first answer. What was not made may be asked again."""
        scope, claim_id = ask.who.scope, ask.request_id
        claim = await self._changes.claim(scope, key, claim_id=claim_id, digest=_digest(ask.request, raw))
        if isinstance(claim, Repeat):
            raise Refuse(*_REPEATS[claim])
        if claim is not None:
            return problem_reply(unpack(claim))
        try:
            with self._changes.noting(scope, key, claim_id=claim_id):
                response = await self._edited(endpoint, ask)
        except (CallerFault, Refuse, Answered, EditedByAnother) as error:
            response = _told(error, ask.request, ask.request_id)
        except Exception:
            # With the books away the claim stays until it passes for dead.
            with suppress(BooksUnavailable):
                await self._changes.fail(scope, key, claim_id=claim_id)
            raise
        if response.status_code in _NOT_DONE:
            await self._changes.forget(scope, key, claim_id=claim_id)
        else:
            headers = [(name, value) for name, value in response.raw_headers if name in _KEPT_HEADERS]
            kept = pack(response.status_code, headers, bytes(response.body))
            await self._changes.keep(scope, key, claim_id=claim_id, reply=kept)
        return response

    async def _edited(self, endpoint: Endpoint, ask: Ask) -> Response:
        """The change, if what it is meant for still stands as the caller has read it."""
        if endpoint.edits is None:
            return _response(endpoint, await endpoint.answer(ask))
        expected = ask.request.headers.get("if-match")
        fits = None if expected is None else partial(etag_matches, expected)
        edits = endpoint.edits

        async def tag() -> str:
            return etag_of(await edits(ask))

        with self._changes.edit(ask.about_id, tag, fits=fits) as edit:
            response = _response(endpoint, await endpoint.answer(ask))
        if edit.tag is not None:
            response.headers["etag"] = edit.tag
        return response


async def _read(endpoint: Endpoint, ask: Ask) -> Response:
    if endpoint.edits is None:
        return _response(endpoint, await endpoint.answer(ask))
    # First the ETag: of what is changed in between it is then the older one, which a change does not pass with.
    etag = None if endpoint.edits is endpoint.answer else etag_of(await endpoint.edits(ask))
    answer = await endpoint.answer(ask)
    response = _response(endpoint, answer)
    if etag is None and not isinstance(answer, Response):
        etag = etag_of(answer)
    response.headers["etag"] = etag or ""
    return response


def _response(endpoint: Endpoint, answer: Document | Response) -> Response:
    return answer if isinstance(answer, Response) else json_reply(answer, status=endpoint.status)


def _told(error: Exception, request: Request, request_id: str) -> Response:
    reply: ProblemReply = fault_reply(error, request_id=request_id, method=request.method, path=request.url.path)
    return problem_reply(reply)


def _digest(request: Request, raw: bytes) -> bytes:
    """What two requests with one key must have in common."""
    target = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(target + raw).digest()
