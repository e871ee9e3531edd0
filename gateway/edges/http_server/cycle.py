"""One request and its response: what the ASGI application is given to receive and send with.

An application that returns, or raises, after it has begun a response and before it has ended it, cuts the
connection: the caller sees a broken transfer, never a clean end. `send` after the caller has gone does nothing and
raises nothing (ASGI allows that): who must know waits for `http.disconnect` in `receive`. A body that was cut short,
or is garbled, ends in `http.disconnect` too, never in `more_body: False`.
"""

import asyncio
import http
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol

Message = MutableMapping[str, Any]
Application = Callable[..., Awaitable[None]]

logger = logging.getLogger(__name__)

# How much of a body may wait for the application before the caller has to.
HIGH_WATER_BYTES = 64 * 1024
# Up to so many bytes are copied, to leave in one system call with what stands before them.
COPY_BYTES = 64 * 1024
STATUS_LINES = {
    status: b"HTTP/1.1 %d %b\r\n"
    % (status, http.HTTPStatus(status).phrase.encode() if status in {each.value for each in http.HTTPStatus} else b"")
    for status in range(200, 600)
}
_OURS = frozenset({b"content-length", b"transfer-encoding", b"connection", b"keep-alive"})
_NUL = 0  # a byte is found in bytes far sooner than bytes are
_DISCONNECT = {"type": "http.disconnect"}


class Line(Protocol):
    """The connection, as far as a cycle needs it."""

    write_paused: bool

    def write(self, data: bytes) -> None:
        """Send bytes to the caller."""

    def write_all(self, parts: list[bytes], *, large: bool) -> None:
        """Send these bytes to the caller, at once; `large` where they are too many to copy."""

    def soon(self, call: Callable[[], None]) -> None:
        """Do something when the application lets go."""

    async def writable(self) -> None:
        """Wait while the caller does not keep up."""

    def want_body(self) -> None:
        """Read on."""

    def finished(self, cycle: "Cycle") -> None:
        """Take the end of a response that is whole."""

    def cut(self, *, abruptly: bool) -> None:
        """Close without an end; abruptly where an orderly close would look like one."""


class Cycle:
    """One request and its response."""

    # Defaults live on the class, so that a request only pays for what it sets.
    disconnected = False
    started = False
    complete = False
    more_body = True
    _told_end = False
    _chunked = False
    _until_close = False
    _left = 0
    _head = b""
    _waiter: asyncio.Future[None] | None = None
    backlog = 0

    def __init__(
        self, line: Line, scope: Message, *, keep_alive: bool, more_body: bool, expects_continue: bool
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.more_body = more_body
        self._line = line
        self._method: str = scope["method"]
        self._ask = expects_continue
        self._chunks: list[bytes] = []
        self._no_body = self._method == "HEAD"

    # What the connection calls.

    def body(self, data: bytes) -> None:
        """Take a piece of the request's body."""
        self._chunks.append(data)
        self.backlog += len(data)
        if self._waiter is not None:
            self._wake()

    def body_end(self) -> None:
        """Take the body's end."""
        self.more_body = False
        if self._waiter is not None:
            self._wake()

    def disconnect(self) -> None:
        """Take it that the caller has gone, or that its body cannot be completed."""
        self.disconnected = True
        self._wake()

    async def run(self, app: Application) -> None:
        """Serve the request."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._line.cut(abruptly=self._until_close)
            raise
        except Exception:
            logger.exception("the application failed")
        if self.complete or self.disconnected:
            return
        if self.started:
            self._line.cut(abruptly=self._until_close)
        else:
            await self._internal_error()

    # What the application calls.

    async def receive(self) -> Message:
        """ASGI receive."""
        if self._ask:
            self._ask = False
            if not self.disconnected and not self.started:
                self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.disconnected or self.complete):
            if self._chunks or (not self.more_body and not self._told_end):
                chunks, self._chunks, self.backlog = self._chunks, [], 0
                self._told_end = not self.more_body
                self._line.want_body()
                body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                return {"type": "http.request", "body": body, "more_body": self.more_body}
            self._line.want_body()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return _DISCONNECT.copy()

    async def send(self, message: Message) -> None:
        """ASGI send."""
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.started and not self.complete:
            self._send_body(message.get("body", b""), last=not message.get("more_body", False))
            if self._line.write_paused and not self.complete:
                await self._line.writable()
        elif kind == "http.response.start" and not self.started:
            self._send_head(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{kind} is out of turn")

    # How the response is framed.

    def _send_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        parts, breaks = [STATUS_LINES[status]], 2
        length: int | None = None
        for name, value in headers:
            lower = name.lower()
            if lower in _OURS:
                if lower == b"content-length":
                    if length is not None:
                        raise RuntimeError("two content-length headers")
                    length = int(value)
                elif lower == b"connection" and b"close" in value.lower():
                    self.keep_alive = False
                continue
            parts += (lower, b": ", value, b"\r\n")
            breaks += 1
        if status in (204, 304):
            self._no_body = True
        if length is not None and status != 204:  # noqa: PLR2004 RFC 9110 §8.6: 304 and HEAD tell it, 204 may not
            parts.append(b"content-length: %d\r\n" % length)
            breaks += 1
        framed = self._no_body or length is not None
        chunked = not framed and self.scope["http_version"] == "1.1"
        if chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
            breaks += 1
        # A caller who was never asked for its body may send it or not: nothing can follow on this connection.
        if not self.keep_alive or not (framed or chunked) or self._ask:
            self.keep_alive = False
            parts.append(b"connection: close\r\n")
            breaks += 1
        parts.append(b"\r\n")
        head = b"".join(parts)
        if head.count(b"\n") != breaks or head.count(b"\r") != breaks or _NUL in head:
            raise RuntimeError("a line break or NUL in a response header")
        self.started = True
        self._ask = False
        self._left = length or 0
        self._chunked = chunked
        self._until_close = not (framed or chunked)
        # A body that is there already goes out in the same packet; one that is not does not keep the head waiting.
        self._head = head
        self._line.soon(self._send_head_alone)

    def _send_head_alone(self) -> None:
        head, self._head = self._head, b""
        if head and not self.disconnected:
            self._line.write(head)

    def _send_body(self, body: bytes, *, last: bool) -> None:
        head, self._head = self._head, b""
        parts = [head] if head else []
        if self._no_body:
            pass
        elif self._chunked:
            if body:
                parts += (b"%x\r\n" % len(body), body, b"\r\n")
            if last:
                parts.append(b"0\r\n\r\n")
        elif body:
            parts.append(body)
        if not (self._no_body or self._chunked or self._until_close):
            self._left -= len(body)
            if self._left < 0 or (last and self._left):
                self._line.write(head)
                raise RuntimeError("the response's body differs from its content-length")
        if parts:
            self._line.write_all(parts, large=len(body) > COPY_BYTES)
        if last:
            self.complete = True
            if self._waiter is not None:
                self._wake()
            self._line.finished(self)

    async def _internal_error(self) -> None:
        self.keep_alive = False
        text = b"Internal Server Error"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": text})

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
