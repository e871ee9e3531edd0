"""An account's own clock chooses its period and stamps its calls; deadlines, windows and jobs go by the world's."""

from dataclasses import replace

import pytest
import redis.asyncio

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.limits import Ceiling, CeilingBy
from gateway.domain.terms import AccountStatus, CeilingChange, PeriodTerms, Terms
from gateway.domain.usage import JobAttached
from gateway.ledger.answers import NotProjected, Reproject
from gateway.ledger.keys import account_prefix, acct_key, hold_key
from gateway.ledger.ledger import Ledger
from gateway.wire.call_facts import facts_json
from tests.ledger.builders import DAY_MS, DELIVERED, call_of, facts_of, fresh_id, per_minute
from tests.ledger.conftest import Clock

NOW_MS = 1_800_000_000_000
MONTH_MS = 30 * DAY_MS
PERIODS = tuple(
    PeriodTerms(NOW_MS + number * MONTH_MS, NOW_MS + (number + 1) * MONTH_MS, "free", 10_000, 0) for number in range(3)
)


def terms_at(offset_ms: int, version: int = 1) -> Terms:
    """A new account's, or what it is when its clock was advanced: the periods that are not over by it."""
    terms = Terms(fresh_id("acc"), version, AccountStatus.ACTIVE, PERIODS, epoch=1, booked_seq=0)
    return advanced(terms, offset_ms, version=version)


def advanced(terms: Terms, offset_ms: int, *, version: int) -> Terms:
    left = tuple(period for period in PERIODS if period.end_ms > NOW_MS + offset_ms)
    return replace(terms, version=version, periods=left, clock_offset_ms=offset_ms)


async def test_a_call_is_of_the_period_that_runs_by_the_accounts_own_clock(timed: Ledger, clock: Clock) -> None:
    terms = terms_at(MONTH_MS + 5)
    assert await timed.load(terms, {}, 0)
    call = call_of(terms)
    answer = await timed.admit(call)
    assert isinstance(answer, Admitted)
    assert answer.period_start_ms == PERIODS[1].start_ms
    await clock.pass_ms(70)
    await timed.capture(call.hold_id, terms.account_id, cost_millicredits=3000, cap=False, settlement=DELIVERED)
    (event,) = (await timed.counters(terms.account_id)).unbooked.values()
    assert (event.admitted_at_ms, event.happened_at_ms) == (PERIODS[1].start_ms + 5, PERIODS[1].start_ms + 75)


async def test_a_clock_that_goes_beyond_what_is_known_asks_for_the_next_period(timed: Ledger, clock: Clock) -> None:
    terms = terms_at(3 * MONTH_MS)
    terms = replace(terms, periods=PERIODS)
    assert await timed.load(terms, {}, 0)
    assert await timed.admit(call_of(terms)) == NotProjected(Reproject.NEW_PERIOD, NOW_MS, 1)


async def test_a_call_that_runs_while_the_clock_is_advanced_ends_by_the_clock_it_began_with(
    timed: Ledger, clock: Clock
) -> None:
    before = terms_at(0)
    assert await timed.load(before, {}, 0)
    running = call_of(before)
    assert isinstance(await timed.admit(running), Admitted)
    after = advanced(before, MONTH_MS, version=2)
    assert await timed.project(after)
    following = await timed.admit(call_of(after))
    assert isinstance(following, Admitted)
    assert following.period_start_ms == PERIODS[1].start_ms
    await clock.pass_ms(40)
    await timed.capture(running.hold_id, before.account_id, cost_millicredits=3000, cap=False, settlement=DELIVERED)
    (event,) = (await timed.counters(before.account_id)).unbooked.values()
    assert event.period_start_ms == PERIODS[0].start_ms
    assert (event.admitted_at_ms, event.happened_at_ms) == (NOW_MS, NOW_MS + 40)


