"""Jobs: the hold lives on with them, they are followed by one looker at a time, and known to their account alone."""

import pytest
import redis.asyncio

from gateway.domain.admission import Admitted
from gateway.domain.hold import Ending, HoldState
from gateway.domain.usage import JobAttached
from gateway.ledger.answers import Claim, JobLease, JobMark
from gateway.ledger.keys import shard_of
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.ledger.builders import DELIVERED, GIVEN_BACK, PERIOD_START_MS, call_of, facts_of, terms_of
from tests.ledger.conftest import Clock, everything

ACCOUNT = "acc_1"
SHARD = shard_of(ACCOUNT)


@pytest.fixture(autouse=True)
async def hold(timed: Ledger) -> None:
    terms = terms_of(ACCOUNT)
    assert await timed.load(terms, {}, 0)
    assert isinstance(await timed.admit(call_of(terms, "req_1")), Admitted)


async def attach(ledger: Ledger, job_id: str = "job-1", hold_id: str = "req_1") -> bool:
    return await ledger.attach_job(
        hold_id,
        ACCOUNT,
        upstream="parse",
        job_kind="parse_job",
        job_id=job_id,
        limit_ms=3_600_000,
        first_look_ms=2000,
    )


async def lease(ledger: Ledger) -> list[JobLease]:
    return await ledger.lease_jobs(SHARD, count=10, lease_ms=30_000)


async def test_a_job_outlives_the_hold_s_first_deadline(timed: Ledger, clock: Clock) -> None:
    assert await attach(timed)
    await clock.pass_ms(3_599_999)
    assert await timed.expire(SHARD) == 0
    await clock.pass_ms(1)
    assert await timed.expire(SHARD) == 1
    assert (await timed.counters(ACCOUNT)).unbooked["req_1.expired"].job_id == "job-1"
    assert await lease(timed) == []


async def test_the_books_are_told_whose_job_it_is(timed: Ledger, outbox: Outbox, clock: Clock) -> None:
    await attach(timed)
    (record,) = await outbox.read("c", count=10, block_ms=0)
    assert record.event == JobAttached(
        facts=facts_of("req_1", ACCOUNT),
        job_kind="parse_job",
        upstream="parse",
        job_id="job-1",
        held_millicredits=10_000,
        period_start_ms=PERIOD_START_MS,
        admitted_at_ms=clock.now_us // 1000,
        deadline_ms=clock.now_us // 1000 + 3_600_000,
        happened_at_ms=clock.now_us // 1000,
        seq=1,
    )


async def test_attaching_twice_is_attaching_once(timed: Ledger, raw: "redis.asyncio.Redis") -> None:
    assert await attach(timed)
    before = await everything(raw)
    assert await attach(timed)
    assert await everything(raw) == before


async def test_a_hold_stands_for_one_job(timed: Ledger, raw: "redis.asyncio.Redis") -> None:
    await attach(timed)
    before = await everything(raw)
    assert not await attach(timed, "job-2")
    assert await everything(raw) == before


@pytest.mark.parametrize("how", ["captured", "released", "unknown"])
async def test_no_job_is_attached_to_what_is_settled_or_unknown(
    timed: Ledger, raw: "redis.asyncio.Redis", how: str
) -> None:
    hold_id = "req_9" if how == "unknown" else "req_1"
    if how == "captured":
        await timed.capture("req_1", ACCOUNT, cost_millicredits=1, cap=False, settlement=DELIVERED)
    elif how == "released":
        await timed.release("req_1", ACCOUNT, settlement=GIVEN_BACK)
    before = await everything(raw)
    assert not await attach(timed, hold_id=hold_id)
    assert await everything(raw) == before


async def test_a_job_is_looked_at_when_its_time_has_come(timed: Ledger, clock: Clock) -> None:
    await attach(timed)
    attached_ms = clock.now_us // 1000
    assert await lease(timed) == []
    await clock.pass_ms(2000)
    assert await lease(timed) == [
        JobLease(
            hold_id="req_1",
            account_id=ACCOUNT,
            facts=call_of(terms_of(ACCOUNT), "req_1").facts,
            job_kind="parse_job",
            job_id="job-1",
            upstream="parse",
            attached_at_ms=attached_ms,
            deadline_ms=attached_ms + 3_600_000,
            looks=1,
            leased_at_ms=attached_ms + 2000,
        )
    ]


async def test_one_looker_at_a_time_and_a_dead_one_s_jobs_come_back(timed: Ledger, clock: Clock) -> None:
    await attach(timed)
    await clock.pass_ms(2000)
    assert [job.looks for job in await lease(timed)] == [1]
    assert await lease(timed) == []
    await clock.pass_ms(30_000)
    assert [job.looks for job in await lease(timed)] == [2]


