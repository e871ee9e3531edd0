"""A ledger on a real server, and one whose scripts take the time from a key, for tests of what time does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Final

import pytest
import redis.asyncio

from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.scripts import load_scripts

CLOCK_KEY: Final = "test:clock"
# Stands in for scripts/clock.lua.
CLOCK_LUA: Final = f"""\
local call = redis.call
local function now_us()
  return tonumber(call('GET', '{CLOCK_KEY}'))
end
"""


class Clock:
    """What Redis takes for the time, in microseconds."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self.now_us = 0

    async def set(self, now_us: int) -> None:
        self.now_us = now_us
        await self._client.set(CLOCK_KEY, now_us)

    async def pass_ms(self, milliseconds: int) -> None:
        await self.set(self.now_us + milliseconds * 1000)


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    """An ordinary client, to look behind the scripts."""
    client = redis.asyncio.Redis.from_url(redis_url)
    yield client
    await client.aclose()


def patient(url: str) -> RedisConnection:
    """One that gives a loaded machine time, for tests of anything but the time that a call may take."""
    return RedisConnection(url, attempt_timeout_ms=10_000, call_timeout_ms=10_000)


async def waited_ms(call: Awaitable[object]) -> int:
    """How long a call took to find that Redis is not available, by a clock that ticks every 10 ms.

    It ticks in turns of the same loop: a machine that stands still meanwhile makes one tick longer, and adds none.
    """
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with pytest.raises(StoreUnavailable):
        await call
    ticking.cancel()
    await asyncio.wait([ticking])
    return ticks * 10


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[RedisConnection]:
    made = patient(redis_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def ledger(connection: RedisConnection) -> Ledger:
    return Ledger(connection)


@pytest.fixture
async def clock(raw: "redis.asyncio.Redis") -> Clock:
    clock = Clock(raw)
    await clock.set(1_800_000_000_000_000)
    return clock


@pytest.fixture
def timed(connection: RedisConnection, clock: Clock) -> Ledger:
    """A ledger that lives by `clock`."""
    return Ledger(connection, scripts=load_scripts(CLOCK_LUA))


@pytest.fixture
def outbox(connection: RedisConnection) -> Outbox:
    return Outbox(connection)


async def everything(client: "redis.asyncio.Redis") -> dict[bytes, object]:
    """Every key with its content and whether it expires, to show that nothing changed."""
    found: dict[bytes, object] = {}
    for key in sorted([key async for key in client.scan_iter(count=1000)]):
        # A large hash may be dumped in another order after a mere look at it.
        is_hash = await client.type(key) == b"hash"
        content = await client.hgetall(key) if is_hash else await client.dump(key)
        found[key] = (content, await client.pttl(key) == -1)
    return found
