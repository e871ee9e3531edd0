"""A Redis that is away for a moment does not leave jobs unwatched until their leases run out."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.flows.follow_job import Follower
from gateway.flows.look_lanes import LANE_LENGTH, LOOKS_AT_ONCE
from gateway.ledger.answers import JobLease
from gateway.ledger.faults import StoreUnavailable

LEASE = JobLease(
    hold_id="req_1",
    account_id="acc_1",
    facts=b"{}",
    job_kind="unknown",
    job_id="pjb-1",
    upstream="parse",
    attached_at_ms=0,
    deadline_ms=1,
    looks=1,
    leased_at_ms=0,
)


class Ledger:
    """Leases one job of its first shard; the commands whose numbers are in `away` fail."""

    def __init__(self, *, away: Sequence[int]) -> None:
        self.asked = 0
        self.later: list[int] = []
        self.counts: list[int] = []
        self._away = away

    def _answer(self) -> None:
        self.asked += 1
        if self.asked in self._away:
            raise StoreUnavailable("connection_lost")

    async def lease_jobs(self, shard: int, *, count: int, **_: Any) -> list[JobLease]:
        self.counts.append(count)
        self._answer()
        return [LEASE] if shard == 0 else []

    async def look_later(self, *_: Any, in_ms: int, **__: Any) -> bool:
        self._answer()
        self.later.append(in_ms)
        return True


def follower(ledger: Ledger) -> Follower:
    made: Any = Follower
    return made(
        ledger, None, job_kinds=dict, upstreams={}, tell=None, capped=lambda _: False, shards=3
    )  # a job of a kind that nobody knows is asked about nowhere and looked at later


async def test_the_next_look_is_set_once_redis_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.flows.follow_job.LATER_PAUSES_S", (0, 0, 0))
    ledger = Ledger(away=(1, 2))
    await follower(ledger).look(LEASE)
    assert len(ledger.later) == 1


async def test_what_some_shards_leased_is_looked_at_though_others_did_not_answer() -> None:
    ledger = Ledger(away=(2,))
    following = follower(ledger)
    with pytest.raises(StoreUnavailable):
        await following.turn()
    for look in list(following._looks):
        await look
    assert len(ledger.later) == 1


async def test_only_so_many_are_leased_as_can_be_looked_at() -> None:
    ledger = Ledger(away=())
    following = follower(ledger)
    async with AsyncExitStack() as others:
        for _ in range(LOOKS_AT_ONCE):
            await others.enter_async_context(following._lanes.place("parse"))
        waiting = [asyncio.ensure_future(_placed(following)) for _ in range(LANE_LENGTH - LOOKS_AT_ONCE - 6)]
        await asyncio.sleep(0)
        await following.turn()
        assert ledger.counts == [2, 2, 2]
    await asyncio.gather(*waiting, *following._looks)


async def _placed(following: Follower) -> None:
    async with following._lanes.place("parse"):
        pass