async def test_the_looker_says_when_to_look_again(timed: Ledger, clock: Clock) -> None:
    await attach(timed)
    await clock.pass_ms(2000)
    await lease(timed)
    assert await timed.look_later("req_1", ACCOUNT, in_ms=5000)
    await clock.pass_ms(4999)
    assert await lease(timed) == []
    await clock.pass_ms(1)
    assert len(await lease(timed)) == 1
    assert await timed.look_now("req_1", ACCOUNT)
    assert len(await lease(timed)) == 1


async def test_what_a_look_found_out_is_known_to_the_next(timed: Ledger, clock: Clock) -> None:
    await attach(timed)
    attached_ms = clock.now_us // 1000
    await clock.pass_ms(2000)
    await timed.look_now("req_1", ACCOUNT, JobMark.GONE)
    await clock.pass_ms(1000)
    await timed.look_now("req_1", ACCOUNT, JobMark.GONE)
    await timed.look_now("req_1", ACCOUNT, JobMark.ENDED)
    (job,) = await lease(timed)
    assert (job.leased_at_ms, job.gone_at_ms, job.ended_at_ms) == tuple(attached_ms + ms for ms in (3000, 2000, 3000))
    await timed.look_now("req_1", ACCOUNT, JobMark.THERE)
    await timed.look_now("req_1", ACCOUNT, JobMark.STOPPED)
    (job,) = await lease(timed)
    assert (job.gone_at_ms, job.ended_at_ms, job.stopped_at_ms) == (None, attached_ms + 3000, attached_ms + 3000)


async def test_a_settled_job_is_followed_no_more(timed: Ledger, clock: Clock) -> None:
    await attach(timed)
    await timed.capture("req_1", ACCOUNT, cost_millicredits=1, cap=False, settlement=DELIVERED)
    await clock.pass_ms(2000)
    assert await lease(timed) == []
    assert not await timed.look_now("req_1", ACCOUNT)
    assert (await timed.counters(ACCOUNT)).unbooked["req_1.captured"].job_id == "job-1"


async def test_a_job_whose_call_was_thought_dead_is_followed_and_charged_late(timed: Ledger, clock: Clock) -> None:
    await clock.pass_ms(60_000)
    assert await timed.expire(SHARD) == 1
    assert await attach(timed)
    await clock.pass_ms(2000)
    assert [job.hold_id for job in await lease(timed)] == ["req_1"]
    settled = await timed.capture("req_1", ACCOUNT, cost_millicredits=500, cap=False, settlement=DELIVERED)
    assert (settled.state_before, settled.ending) == (HoldState.EXPIRED, Ending.LATE)
    await clock.pass_ms(60_000)
    assert await lease(timed) == []


async def test_an_expired_hold_s_job_that_costs_nothing_is_followed_no_more(timed: Ledger, clock: Clock) -> None:
    await clock.pass_ms(60_000)
    await timed.expire(SHARD)
    await attach(timed)
    settled = await timed.release("req_1", ACCOUNT, settlement=GIVEN_BACK)
    assert (settled.state_before, settled.ending) == (HoldState.EXPIRED, Ending.EXPIRED)
    await clock.pass_ms(2000)
    assert await lease(timed) == []


async def test_an_expired_hold_s_job_is_given_up_at_its_limit(timed: Ledger, clock: Clock) -> None:
    await clock.pass_ms(60_000)
    await timed.expire(SHARD)
    await attach(timed)
    await clock.pass_ms(3_600_000)
    assert await lease(timed) == []
    assert not await timed.look_now("req_1", ACCOUNT)


async def test_at_most_the_jobs_asked_for_are_leased(timed: Ledger, clock: Clock) -> None:
    for number in range(2, 6):
        await timed.admit(call_of(terms_of(ACCOUNT), f"req_{number}"))
        await attach(timed, f"job-{number}", f"req_{number}")
    await clock.pass_ms(2000)
    leased = await timed.lease_jobs(SHARD, count=3, lease_ms=30_000)
    rest = await timed.lease_jobs(SHARD, count=3, lease_ms=30_000)
    assert {job.hold_id for job in leased + rest} == {f"req_{number}" for number in range(2, 6)}


async def test_a_job_that_is_named_last_is_one_hold_s_own_and_a_hold_has_one(timed: Ledger, clock: Clock) -> None:
    async def claim(hold_id: str, job_id: str | None) -> Claim:
        return await timed.claim_job(hold_id, ACCOUNT, upstream="index", job_id=job_id)

    assert await claim("req_1", None) == Claim(None, None)
    first = await claim("req_1", "a")
    assert first == await claim("req_1", "a") == await claim("req_1", None) == Claim("a", None)
    await clock.pass_ms(5_000)
    taken = await claim("req_2", "a")
    assert taken.own is None
    assert taken.taken_at_ms is not None
    # What comes after it is not the first hold's, and the second's own.
    assert await claim("req_1", "b") == Claim("a", None)
    assert await claim("req_2", "b") == Claim("b", None)
