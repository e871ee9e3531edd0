"""One live socket to Redis: takes the commands of all callers, hands the replies out in order.

A command leaves at once where nothing is in flight; else with all that the same turn of the loop sends, in one system
call. Knows no commands, makes no connection and never repeats anything: `connection` does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis.asyncio.connection import AbstractConnection

_TICK_S: Final = 0.01
# A server that has not said a word for this long although asked is given up, and dialled anew.
_SILENCE_S: Final = 1.0
_NOT_YET: Final = object()


class ConnectionLost(Exception):
    """The connection broke before the reply came."""


class TimedOut(Exception):
    """The reply did not come in time. It may still come, and is then thrown away."""


class Link(asyncio.Protocol):
    """Takes over a connection that redis-py has made. `lost` is called once, when it ends for whatever reason.

    A caller that is cancelled or times out leaves its place in the line: its reply goes to nobody else.
    """

    def __init__(
        self, connection: AbstractConnection, attempt_timeout_s: float, lost: Callable[["Link"], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._attempt_timeout_s = attempt_timeout_s
        self._lost: Callable[[Link], None] | None = lost
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self.pending: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        # Asked since the last tick, and those whose wait has begun, with its end.
        self._fresh: list[asyncio.Future[Any]] = []
        self._deadlines: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._ticking: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        self.silent = False
        # redis-py offers no other way to its transport. It is kept, since dropping it would close the socket.
        self._connection = connection
        writer: asyncio.StreamWriter = connection._writer  # type: ignore[assignment] # noqa: SLF001
        self._transport = writer.transport
        self._transport.set_protocol(self)

    def now(self) -> float:
        """The loop's clock, in seconds."""
        return self._loop.time()

    def send(self, packed: bytes, timeout_s: float) -> "asyncio.Future[Any]":
        """The future reply to a packed command; TimedOut or ConnectionLost where none comes."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._lost is None:
            future.set_exception(ConnectionLost())
            return future
        if not self.pending:
            self._transport.write(packed)
        else:
            if not self._unsent:
                self._loop.call_soon(self._write)
            self._unsent.append(packed)
        self.pending.append(future)
        if timeout_s == self._attempt_timeout_s:
            self._fresh.append(future)
            if self._ticking is None:
                self._tick_soon()
        else:
            handle = self._loop.call_later(timeout_s, self._time_out, future, self._loop.time())
            future.add_done_callback(lambda _: handle.cancel())
        return future

    def send_ahead(self, packed: bytes) -> None:
        """Sends what only prepares the command sent next in the same breath; its reply is thrown away."""
        self.send(packed, self._attempt_timeout_s).cancel()

    def close(self) -> None:
        """Lets the connection go; what waits is lost."""
        self.connection_lost(None)

    def abort(self) -> None:
        """Gives the connection up at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hands each complete reply to the one who waits longest."""
        self._reader.feed(data)
        self._heard_at = self._loop.time()
        self.silent = False
        pending, gets = self.pending, self._reader.gets
        try:
            while (reply := gets()) is not _NOT_YET:
                future = pending.popleft()
                if not future.done():
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError):
            # Not a reply, or one that nobody asked for: whose the next would be, nobody can tell.
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Fails what waits and tells the owner, once."""
        lost, self._lost = self._lost, None
        if lost is None:
            return
        if self._ticking is not None:
            self._ticking.cancel()
        self._unsent.clear()
        self._fresh.clear()
        for future in self.pending:
            if not future.done():
                future.set_exception(ConnectionLost())
        self.pending.clear()
        self._deadlines.clear()
        self._transport.close()
        # The streams redis-py left know nothing of all this and would complain.
        self._connection._writer = self._connection._reader = None  # noqa: SLF001
        lost(self)

    def _write(self) -> None:
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def _tick_soon(self) -> None:
        self._ticking = self._loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        """Times out what is due, and gives up a server that has been asked and says nothing.

        A wait begins at the tick behind its command: Redis is waited for, not our own busy turn of the loop. All waits
        are of one length, so they run out in order and one slow clock looks after them all.
        """
        now, deadlines = self._loop.time(), self._deadlines
        if self._fresh:
            self._write()
            due_at = now + self._attempt_timeout_s
            deadlines.extend((due_at, future) for future in self._fresh if not future.done())
            self._fresh.clear()
        while deadlines and (deadlines[0][0] <= now or deadlines[0][1].done()):
            due_at, future = deadlines.popleft()
            if not future.done():
                future.set_exception(TimedOut())
                self.silent = self._heard_at < due_at - self._attempt_timeout_s
        if self.silent and now - self._heard_at > _SILENCE_S:
            self._ticking = None
            self.abort()
        elif deadlines or self.silent:
            self._tick_soon()
        else:
            self._ticking = None

    def _time_out(self, future: "asyncio.Future[Any]", sent_at: float) -> None:
        """The end of a wait of a length of its own."""
        if future.done():
            return
        future.set_exception(TimedOut())
        self.silent = self._heard_at < sent_at
        if self.silent and self._ticking is None:
            self._tick_soon()
