"""An upstream that hangs keeps nobody from following the jobs of another."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.flows import look_lanes
from gateway.flows.look_lanes import LANE_LENGTH, LOOKS_AT_ONCE, LaneFull, LookLanes


async def test_a_hung_upstream_fills_its_own_lane_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_lanes, "WAIT_WITHIN_S", 0.01)
    lanes = LookLanes(["parse", "index"])
    async with AsyncExitStack() as hung:
        for _ in range(LOOKS_AT_ONCE):
            await hung.enter_async_context(lanes.place("index"))
        with pytest.raises(LaneFull):
            await hung.enter_async_context(lanes.place("index"))
        async with lanes.place("parse"), lanes.place("of no configured upstream"):
            assert lanes.room == 3 * LANE_LENGTH - LOOKS_AT_ONCE - 2
    assert lanes.room == 3 * LANE_LENGTH


async def test_a_lane_takes_in_so_many_and_hands_the_rest_back_at_once() -> None:
    lanes, go, looked = LookLanes(["parse"]), asyncio.Event(), list[int]()

    async def look(number: int) -> None:
        async with lanes.place("parse"):
            await go.wait()
            looked.append(number)

    looks = [asyncio.ensure_future(look(number)) for number in range(LANE_LENGTH + 1)]
    with pytest.raises(LaneFull):
        await looks[-1]
    assert lanes.room == LANE_LENGTH  # that of the other lane
    go.set()
    await asyncio.gather(*looks[:-1])
    assert looked == list(range(LANE_LENGTH))


async def test_a_look_that_is_cancelled_while_it_waits_leaves_its_place() -> None:
    lanes = LookLanes(["parse"])
    async with AsyncExitStack() as hung:
        for _ in range(LOOKS_AT_ONCE):
            await hung.enter_async_context(lanes.place("parse"))
        waiting = asyncio.ensure_future(hung.enter_async_context(lanes.place("parse")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert lanes.room == 2 * LANE_LENGTH
