"""What the books say reaches Redis once, in order, and never touches what was captured or is held."""

from dataclasses import replace

import pytest
import redis.asyncio

from gateway.domain.admission import Admitted
from gateway.domain.terms import AccountStatus, PeriodTerms, Terms
from gateway.ledger.answers import NotProjected, PeriodCounters, Reproject
from gateway.ledger.ledger import Ledger
from tests.ledger.builders import DELIVERED, GIVEN_BACK, PERIOD_START_MS, call_of, terms_of
from tests.ledger.conftest import Clock, everything

ACCOUNT = "acc_1"


async def one_held_one_captured(ledger: Ledger, terms: Terms) -> None:
    """10,000 captured, 10,000 held."""
    assert await ledger.load(terms, {}, 0)
    for hold_id in ("req_captured", "req_held"):
        assert isinstance(await ledger.admit(call_of(terms, hold_id)), Admitted)
    await ledger.capture("req_captured", ACCOUNT, cost_millicredits=None, cap=False, settlement=DELIVERED)


class TestProject:
    async def test_an_upgrade_takes_effect_and_leaves_what_was_used(self, ledger: Ledger) -> None:
        terms = terms_of(ACCOUNT)
        await one_held_one_captured(ledger, terms)
        (period,) = terms.periods
        newer = replace(terms, version=2, periods=(replace(period, granted_millicredits=400_000),))
        assert await ledger.project(newer)
        counters = (await ledger.counters(ACCOUNT)).periods[PERIOD_START_MS]
        assert counters == PeriodCounters(period.end_ms, 400_000, 0, 10_000, 10_000)
        assert await ledger.admit(call_of(newer)) == Admitted(10_000, 370_000, PERIOD_START_MS)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"version": 1}, id="as told before"),
            pytest.param({"version": 0}, id="older"),
            pytest.param({"version": 2, "epoch": 2}, id="of another epoch"),
            pytest.param({"version": 2, "account_id": "acc_absent"}, id="of an account that Redis does not know"),
        ],
    )
    async def test_what_is_not_newer_changes_nothing(
        self, ledger: Ledger, raw: "redis.asyncio.Redis", change: dict[str, object]
    ) -> None:
        terms = terms_of(ACCOUNT)
        assert await ledger.load(terms, {}, 0)
        before = await everything(raw)
        closed = replace(terms, status=AccountStatus.CLOSED, **change)  # type: ignore[arg-type]
        assert not await ledger.project(closed)
        assert await everything(raw) == before

    async def test_the_next_period_is_known_a_day_ahead_without_new_terms(self, timed: Ledger, clock: Clock) -> None:
        now_ms = clock.now_us // 1000
        first = PeriodTerms(now_ms - 9000, now_ms + 9000, "free", 10_000, 0)
        second = PeriodTerms(now_ms + 9000, now_ms + 99_000, "free", 70_000, 0)
        terms = terms_of(ACCOUNT, periods=(first,))
        assert await timed.load(terms, {}, 0)
        both = replace(terms, periods=(first, second))
        assert await timed.project(both)
        assert not await timed.project(both)
        await clock.pass_ms(9000)
        assert await timed.admit(call_of(both)) == Admitted(10_000, 60_000, second.start_ms)

    async def test_a_period_that_is_over_and_gone_does_not_come_back(self, timed: Ledger, clock: Clock) -> None:
        now_ms = clock.now_us // 1000
        current = PeriodTerms(now_ms, now_ms + 9000, "free", 10_000, 0)
        old = PeriodTerms(now_ms - 9000, now_ms, "free", 10_000, 0)
        assert await timed.load(terms_of(ACCOUNT, periods=(current,)), {}, 0)
        assert await timed.project(terms_of(ACCOUNT, periods=(old, current), version=2))
        assert list((await timed.counters(ACCOUNT)).periods) == [current.start_ms]

    async def test_a_switch_of_plans_closes_the_period_and_opens_the_next(self, timed: Ledger, clock: Clock) -> None:
        now_ms = clock.now_us // 1000
        free = PeriodTerms(now_ms - 9000, now_ms + 9000, "free", 10_000, 0)
        next_free = PeriodTerms(now_ms + 9000, now_ms + 99_000, "free", 10_000, 0)
        pro = PeriodTerms(now_ms + 5, now_ms + 50_000, "pro", 400_000, 0)
        terms = terms_of(ACCOUNT, periods=(free, next_free))
        assert await timed.load(terms, {}, 0)
        assert isinstance(await timed.admit(call_of(terms, "req_1")), Admitted)
        switched = replace(terms, version=2, periods=(pro,))
        assert await timed.project(switched)
        answer = await timed.admit(call_of(terms))
        assert isinstance(answer, NotProjected)
        assert answer.reason is Reproject.STALE_TERMS
        counters = await timed.counters(ACCOUNT)
        assert {start: period.end_ms for start, period in counters.periods.items()} == {
            free.start_ms: pro.start_ms,
            pro.start_ms: pro.end_ms,
        }
        await clock.pass_ms(5)
        assert await timed.admit(call_of(switched)) == Admitted(10_000, 390_000, pro.start_ms)
        # The call in flight settles where it was held.
        await timed.capture("req_1", ACCOUNT, cost_millicredits=4000, cap=False, settlement=DELIVERED)
        counters = await timed.counters(ACCOUNT)
        assert counters.periods[free.start_ms].captured_millicredits == 4000
        assert counters.periods[pro.start_ms].captured_millicredits == 0


