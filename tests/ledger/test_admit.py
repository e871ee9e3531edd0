"""May a call start? Every refusal, in its order, and what an admission leaves behind."""

from dataclasses import replace

import pytest
import redis.asyncio

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.terms import AccountStatus, PeriodTerms, Terms
from gateway.ledger.answers import NotProjected, Reproject
from gateway.ledger.faults import HoldEnded, InvariantBroken
from gateway.ledger.ledger import Ledger
from tests.ledger.builders import (
    DELIVERED,
    GIVEN_BACK,
    PERIOD_END_MS,
    PERIOD_START_MS,
    call_of,
    facts_of,
    free_call_of,
    per_minute,
    terms_of,
)
from tests.ledger.conftest import Clock, everything


async def loaded(ledger: Ledger, terms: Terms, captured: int = 0) -> Terms:
    assert await ledger.load(terms, {PERIOD_START_MS: captured}, 0)
    return terms


async def test_an_admitted_call_holds_its_quote(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1"))
    answer = await ledger.admit(call_of(terms, "req_1", quote_millicredits=30_000))
    assert answer == Admitted(30_000, 70_000, PERIOD_START_MS)
    counters = await ledger.counters("acc_1")
    assert counters.periods[PERIOD_START_MS].held_millicredits == 30_000
    assert [(hold.hold_id, hold.amount_millicredits) for hold in counters.open_holds] == [("req_1", 30_000)]


async def test_a_quote_shrinks_to_what_is_available_but_not_under_the_least(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1", granted=5000))
    assert await ledger.admit(call_of(terms)) == Admitted(5000, 0, PERIOD_START_MS)
    terms = await loaded(ledger, terms_of("acc_2", granted=999))
    answer = await ledger.admit(call_of(terms))
    assert isinstance(answer, Refused)
    assert answer.code is RefusalCode.CREDITS_EXHAUSTED


async def test_pay_as_you_go_goes_on_after_the_grant(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1", granted=5000, overage=20_000))
    assert await ledger.admit(call_of(terms)) == Admitted(10_000, 15_000, PERIOD_START_MS)


async def test_a_call_that_costs_nothing_is_held_even_after_an_overrun(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1", granted=1000), captured=5000)
    answer = await ledger.admit(call_of(terms, quote_millicredits=0, least_millicredits=0))
    assert answer == Admitted(0, -4000, PERIOD_START_MS)


def _refused(code: RefusalCode, **fields: object) -> Refused:
    usual: dict[str, object] = {"required_millicredits": 1000, "resets_at_ms": PERIOD_END_MS}
    return Refused(code, **(usual | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("terms", "captured", "held", "expected"),
    [
        pytest.param(
            terms_of("acc_1", granted=5000), 4500, 0,
            _refused(RefusalCode.CREDITS_EXHAUSTED, limit_name="plan", available_millicredits=500),
            id="the grant is used up",
        ),
        pytest.param(
            terms_of("acc_1", granted=5000, overage=3000), 9000, 0,
            _refused(RefusalCode.SPEND_LIMIT_REACHED, limit_name="plan", available_millicredits=-1000),
            id="the ceiling of pay-as-you-go is reached, by a job that overran",
        ),
        pytest.param(
            terms_of("acc_1", granted=5000), 0, 4500,
            _refused(RefusalCode.CREDITS_HELD, available_millicredits=500, retry_in_ms=5000),
            id="it would fit once the running calls settle",
        ),
        pytest.param(
            terms_of("acc_1", granted=5000, overage=9000, status=AccountStatus.PAYMENT_FAILED), 5000, 0,
            _refused(RefusalCode.PAYMENT_REQUIRED),
            id="payment failed, and pay-as-you-go would have been needed",
        ),
        pytest.param(
            terms_of("acc_1", granted=5000, overage=9000, status=AccountStatus.PAYMENT_FAILED), 14_000, 0,
            _refused(RefusalCode.SPEND_LIMIT_REACHED, limit_name="plan", available_millicredits=-9000),
            id="payment failed, and the ceiling is reached anyway",
        ),
        pytest.param(
            terms_of("acc_1", status=AccountStatus.CLOSED), 0, 0,
            _refused(RefusalCode.ACCOUNT_CLOSED, available_millicredits=100_000),
            id="the account is closed",
        ),
    ],
)  # fmt: skip
async def test_refusals_for_credits(
    *, ledger: Ledger, raw: "redis.asyncio.Redis", terms: Terms, captured: int, held: int, expected: Refused
) -> None:
    await loaded(ledger, terms, captured)
    if held:
        assert isinstance(await ledger.admit(call_of(terms, quote_millicredits=held)), Admitted)
    before = await everything(raw)
    assert await ledger.admit(call_of(terms)) == expected
    assert await everything(raw) == before


async def test_with_payment_failed_the_grant_stays_usable(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1", overage=9000, status=AccountStatus.PAYMENT_FAILED))
    assert await ledger.admit(call_of(terms)) == Admitted(10_000, 90_000, PERIOD_START_MS)


async def test_a_full_window_refuses_and_leaves_no_trace(
    timed: Ledger, clock: Clock, raw: "redis.asyncio.Redis"
) -> None:
    terms = await loaded(timed, terms_of("acc_1"))
    limits = (per_minute(2), per_minute(9, "reads"))
    await timed.admit(call_of(terms, plan_limits=limits))
    await clock.pass_ms(10_000)
    await timed.admit(call_of(terms, plan_limits=limits))
    await clock.pass_ms(5000)
    before = await everything(raw)
    answer = await timed.admit(call_of(terms, plan_limits=limits))
    assert isinstance(answer, Refused)
    assert (answer.code, answer.limit_name, answer.retry_in_ms) == (RefusalCode.RATE_LIMITED, "requests", 45_000)
    assert [(limit.name, limit.remaining, limit.opens_in_ms) for limit in answer.limits] == [
        ("requests", 0, 45_000),
        ("reads", 7, 45_000),
    ]
    assert await everything(raw) == before
    await clock.pass_ms(45_000)
    assert isinstance(await timed.admit(call_of(terms, plan_limits=limits)), Admitted)


async def test_of_two_full_windows_the_one_that_opens_last_is_named(timed: Ledger) -> None:
    terms = await loaded(timed, terms_of("acc_1"))
    hourly = replace(per_minute(1, "hourly"), window_ms=3_600_000)
    await timed.admit(call_of(terms, plan_limits=(hourly, per_minute(1))))
    answer = await timed.admit(call_of(terms, plan_limits=(hourly, per_minute(1))))
    assert isinstance(answer, Refused)
    assert (answer.limit_name, answer.retry_in_ms) == ("hourly", 3_600_000)


async def test_a_refusal_for_credits_tells_the_limits_and_counts_nothing(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1", granted=0))
    for _ in range(3):
        answer = await ledger.admit(call_of(terms, plan_limits=(per_minute(1),)))
        assert isinstance(answer, Refused)
        assert answer.code is RefusalCode.CREDITS_EXHAUSTED
        assert [(limit.remaining, limit.opens_in_ms) for limit in answer.limits] == [(1, 0)]


async def test_open_holds_are_the_concurrency(ledger: Ledger, raw: "redis.asyncio.Redis") -> None:
    terms = await loaded(ledger, terms_of("acc_1"))
    for hold in ("req_1", "req_2"):
        assert isinstance(await ledger.admit(call_of(terms, hold, concurrent_calls=2)), Admitted)
    before = await everything(raw)
    answer = await ledger.admit(call_of(terms, "req_3", concurrent_calls=2))
    assert isinstance(answer, Refused)
    assert answer.code is RefusalCode.TOO_MANY_CONCURRENT_CALLS
    assert await everything(raw) == before
    await ledger.release("req_1", "acc_1", settlement=GIVEN_BACK)
    assert isinstance(await ledger.admit(call_of(terms, "req_3", concurrent_calls=2)), Admitted)


async def test_holds_that_nobody_settled_do_not_keep_a_caller_out(timed: Ledger, clock: Clock) -> None:
    terms = await loaded(timed, terms_of("acc_1", granted=250_000))
    for _ in range(250):
        await timed.admit(call_of(terms, quote_millicredits=1000))
    await clock.pass_ms(60_000)
    # A hundred at a time, until the call fits.
    assert await timed.admit(call_of(terms, "req_new")) == Admitted(10_000, 90_000, PERIOD_START_MS)
    answer = await timed.admit(call_of(terms, "req_last", concurrent_calls=1))
    assert isinstance(answer, Refused)
    counters = await timed.counters("acc_1")
    assert [hold.hold_id for hold in counters.open_holds] == ["req_new"]
    assert len(counters.unbooked) == 250


async def test_a_repeat_gets_the_same_hold_and_counts_once(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1"))
    call = call_of(terms, "req_1", plan_limits=(per_minute(5),), concurrent_calls=1)
    first = await ledger.admit(call)
    assert isinstance(first, Admitted)
    again = await ledger.admit(call)
    assert isinstance(again, Admitted)
    assert (again.held_millicredits, again.available_millicredits) == (10_000, 90_000)
    assert again.limits[0].remaining == 4


async def test_a_repeat_is_answered_even_where_it_would_be_refused_now(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1", granted=10_000))
    call = call_of(terms, "req_1", plan_limits=(per_minute(1),))
    await ledger.admit(call)
    await ledger.project(replace(terms, version=2, status=AccountStatus.CLOSED))
    assert isinstance(await ledger.admit(call), Admitted)


async def test_another_attempt_under_the_same_hold_id_is_our_mistake(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1"))
    await ledger.admit(call_of(terms, "req_1"))
    with pytest.raises(InvariantBroken):
        await ledger.admit(call_of(terms, "req_1", nonce="n2"))


async def test_an_admission_that_comes_after_its_release_is_refused(ledger: Ledger, raw: "redis.asyncio.Redis") -> None:
    terms = await loaded(ledger, terms_of("acc_1"))
    released = await ledger.release("req_1", "acc_1", settlement=GIVEN_BACK)
    assert released.state_before is None
    before = await everything(raw)
    with pytest.raises(HoldEnded):
        await ledger.admit(call_of(terms, "req_1"))
    assert await everything(raw) == before


@pytest.mark.parametrize(
    ("change", "reason", "version"),
    [
        pytest.param({"account_id": "acc_other"}, Reproject.UNKNOWN, None, id="no such account"),
        pytest.param({"version": 2}, Reproject.STALE_TERMS, 3, id="older terms than Redis's"),
        pytest.param({"version": 4}, Reproject.STALE_TERMS, 3, id="newer terms than Redis's"),
        pytest.param({"epoch": 6}, Reproject.FENCED, 3, id="Redis's epoch was given up"),
        pytest.param({"epoch": 4}, Reproject.STALE_TERMS, 3, id="our epoch was given up"),
        pytest.param({"booked_seq": 8}, Reproject.BEHIND, 3, id="the books have seen more than Redis"),
        pytest.param({"periods": ()}, Reproject.NEW_PERIOD, 3, id="no period known"),
        pytest.param(
            {"periods": (PeriodTerms(PERIOD_START_MS, PERIOD_START_MS + 1, "free", 1, 0),)},
            Reproject.NEW_PERIOD, 3, id="the period is over",
        ),
        pytest.param(
            {"periods": (PeriodTerms(PERIOD_START_MS + 1, PERIOD_END_MS, "free", 1, 0),)},
            Reproject.NEW_PERIOD, 3, id="Redis has not been told of the period",
        ),
    ],
)  # fmt: skip
async def test_nothing_is_decided_on_terms_that_are_not_the_books(
    ledger: Ledger,
    raw: "redis.asyncio.Redis",
    change: dict[str, object],
    reason: Reproject,
    version: int | None,
) -> None:
    terms = terms_of("acc_1", version=3, epoch=5, booked_seq=7)
    assert await ledger.load(terms, {}, 7)
    before = await everything(raw)
    answer = await ledger.admit(call_of(replace(terms, **change)))  # type: ignore[arg-type]
    assert isinstance(answer, NotProjected)
    assert (answer.reason, answer.redis_terms_version) == (reason, version)
    assert await everything(raw) == before


async def test_the_period_is_the_one_that_contains_redis_s_now(timed: Ledger, clock: Clock) -> None:
    now_ms = clock.now_us // 1000
    periods = (
        PeriodTerms(now_ms - 1000, now_ms + 1, "free", 50_000, 0),
        PeriodTerms(now_ms + 1, now_ms + 9000, "free", 70_000, 0),
    )
    terms = await loaded(timed, terms_of("acc_1", periods=periods))
    assert await timed.admit(call_of(terms)) == Admitted(10_000, 40_000, now_ms - 1000)
    await clock.pass_ms(1)
    assert await timed.admit(call_of(terms)) == Admitted(10_000, 60_000, now_ms + 1)


class TestFreeCalls:
    async def test_a_free_call_makes_no_hold(self, ledger: Ledger, raw: "redis.asyncio.Redis") -> None:
        terms = await loaded(ledger, terms_of("acc_1", granted=0))
        before = await everything(raw)
        assert await ledger.admit(free_call_of(terms)) == Admitted(0, 0, PERIOD_START_MS)
        assert await everything(raw) == before

    async def test_a_free_call_is_counted_by_its_limits(self, ledger: Ledger) -> None:
        terms = await loaded(ledger, terms_of("acc_1"))
        assert isinstance(await ledger.admit(free_call_of(terms, plan_limits=(per_minute(1),))), Admitted)
        assert isinstance(await ledger.admit(free_call_of(terms, plan_limits=(per_minute(1),))), Refused)

    async def test_results_can_be_read_after_the_account_was_closed(self, ledger: Ledger) -> None:
        terms = await loaded(ledger, terms_of("acc_1", status=AccountStatus.CLOSED))
        assert isinstance(await ledger.admit(free_call_of(terms)), Admitted)


class TestJobs:
    async def attached(self, ledger: Ledger, terms: Terms, hold_id: str = "req_1") -> None:
        assert isinstance(await ledger.admit(call_of(terms, hold_id)), Admitted)
        assert await ledger.attach_job(
            hold_id,
            terms.account_id,
            upstream="parse",
            job_kind="parse_job",
            job_id="job-1",
            limit_ms=60_000,
            first_look_ms=0,
        )

    async def test_a_poll_finds_the_hold_of_its_job(self, ledger: Ledger) -> None:
        terms = await loaded(ledger, terms_of("acc_1"))
        await self.attached(ledger, terms)
        answer = await ledger.admit(free_call_of(terms, job=("parse", "job-1"), plan_limits=(per_minute(9),)))
        assert isinstance(answer, Admitted)
        assert answer.job is not None
        assert (answer.job.hold_id, answer.job.state, answer.job.job_kind) == ("req_1", "open", "parse_job")
        assert answer.job.facts == call_of(terms, "req_1").facts
        assert answer.limits[0].remaining == 8

    @pytest.mark.parametrize("other", ["acc_2", "acc_in_the_same_shard_8"])
    async def test_another_account_s_job_does_not_exist(
        self, ledger: Ledger, raw: "redis.asyncio.Redis", other: str
    ) -> None:
        await self.attached(ledger, await loaded(ledger, terms_of("acc_1")))
        terms = await loaded(ledger, terms_of(other))
        before = await everything(raw)
        answer = await ledger.admit(free_call_of(terms, job=("parse", "job-1"), plan_limits=(per_minute(9),)))
        assert isinstance(answer, Refused)
        assert answer.code is RefusalCode.NO_SUCH_JOB
        assert await everything(raw) == before

    async def test_a_job_that_redis_has_forgotten_is_known_without_its_hold(
        self, ledger: Ledger, raw: "redis.asyncio.Redis"
    ) -> None:
        terms = await loaded(ledger, terms_of("acc_1"))
        await self.attached(ledger, terms)
        await ledger.capture("req_1", "acc_1", cost_millicredits=None, cap=False, settlement=DELIVERED)
        await raw.delete(*await raw.keys("*:hold:req_1"))
        answer = await ledger.admit(free_call_of(terms, job=("parse", "job-1")))
        assert isinstance(answer, Admitted)
        assert answer.job is not None
        assert (answer.job.hold_id, answer.job.state, answer.job.facts) == ("req_1", None, b"")


async def test_the_facts_come_back_as_they_were_put(ledger: Ledger) -> None:
    terms = await loaded(ledger, terms_of("acc_1"))
    await ledger.admit(call_of(terms, "req_1"))
    await ledger.capture("req_1", "acc_1", cost_millicredits=1, cap=False, settlement=DELIVERED)
    (event,) = (await ledger.counters("acc_1")).unbooked.values()
    assert event.facts == facts_of("req_1", "acc_1")
