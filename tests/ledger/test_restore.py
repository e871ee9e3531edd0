"""Holds that Redis has lost are made again as they were, once, and settle like any other."""

from dataclasses import replace

import pytest

from gateway.domain.hold import Ending, HoldState
from gateway.domain.usage import JobAttached, UsageEvent
from gateway.ledger.keys import shard_of
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.ledger.builders import DELIVERED, PERIOD_START_MS, call_of, facts_of, free_call_of, terms_of
from tests.ledger.conftest import Clock

ACCOUNT = "acc_1"
SHARD = shard_of(ACCOUNT)


@pytest.fixture(autouse=True)
async def account(timed: Ledger) -> None:
    assert await timed.load(terms_of(ACCOUNT), {}, 0)


@pytest.fixture
def job(clock: Clock) -> JobAttached:
    now_ms = clock.now_us // 1000
    return JobAttached(
        facts=facts_of("req_1", ACCOUNT),
        job_kind="parse_job",
        upstream="parse",
        job_id="job-1",
        held_millicredits=10_000,
        period_start_ms=PERIOD_START_MS,
        admitted_at_ms=now_ms - 2000,
        deadline_ms=now_ms + 60_000,
        happened_at_ms=now_ms - 1000,
        seq=1,
    )


async def captured(ledger: Ledger, cost: int) -> Ending | None:
    settled = await ledger.capture("req_1", ACCOUNT, cost_millicredits=cost, cap=False, settlement=DELIVERED)
    return settled.ending


async def test_a_lost_job_holds_its_credits_again_is_followed_and_captured_once(
    timed: Ledger, job: JobAttached, outbox: Outbox
) -> None:
    assert await timed.restore_job(job)
    assert await timed.restore_job(job)
    (hold,) = (await timed.counters(ACCOUNT)).open_holds
    assert (hold.hold_id, hold.amount_millicredits, hold.job_id) == ("req_1", 10_000, "job-1")
    assert await timed.usage(ACCOUNT, PERIOD_START_MS) == (0, 10_000)
    (lease,) = await timed.lease_jobs(SHARD, count=10, lease_ms=30_000)
    assert (lease.hold_id, lease.job_id, lease.attached_at_ms) == ("req_1", "job-1", job.happened_at_ms)
    assert (lease.deadline_ms, lease.facts) == (job.deadline_ms, call_of(terms_of(ACCOUNT), "req_1").facts)
    assert await captured(timed, 4000) is Ending.CAPTURED
    assert not await timed.restore_job(job)
    assert await timed.usage(ACCOUNT, PERIOD_START_MS) == (4000, 0)
    events = [record.event for record in await outbox.read("c", count=9, block_ms=0)]
    assert [event.id for event in events if isinstance(event, UsageEvent)] == ["req_1.captured"]


async def test_its_owner_finds_it_again_by_its_id(timed: Ledger, job: JobAttached) -> None:
    asking = free_call_of(terms_of(ACCOUNT), job=("parse", "job-1"))
    await timed.restore_job(job)
    answer = await timed.admit(asking)
    assert answer.job is not None  # type: ignore[union-attr]
    assert (answer.job.hold_id, answer.job.state) == ("req_1", HoldState.OPEN)  # type: ignore[union-attr]


async def test_a_hold_from_before_its_job_was_known_becomes_the_job_s(timed: Ledger, job: JobAttached) -> None:
    await timed.admit(call_of(terms_of(ACCOUNT), "req_1"))
    assert await timed.restore_job(job)
    (hold,) = (await timed.counters(ACCOUNT)).open_holds
    assert (hold.job_id, hold.deadline_ms) == ("job-1", job.deadline_ms)
    assert await timed.usage(ACCOUNT, PERIOD_START_MS) == (0, 10_000)


async def test_a_job_whose_time_is_over_stays_lost(timed: Ledger, job: JobAttached, clock: Clock) -> None:
    assert not await timed.restore_job(replace(job, deadline_ms=clock.now_us // 1000))
    assert (await timed.counters(ACCOUNT)).open_holds == ()


async def test_jobs_of_an_account_that_redis_does_not_know_count_once_it_is_loaded(
    timed: Ledger, job: JobAttached
) -> None:
    terms = terms_of("acc_2")
    assert await timed.restore_job(replace(job, facts=facts_of("req_2", "acc_2")))
    assert await timed.load(terms, {PERIOD_START_MS: 5000}, 0)
    assert await timed.usage("acc_2", PERIOD_START_MS) == (5000, 10_000)


async def test_a_lost_call_s_hold_can_become_a_job_s(timed: Ledger) -> None:
    facts = facts_of("req_1", ACCOUNT)
    for _ in range(2):
        assert await timed.restore_hold(facts, held_millicredits=7000, period_start_ms=PERIOD_START_MS, ttl_ms=60_000)
    assert await timed.usage(ACCOUNT, PERIOD_START_MS) == (0, 7000)
    assert await timed.attach_job(
        "req_1",
        ACCOUNT,
        upstream="parse",
        job_kind="parse_job",
        job_id="job-1",
        limit_ms=90_000,
        first_look_ms=0,
    )
    assert await captured(timed, 4000) is Ending.CAPTURED


async def test_a_lost_hold_that_nobody_settles_expires(timed: Ledger, clock: Clock) -> None:
    await timed.restore_hold(
        facts_of("req_1", ACCOUNT), held_millicredits=7000, period_start_ms=PERIOD_START_MS, ttl_ms=60_000
    )
    await clock.pass_ms(60_000)
    assert await timed.expire(SHARD) == 1
    assert await timed.usage(ACCOUNT, PERIOD_START_MS) == (0, 0)