class TestLoad:
    async def test_an_absent_account_is_rebuilt_by_absolute_value_however_many_ask(self, ledger: Ledger) -> None:
        terms = terms_of(ACCOUNT, booked_seq=7)
        loaded = [await ledger.load(terms, {PERIOD_START_MS: 30_000}, 7) for _ in range(5)]
        assert loaded == [True, False, False, False, False]
        counters = await ledger.counters(ACCOUNT)
        assert (counters.epoch, counters.seq, counters.terms_version) == (1, 7, 1)
        assert counters.periods[PERIOD_START_MS].captured_millicredits == 30_000

    async def test_redis_that_came_back_older_is_found_and_rebuilt(self, ledger: Ledger) -> None:
        """The books have seen 25,000 captured up to seq 9; Redis knows of 10,000 up to seq 1."""
        terms = terms_of(ACCOUNT)
        await one_held_one_captured(ledger, terms)
        seen = replace(terms, booked_seq=9)
        answer = await ledger.admit(call_of(seen))
        assert isinstance(answer, NotProjected)
        assert answer.reason is Reproject.BEHIND
        assert await ledger.load(seen, {PERIOD_START_MS: 25_000}, 9)
        counters = await ledger.counters(ACCOUNT)
        assert counters.seq == 9
        period = counters.periods[PERIOD_START_MS]
        assert (period.captured_millicredits, period.held_millicredits) == (25_000, 10_000)
        assert isinstance(await ledger.admit(call_of(seen)), Admitted)

    async def test_an_epoch_that_was_given_up_is_rebuilt(self, ledger: Ledger) -> None:
        terms = terms_of(ACCOUNT)
        await one_held_one_captured(ledger, terms)
        assert await ledger.load(replace(terms, epoch=2), {PERIOD_START_MS: 3000}, 0)
        counters = await ledger.counters(ACCOUNT)
        assert (counters.epoch, counters.seq) == (2, 1)
        period = counters.periods[PERIOD_START_MS]
        assert (period.captured_millicredits, period.held_millicredits) == (3000, 10_000)

    async def test_a_capture_between_looking_and_loading_is_not_lost(
        self, ledger: Ledger, raw: "redis.asyncio.Redis"
    ) -> None:
        terms = terms_of(ACCOUNT)
        await one_held_one_captured(ledger, terms)
        seen = replace(terms, epoch=2)
        looked = await ledger.counters(ACCOUNT)
        await ledger.capture("req_held", ACCOUNT, cost_millicredits=None, cap=False, settlement=DELIVERED)
        before = await everything(raw)
        assert not await ledger.load(seen, {PERIOD_START_MS: 10_000}, looked.seq, observed_seq=looked.seq)
        assert await everything(raw) == before
        looked = await ledger.counters(ACCOUNT)
        captured = sum(event.captured_millicredits for event in looked.unbooked.values())
        assert await ledger.load(seen, {PERIOD_START_MS: captured}, looked.seq, observed_seq=looked.seq)
        assert (await ledger.counters(ACCOUNT)).periods[PERIOD_START_MS].captured_millicredits == 20_000

    async def test_an_open_hold_that_the_books_have_settled_is_forgotten(self, ledger: Ledger) -> None:
        terms = terms_of(ACCOUNT)
        await one_held_one_captured(ledger, terms)
        seen = replace(terms, booked_seq=9)
        assert await ledger.load(seen, {PERIOD_START_MS: 20_000}, 9, settled=["req_held"])
        counters = await ledger.counters(ACCOUNT)
        assert counters.open_holds == ()
        assert counters.periods[PERIOD_START_MS].held_millicredits == 0
        late = await ledger.capture("req_held", ACCOUNT, cost_millicredits=None, cap=False, settlement=DELIVERED)
        assert late.state_before is None

    async def test_holds_that_survived_their_account_are_held(self, ledger: Ledger, raw: "redis.asyncio.Redis") -> None:
        terms = terms_of(ACCOUNT)
        await one_held_one_captured(ledger, terms)
        await raw.delete(*await raw.keys("*:acct:*"), *await raw.keys("*:period:*"))
        await ledger.release("req_held", ACCOUNT, settlement=GIVEN_BACK)
        looked = await ledger.counters(ACCOUNT)
        assert (looked.epoch, looked.seq, looked.terms_version) == (None, 1, None)
        assert await ledger.load(terms, {PERIOD_START_MS: 10_000}, 1, observed_seq=looked.seq)
        counters = await ledger.counters(ACCOUNT)
        period = counters.periods[PERIOD_START_MS]
        assert (period.captured_millicredits, period.held_millicredits) == (10_000, 0)


