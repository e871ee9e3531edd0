"""One connection to an upstream: writes a request, feeds the reply, and knows whether it may be used again.

It is used again only when request and answer both ended cleanly and nothing came behind. It does not choose
connections, and it does not keep time itself: the pool compares `deadline` with the clock now and then.
"""

import asyncio
import math
import select
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol, cast

from gateway.upstream.answer import RequestBody
from gateway.upstream.faults import BodyMismatch, UpstreamBroken, UpstreamFault, UpstreamTimeout
from gateway.upstream.reply import Garbled, Reply
from gateway.upstream.request_head import RequestHead

# An unread answer may take this much memory per call; then the upstream has to wait.
READ_HIGH_WATER_BYTES = 256 * 1024
COPY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTimeouts:
    """How long to wait, in seconds. They are looked at by a coarse timer and may be a quarter late.

    `first_byte_s` runs from the end of the request; `between_bytes_s` while an answer is under way, or while the
    upstream takes no more of a request. Neither runs while we wait for the caller.
    """

    connect_s: float = 5.0
    pool_wait_s: float = 5.0
    first_byte_s: float = 120.0
    between_bytes_s: float = 60.0


class Owner(Protocol):
    """Who hands connections out."""

    def released(self, connection: "Connection") -> None:
        """Take back a connection that can serve the next call."""

    def dropped(self, connection: "Connection") -> None:
        """Forget a connection. Told once."""


class Connection(asyncio.Protocol):
    """A transport with at most one call on it."""

    def __init__(self, owner: Owner, timeouts: UpstreamTimeouts, loop: asyncio.AbstractEventLoop) -> None:
        self.deadline = math.inf
        self.reply: Reply | None = None
        self.used = False
        self.gone = False
        self._owner = owner
        self._timeouts = timeouts
        self.loop = loop
        self.now: Callable[[], float] = loop.time
        self._transport: asyncio.Transport | None = None
        self._readable = select.poll()
        self._reading_paused = False
        self._writable: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None

    # What the pool uses.

    @property
    def alive(self) -> bool:
        """Whether nothing has happened on an idle connection: no end, no error, no byte nobody asked for.

        The socket is asked, since the event loop may not have come round to it yet.
        """
        transport = self._transport
        if self.gone or transport is None or transport.is_closing():
            return False
        return not self._readable.poll(0)

    def send(self, head: RequestHead, body: RequestBody, reply: Reply) -> None:
        """Begin a call. The reply tells its head, or the fault, by `reply.begun`."""
        transport = self._transport
        if transport is None or self.gone:
            reply.fail(UpstreamBroken("connection lost"))
            return
        self.used = True
        self.reply = reply
        reply.attach(on_drained=None, on_close=self.abandon)
        if body is None or isinstance(body, bytes):
            # One write is one system call; only what is large is worth not copying.
            if body and len(body) > COPY_BYTES:
                transport.writelines((head.data, body))
            else:
                transport.write(head.data + body if body else head.data)
            self.deadline = self.now() + self._timeouts.first_byte_s
        else:
            transport.write(head.data)
            self.deadline = math.inf
            self._pump = self.loop.create_task(self._send_body(aiter(body), head, reply))

    def abandon(self) -> asyncio.Future[None] | None:
        """Cut the call short, now. Gives what to wait for until the body's iterator is closed as well."""
        pump = self._pump
        if self.reply is not None:
            self.drop()
        return pump if pump is not None and not pump.done() else None

    def expire(self) -> None:
        """End what has taken too long: a call, or an idle connection's life."""
        if self.reply is None:
            self.drop()
        else:
            self._fail(UpstreamTimeout("no bytes for too long"))

    def drop(self, fault: BaseException | None = None) -> None:
        """Close at once, without finishing anything, so that a cut request can never be taken for a whole one."""
        reply, self.reply = self.reply, None
        if reply is not None:
            reply.attach(on_drained=None, on_close=self.abandon if self._pump is not None else None)
            reply.fail(fault or UpstreamBroken("call given up"))
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
        if self.gone:
            return
        self.gone = True
        self.deadline = math.inf
        if self._transport is not None:
            self._transport.abort()
        self._owner.dropped(self)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and a way to ask its socket."""
        self._transport = cast("asyncio.Transport", transport)
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Feed the reply; on an idle connection, close: what nobody asked for belongs to nobody."""
        reply = self.reply
        if reply is None:
            self.drop()
            return
        if self._pump is None:
            self.deadline = self.now() + self._timeouts.between_bytes_s
        try:
            reply.feed(data)
        except Garbled as garbled:
            self._fail(UpstreamBroken(str(garbled)))
            return
        if reply.complete:
            self._finish(reply)
        elif reply.backlog > READ_HIGH_WATER_BYTES:
            self._pause_reading(reply)

    def eof_received(self) -> None:
        """Take the upstream's orderly end; the transport closes itself afterwards."""
        reply = self.reply
        if reply is None:
            self.drop()
        elif reply.end_of_stream():
            self._finish(reply)
        else:
            self._fail(UpstreamBroken("answer cut short" if reply.heard else "closed without an answer"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the call that is under way, if any."""
        self.resume_writing()
        self._fail(UpstreamBroken("connection lost" if exc is None else f"connection lost: {exc}"))

    def pause_writing(self) -> None:
        """Hold the request's body back."""
        if self._writable is None:
            self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """Let the request's body go on."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # How a call goes on.

    def _fail(self, fault: UpstreamFault) -> None:
        self.drop(fault)

    def _finish(self, reply: Reply) -> None:
        transport = self._transport
        request_ended = self._pump is None and transport is not None and transport.get_write_buffer_size() == 0
        if not (reply.reusable and request_ended) or self.gone:
            self.drop()
            return
        reply.attach(on_drained=None, on_close=None)
        self.reply = None
        self._resume_reading()
        self._owner.released(self)

    def _pause_reading(self, reply: Reply) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
            reply.attach(on_drained=self._resume_reading, on_close=self.abandon)
            self.deadline = math.inf

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None and not self.gone:
            self._reading_paused = False
            self._transport.resume_reading()
            if self._pump is None:
                self.deadline = self.now() + self._timeouts.between_bytes_s

    async def _send_body(self, body: AsyncIterator[bytes], head: RequestHead, reply: Reply) -> None:
        try:
            await self._write_body(body, head)
        except asyncio.CancelledError:
            # The call was given up or has been answered already; a cut body must not look whole.
            self.drop()
        except Exception as error:  # noqa: BLE001 whatever the caller's body raises is raised to the caller
            self.drop(error)
        else:
            self._pump = None
            if self.reply is reply and not self._reading_paused:
                wait_s = self._timeouts.between_bytes_s if reply.heard else self._timeouts.first_byte_s
                self.deadline = self.now() + wait_s
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _write_body(self, body: AsyncIterator[bytes], head: RequestHead) -> None:
        transport = self._transport
        if transport is None:
            return
        remaining = head.length
        if remaining == 0:
            return
        async for chunk in body:
            if not chunk:
                continue
            if head.chunked:
                transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
            else:
                remaining = (remaining or 0) - len(chunk)
                if remaining < 0:
                    raise BodyMismatch("the body is longer than its content-length")
                transport.write(chunk)
                if remaining == 0:
                    # The upstream sees the end here and may answer before the iterator says that it is done.
                    return
            if self._writable is not None:
                self.deadline = self.now() + self._timeouts.between_bytes_s
                await self._writable
                self.deadline = math.inf
        if not head.chunked:
            raise BodyMismatch("the body is shorter than its content-length")
        transport.write(b"0\r\n\r\n")
