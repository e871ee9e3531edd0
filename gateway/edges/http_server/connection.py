"""One caller's connection: serves requests one after the other, refuses what is none, and never waits for ever.

Its states are few: reading a head, serving a request (later ones wait unread), reading the rest of a body nobody
wants, idle, and lingering, when a last word was written and whatever still comes is thrown away.
A caller who closes its sending side is taken to have left.
"""

import asyncio
import math
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from uvicorn.server import ServerState

from gateway.edges.http_server.cycle import HIGH_WATER_BYTES, STATUS_LINES, Cycle
from gateway.edges.http_server.reader import RequestReader
from gateway.edges.http_server.refused import Refused
from gateway.wire.request_head import ALLOW, Framing

if TYPE_CHECKING:
    from gateway.edges.http_server.config import ServerConfig

# Behind a last word, or behind an Upgrade that was not agreed to.
MAX_IGNORED_BYTES = 1024 * 1024


class ServerConnection(asyncio.Protocol):
    """What uvicorn makes for each accepted socket."""

    write_paused = False

    def __init__(
        self,
        config: "ServerConfig",
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 of the lifespan, which is off
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app = config.loaded_app
        self._limits = config.limits
        self._deadlines = config.deadlines
        self._state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._reader = RequestReader(self, config.limits)
        self._addresses: dict[str, Any] = {}
        # Something happened since the last tick: the deadline is to be set anew, at the next one.
        self._moved = False
        self._deadline = math.inf
        self._stuck_since = math.inf
        self._reading_paused = False
        self._writable: asyncio.Future[None] | None = None
        # The request being served, those behind it, and the one read last, whose body may still be coming.
        self._current: Cycle | None = None
        self._queue: deque[Cycle] = deque()
        self._latest: Cycle | None = None
        self._unread_bytes = 0
        # Deaf: what comes is ignored. Lingering: deaf, and our side is closed.
        self._deaf = False
        self._lingering = False
        self._last_word: Refused | None = None

    # What uvicorn calls.

    def shutdown(self) -> None:
        """Take no more requests: end after the response under way, or now."""
        self._queue.clear()
        if self._current is None:
            self._transport.close()
        else:
            self._current.keep_alive = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(cast("Any", self))
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._addresses = {
            "client": (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None,
            "server": (str(own[0]), int(own[1])) if isinstance(own, tuple) else (str(own), None),
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
        }
        self._deadline = self._loop.time() + self._limits.head_s
        if len(self._deadlines) >= self._limits.connections:
            self._say(Refused(503, "too many connections"))
            self._transport.close()
        else:
            self._deadlines.watch(self, self._loop)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 why does not matter to anybody
        """Tell the request under way that its caller has gone; those behind it were never begun."""
        self._state.connections.discard(cast("Any", self))
        self._deadlines.forget(self)
        self._deaf = True
        self._queue.clear()
        if self._current is not None:
            self._current.disconnect()
        self.resume_writing()

    def eof_received(self) -> None:
        """Take a half-closed connection for one that is gone; the transport closes itself."""
        if self._current is not None:
            self._current.disconnect()

    def data_received(self, data: bytes) -> None:
        """Read on. An error in a head is answered behind the responses still owed; one in a body breaks its request."""
        if self._deaf:
            self._ignore(len(data))
            return
        try:
            if not self._reader.feed(data):
                self._deaf = True
        except Refused as refused:
            self._refuse(refused)

    def pause_writing(self) -> None:
        """Hold the response back."""
        self.write_paused = True
        self._stuck_since = self._loop.time()

    def resume_writing(self) -> None:
        """Let the response go on."""
        self.write_paused = False
        self._stuck_since = math.inf
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def on_tick(self, now: float) -> None:
        """Close when the caller has kept us waiting for too long."""
        if self._lingering:
            if now > self._deadline:
                self._transport.abort()
        elif now > self._stuck_since + self._limits.send_idle_s:
            self._transport.abort()
        elif self._moved:
            self._moved = False
            self._deadline = now + self._wait_s()
        elif now > self._deadline:
            if self._reader.in_head or self._reader.in_body:
                self._refuse(Refused(408, "the request took too long to arrive"))
            else:
                self._transport.close()

    # What the reader calls.

    def head_begun(self) -> None:
        """Give the head its time."""
        self._moved = True

    def request(self, scope: dict[str, Any], framing: Framing, *, keep_alive: bool) -> None:
        """Serve a request, or let it wait for those before it."""
        scope.update(self._addresses)
        cycle = Cycle(
            self,
            scope,
            keep_alive=keep_alive,
            more_body=framing.has_body,
            expects_continue=framing.expects_continue,
        )
        if self._current is None:
            self._serve(cycle)
        elif len(self._queue) < self._limits.pipelined_requests:
            self._queue.append(cycle)
            self._pause_reading()
        else:
            raise Refused(400, "too many requests at once")
        self._latest = cycle

    def body(self, data: bytes) -> None:
        """Hand a piece of a body over, or drop it behind its response."""
        cycle = self._latest
        if cycle is None or cycle.complete:
            self._unread_bytes += len(data)
            if self._unread_bytes > self._limits.unread_body_bytes:
                raise Refused(413, "")
            return
        cycle.body(data)
        if cycle.backlog > HIGH_WATER_BYTES:
            self._pause_reading()
        self._moved = True

    def body_end(self) -> None:
        """End a body."""
        cycle = self._latest
        if cycle is not None:
            if not cycle.keep_alive:
                self._deaf = True
            if cycle.more_body:
                cycle.body_end()
            self._moved = True

    # What a cycle calls.

    def write(self, data: bytes) -> None:
        """Send bytes to the caller."""
        self._transport.write(data)

    def write_all(self, parts: list[bytes], *, large: bool) -> None:
        """Send these bytes to the caller: in one piece, or where some part is large without copying it."""
        if large:
            self._transport.writelines(parts)
        else:
            self._transport.write(b"".join(parts))

    def soon(self, call: Callable[[], None]) -> None:
        """Do something when the application lets go."""
        self._loop.call_soon(call)

    async def writable(self) -> None:
        """Wait while the caller does not keep up."""
        if self._writable is None:
            self._writable = self._loop.create_future()
        await self._writable

    def want_body(self) -> None:
        """Read on, unless requests are waiting behind this one."""
        if self._reading_paused and not self._queue and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()
            self._moved = True

    def finished(self, cycle: Cycle) -> None:
        """Go on with the next request, or end."""
        self._state.total_requests += 1
        self._current = None
        self._unread_bytes = 0
        if self._transport.is_closing():
            return
        if not cycle.keep_alive:
            self._linger()
        elif self._queue:
            self._serve(self._queue.popleft())
        elif self._last_word is not None:
            self._say(self._last_word)
            self._linger()
        else:
            self.want_body()
            self._moved = True

    def cut(self, *, abruptly: bool) -> None:
        """Close without an end; abruptly with a reset, since nothing else would tell it from one."""
        if abruptly:
            handle = self._transport.get_extra_info("socket")
            if handle is not None:
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    # How it goes on.

    def _serve(self, cycle: Cycle) -> None:
        self._current = cycle
        self._moved = True
        task = self._loop.create_task(cycle.run(self._app))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)
        if cycle.backlog <= HIGH_WATER_BYTES:
            self.want_body()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _wait_s(self) -> float:
        """How long the caller may stay silent, from now."""
        limits, reader = self._limits, self._reader
        if self._current is not None:
            return limits.body_idle_s if reader.in_body and not self._reading_paused else math.inf
        if reader.in_body:
            return limits.unread_body_s
        return limits.head_s if reader.in_head else limits.idle_s

    def _refuse(self, refused: Refused) -> None:
        """Listen no more; break the request whose body is at fault; say why when nothing else is owed."""
        self._deaf = True
        latest = self._latest
        if latest is not None and self._reader.in_body:
            latest.disconnect()
            if latest.complete:
                self._linger()
                return
            if latest.started:
                self._transport.abort()
                return
            if latest is self._current:
                self._current = None
            else:
                self._queue.remove(latest)
        if self._current is None:
            self._say(refused)
            self._linger()
        else:
            self._last_word = refused

    def _say(self, refused: Refused) -> None:
        text = refused.reason.encode("ascii", "replace")
        lines = [
            STATUS_LINES[refused.status],
            b"content-type: text/plain; charset=utf-8\r\n",
            b"content-length: %d\r\n" % len(text),
            b"allow: %b\r\n" % ALLOW.encode() if refused.status == 405 else b"",  # noqa: PLR2004 RFC 9110 §15.5.6
            b"connection: close\r\n\r\n",
            text,
        ]
        self._transport.write(b"".join(lines))

    def _linger(self) -> None:
        """Close our side and throw away what still comes, so that a reset does not overtake the last word."""
        self._deaf = self._lingering = True
        self._unread_bytes = 0
        self._deadline = self._loop.time() + self._limits.linger_s
        if not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _ignore(self, count: int) -> None:
        self._unread_bytes += count
        if self._unread_bytes > MAX_IGNORED_BYTES:
            if self._lingering:
                self._pause_reading()  # it cannot send any more, and has until the deadline to read
            else:
                self._transport.abort()