class TestDropPeriod:
    async def test_a_period_goes_when_it_is_over_settled_and_booked(self, timed: Ledger, clock: Clock) -> None:
        now_ms = clock.now_us // 1000
        first = PeriodTerms(now_ms, now_ms + 9000, "free", 50_000, 0)
        second = PeriodTerms(now_ms + 9000, now_ms + 99_000, "free", 50_000, 0)
        terms = terms_of(ACCOUNT, periods=(first, second))
        assert await timed.load(terms, {}, 0)
        await timed.admit(call_of(terms, "req_1"))

        async def drop(booked: int) -> bool:
            return await timed.drop_period(ACCOUNT, first.start_ms, booked_millicredits=booked)

        assert not await drop(0), "not over"
        await clock.pass_ms(9000)
        assert not await drop(0), "something is held"
        await timed.capture("req_1", ACCOUNT, cost_millicredits=4000, cap=False, settlement=DELIVERED)
        assert not await drop(0), "not booked"
        assert await drop(4000)
        assert await drop(4000), "gone already"
        assert list((await timed.counters(ACCOUNT)).periods) == [second.start_ms]
        assert await timed.usage(ACCOUNT, first.start_ms) is None


async def test_usage_is_what_was_captured_and_is_held(ledger: Ledger) -> None:
    await one_held_one_captured(ledger, terms_of(ACCOUNT))
    assert await ledger.usage(ACCOUNT, PERIOD_START_MS) == (10_000, 10_000)
    assert await ledger.usage("acc_absent", PERIOD_START_MS) is None
