"""One coarse timer for all connections of a listener, so that a deadline costs an attribute and not a timer each."""

import asyncio
from typing import Protocol

from gateway.edges.http_server.limits import ServerLimits


class Watched(Protocol):
    """A connection that is asked the time now and then."""

    def on_tick(self, now: float) -> None:
        """Close if something has taken too long. `now` is the event loop's clock, in seconds."""


class Deadlines:
    """Ticks as long as there is a connection."""

    def __init__(self, limits: ServerLimits) -> None:
        shortest = min(limits.head_s, limits.idle_s, limits.body_idle_s, limits.send_idle_s, limits.linger_s)
        self._tick_s = min(1.0, max(0.01, shortest / 4))
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, connection: Watched, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to ask this connection."""
        self._watched.add(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._tick_s, self._tick, loop)

    def forget(self, connection: Watched) -> None:
        """Stop asking it."""
        self._watched.discard(connection)
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self._tick_s, self._tick, loop)
        now = loop.time()
        for connection in list(self._watched):
            connection.on_tick(now)
