"""The connections to one upstream: a bounded number, the most recently used first, waited for in order.

One pool is one origin with one TLS setting, so no connection can serve a request meant for another.
It knows nothing of cookies, redirects, proxies from the environment or default headers. It sends a request
twice only where a kept connection turned out dead before a byte of answer, and only GET and HEAD (RFC 9110 §9.2.2).
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass

from gateway.upstream.answer import HeaderLines, RequestBody
from gateway.upstream.connection import Connection, UpstreamTimeouts
from gateway.upstream.faults import UpstreamBroken, UpstreamUnreachable
from gateway.upstream.reply import Reply
from gateway.upstream.request_head import Origin, request_head

_REPEATABLE = frozenset({b"GET", b"HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many connections, and calls waiting for one, there may be; how long an unused one is kept, in seconds.

    `idle_s` is to be shorter than what the upstream allows, or it closes under our hands.
    """

    max_connections: int = 512
    max_waiting: int = 2048
    idle_s: float = 15.0


class UpstreamPool:
    """An Upstream over HTTP/1.1."""

    def __init__(
        self,
        url: str,
        *,
        limits: PoolLimits | None = None,
        timeouts: UpstreamTimeouts | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Take `http(s)://host[:port][/base/path]`; opens nothing. https verifies certificates unless told how else."""
        self._origin = Origin.of(url)
        self._limits = limits or PoolLimits()
        self._timeouts = timeouts or UpstreamTimeouts()
        self._tls: ssl.SSLContext | None = None
        if self._origin.tls:
            self._tls = ssl_context or ssl.create_default_context()
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._taken_slots = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        times = (self._timeouts.first_byte_s, self._timeouts.between_bytes_s, self._limits.idle_s)
        self._tick_s = min(1.0, max(0.01, min(times) / 4))

    async def send(self, method: bytes, target: bytes, headers: HeaderLines, body: RequestBody) -> Reply:
        """Send one request (see Upstream.send)."""
        head = request_head(self._origin, method, target, headers, body)
        may_repeat = method in _REPEATABLE and (body is None or isinstance(body, bytes))
        while True:
            connection = self._take_idle() or await self._obtain(asyncio.get_running_loop())
            kept = connection.used
            reply = Reply(to_head=method == b"HEAD", loop=connection.loop)
            connection.send(head, body, reply)
            try:
                await reply.begun
            except UpstreamBroken:
                await reply.close()
                if not (kept and may_repeat and not reply.heard) or self._closed:
                    raise
                may_repeat = False
                continue
            except BaseException:
                await reply.close()
                raise
            return reply

    async def aclose(self) -> None:
        """Abort every call, refuse those waiting and later ones, close every connection."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(UpstreamUnreachable("shutting down"))
        self._waiting.clear()
        for connection in list(self._open):
            connection.drop(UpstreamBroken("shutting down"))
        # Sockets are closed by the next turn of the loop.
        await asyncio.sleep(0)

    # What connections tell.

    def released(self, connection: Connection) -> None:
        """Give a connection to who has waited longest, or keep it for a while."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return
        connection.deadline = connection.now() + self._limits.idle_s
        self._idle.append(connection)

    def dropped(self, connection: Connection) -> None:
        """Forget a connection and let somebody else have its slot."""
        if connection in self._open:
            self._open.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()

    # How connections are had.

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
            connection.drop()
        return None

    async def _obtain(self, loop: asyncio.AbstractEventLoop) -> Connection:
        while True:
            if self._closed:
                raise UpstreamUnreachable("shutting down")
            if self._taken_slots < self._limits.max_connections:
                self._taken_slots += 1
                return await self._connect(loop)
            connection = await self._wait_in_line(loop)
            if connection is None:
                return await self._connect(loop)
            if connection.alive:
                return connection
            connection.drop()

    async def _wait_in_line(self, loop: asyncio.AbstractEventLoop) -> Connection | None:
        """Wait for a connection another call has done with, or (None) for a slot to open one in."""
        if len(self._waiting) >= self._limits.max_waiting:
            raise UpstreamUnreachable("too many calls are waiting for a connection")
        waiting: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiting)
        timer = loop.call_later(self._timeouts.pool_wait_s, _give_up_waiting, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._pass_on(waiting.result())
            raise
        finally:
            timer.cancel()
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is None:
            self._free_slot()
        elif connection.alive:
            self.released(connection)
        else:
            connection.drop()

    def _free_slot(self) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return
        self._taken_slots -= 1

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """Open a connection in a slot that is already ours."""
        origin = self._origin
        connection = Connection(self, self._timeouts, loop)
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                await loop.create_connection(
                    lambda: connection,
                    origin.host,
                    origin.port,
                    ssl=self._tls,
                    server_hostname=origin.host if self._tls else None,
                )
        except BaseException as error:
            connection.drop()
            self._free_slot()
            if isinstance(error, OSError | UnicodeError):  # refused, unknown name, certificate not trusted, timed out
                raise UpstreamUnreachable(f"connect: {type(error).__name__}: {error}") from error
            raise
        if connection.gone:
            self._free_slot()
            raise UpstreamUnreachable("connect: closed at once")
        self._open.add(connection)
        if self._closed:
            connection.drop()
            raise UpstreamUnreachable("shutting down")
        if self._timer is None:
            self._timer = loop.call_later(self._tick_s, self._tick, loop)
        return connection

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in [each for each in self._open if each.deadline < now]:
            connection.expire()
        self._timer = loop.call_later(self._tick_s, self._tick, loop) if self._open else None


def _give_up_waiting(waiting: asyncio.Future[Connection | None]) -> None:
    if not waiting.done():
        waiting.set_exception(UpstreamUnreachable("no connection became free in time"))
