"""Looks at jobs, so many at a time for each upstream: one that hangs takes up its own lane and nobody else's.

Deliberately knows nothing of jobs and leases: what is done in a lane, and with what finds it full, is the follower's.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

LOOKS_AT_ONCE: Final = 16
# Those that wait for a place, too. Together with the longest look this stays within a lease.
LANE_LENGTH: Final = 64
WAIT_WITHIN_S: Final = 5.0
_ELSEWHERE: Final = ""


class LaneFull(Exception):
    """There is no place for this look now."""


class _Lane:
    __slots__ = ("looking", "taken")

    def __init__(self) -> None:
        self.looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        self.taken = 0


class LookLanes:
    """A lane for each upstream, and one for whatever names another."""

    def __init__(self, upstreams: Iterable[str]) -> None:
        self._lanes = {name: _Lane() for name in (*upstreams, _ELSEWHERE)}

    @property
    def room(self) -> int:
        """How many more looks could be taken in, all lanes together."""
        return sum(LANE_LENGTH - lane.taken for lane in self._lanes.values())

    @asynccontextmanager
    async def place(self, upstream: str) -> AsyncIterator[None]:
        """A place in the upstream's lane. LaneFull where there is none, or none becomes free in time."""
        lane = self._lanes.get(upstream) or self._lanes[_ELSEWHERE]
        if lane.taken >= LANE_LENGTH:
            raise LaneFull
        lane.taken += 1
        try:
            await _in_time(lane.looking)
            try:
                yield
            finally:
                lane.looking.release()
        finally:
            lane.taken -= 1


async def _in_time(looking: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(WAIT_WITHIN_S):
            await looking.acquire()
    except TimeoutError:
        raise LaneFull from None
