"""A Redis that is away for a moment does not leave jobs unwatched until their leases run out."""

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.flows.follow_job import Follower
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
        self._away = away

    def _answer(self) -> None:
        self.asked += 1
        if self.asked in self._away:
            raise StoreUnavailable("connection_lost")

    async def lease_jobs(self, shard: int, **_: Any) -> list[JobLease]:
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