async def test_deadlines_and_windows_stay_in_the_worlds_time(timed: Ledger, clock: Clock) -> None:
    terms = terms_at(MONTH_MS)
    assert await timed.load(terms, {}, 0)
    limits = (per_minute(1),)
    assert isinstance(await timed.admit(call_of(terms, plan_limits=limits)), Admitted)
    (hold,) = (await timed.counters(terms.account_id)).open_holds
    assert hold.deadline_ms == NOW_MS + 60_000
    refused = await timed.admit(call_of(terms, plan_limits=limits))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retry_in_ms) == (RefusalCode.RATE_LIMITED, 60_000)
    later = advanced(terms, 2 * MONTH_MS, version=2)
    assert await timed.project(later)
    again = await timed.admit(call_of(later, plan_limits=limits))
    assert isinstance(again, Refused)
    assert again.retry_in_ms == 60_000


async def test_a_recovered_call_and_a_restored_one_are_stamped_by_the_accounts_clock(
    timed: Ledger, clock: Clock
) -> None:
    terms = terms_at(MONTH_MS)
    assert await timed.load(terms, {}, 0)
    account_id, start_ms = terms.account_id, PERIODS[1].start_ms
    facts = facts_of("req_restored", account_id)
    assert await timed.restore_hold(facts, held_millicredits=1000, period_start_ms=start_ms, ttl_ms=60_000)
    attached = JobAttached(
        facts=facts_of("req_job", account_id),
        job_kind="parse_job",
        upstream="parse",
        job_id="job-1",
        held_millicredits=1000,
        period_start_ms=start_ms,
        admitted_at_ms=NOW_MS + MONTH_MS - 10,
        deadline_ms=NOW_MS + 60_000,
        happened_at_ms=NOW_MS - 5,
        seq=1,
    )
    assert await timed.restore_job(attached, clock_offset_ms=MONTH_MS)
    await clock.pass_ms(20)
    for hold_id in ("req_restored", "req_job"):
        await timed.capture(hold_id, account_id, cost_millicredits=500, cap=False, settlement=DELIVERED)
    events = (await timed.counters(account_id)).unbooked.values()
    assert {(event.facts.request_id, event.admitted_at_ms, event.happened_at_ms) for event in events} == {
        ("req_restored", start_ms, start_ms + 20),
        ("req_job", start_ms - 10, start_ms + 20),
    }


async def test_a_recovered_call_is_told_of_again_by_the_clock_it_was_recovered_by(timed: Ledger) -> None:
    terms = terms_at(1000)
    raised = PERIODS[0].limited_to(
        Ceiling(9000, CeilingBy.RAISE), CeilingChange(NOW_MS + 500, Ceiling(4000, CeilingBy.PLAN))
    )
    assert await timed.load(replace(terms, periods=(raised,)), {}, 0)
    hold_id = fresh_id("req")
    facts = facts_json(facts_of(hold_id, terms.account_id))
    recovered = await timed.recover(
        hold_id,
        terms.account_id,
        period_start_ms=raised.start_ms,
        cost_millicredits=3000,
        facts=facts,
        settlement=DELIVERED,
    )
    again = await timed.release(hold_id, terms.account_id, settlement=DELIVERED)
    assert again.available_millicredits == recovered.available_millicredits == 10_000 + 4000 - 3000


async def test_a_period_is_over_when_it_is_by_the_accounts_clock(timed: Ledger, clock: Clock) -> None:
    terms = terms_at(0)
    assert await timed.load(terms, {}, 0)
    first = PERIODS[0].start_ms
    assert not await timed.drop_period(terms.account_id, first, booked_millicredits=0)
    assert await timed.project(advanced(terms, MONTH_MS, version=2))
    assert await timed.drop_period(terms.account_id, first, booked_millicredits=0)


@pytest.mark.parametrize("offset_ms", [0, MONTH_MS])
async def test_only_a_clock_that_is_ahead_leaves_anything_in_redis(
    offset_ms: int, timed: Ledger, clock: Clock, raw: "redis.asyncio.Redis"
) -> None:
    terms = terms_at(offset_ms)
    assert await timed.load(terms, {}, 0)
    call = call_of(terms)
    await timed.admit(call)
    prefix = account_prefix(terms.account_id)
    keys = (acct_key(prefix, terms.account_id), hold_key(prefix, call.hold_id))
    assert [await raw.hexists(key, "clock") for key in keys] == [offset_ms > 0] * 2
