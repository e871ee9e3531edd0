"""How holds end: each of them once, with its event, in its own period."""

from collections.abc import Awaitable, Callable

import pytest
import redis.asyncio

from gateway.domain.admission import Admitted
from gateway.domain.hold import NEXT, Ending, HoldEvent, HoldState
from gateway.domain.terms import PeriodTerms
from gateway.domain.usage import Settlement
from gateway.ledger.answers import Settled
from gateway.ledger.keys import shard_of
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.ledger.builders import (
    DELIVERED,
    GIVEN_BACK,
    PERIOD_START_MS,
    call_of,
    facts_of,
    fresh_id,
    terms_of,
)
from tests.ledger.conftest import Clock, everything

ACCOUNT = "acc_1"
SHARD = shard_of(ACCOUNT)


@pytest.fixture(autouse=True)
async def account(ledger: Ledger) -> None:
    assert await ledger.load(terms_of(ACCOUNT), {}, 0)


async def held(ledger: Ledger, hold_id: str = "req_1", amount: int = 10_000, ttl_ms: int = 60_000) -> str:
    call = call_of(terms_of(ACCOUNT), hold_id, quote_millicredits=amount, least_millicredits=amount, ttl_ms=ttl_ms)
    assert isinstance(await ledger.admit(call), Admitted)
    return hold_id


async def capture(ledger: Ledger, cost: int | None, *, cap: bool = False, hold_id: str = "req_1") -> Settled:
    return await ledger.capture(hold_id, ACCOUNT, cost_millicredits=cost, cap=cap, settlement=DELIVERED)


@pytest.mark.parametrize(
    ("cost", "cap", "captured"),
    [
        pytest.param(None, False, 10_000, id="the amount held"),
        pytest.param(10_000, False, 10_000, id="as quoted"),
        pytest.param(4000, False, 4000, id="less"),
        pytest.param(0, False, 0, id="nothing"),
        pytest.param(25_000, False, 25_000, id="more, where overruns are charged"),
        pytest.param(250_000, False, 250_000, id="more than there is"),
        pytest.param(25_000, True, 10_000, id="more, where the hold is the cap"),
        pytest.param(4000, True, 4000, id="less, where the hold is the cap"),
    ],
)
async def test_a_capture_takes_the_true_cost(ledger: Ledger, cost: int | None, cap: bool, captured: int) -> None:
    await held(ledger)
    settled = await capture(ledger, cost, cap=cap)
    assert settled == Settled(HoldState.OPEN, captured, 10_000, 100_000 - captured, Ending.CAPTURED)
    counters = await ledger.counters(ACCOUNT)
    period = counters.periods[PERIOD_START_MS]
    assert (period.captured_millicredits, period.held_millicredits) == (captured, 0)
    assert counters.open_holds == ()


async def test_the_event_says_all_that_the_books_need(timed: Ledger, clock: Clock) -> None:
    started_ms = clock.now_us // 1000
    await held(timed)
    await clock.pass_ms(1234)
    await capture(timed, 4000)
    (event,) = (await timed.counters(ACCOUNT)).unbooked.values()
    assert event.id == "req_1.captured"
    assert event.ending is Ending.CAPTURED
    assert event.facts == facts_of("req_1", ACCOUNT)
    assert event.settlement == Settlement(3, "reply")
    assert (event.held_millicredits, event.captured_millicredits) == (10_000, 4000)
    assert (event.period_start_ms, event.seq, event.job_id) == (PERIOD_START_MS, 1, None)
    assert (event.admitted_at_ms, event.happened_at_ms) == (started_ms, started_ms + 1234)


async def test_amounts_up_to_two_to_the_53rd_are_exact(ledger: Ledger) -> None:
    amount = 2**53 - 1
    terms = terms_of("acc_rich", granted=amount)
    assert await ledger.load(terms, {}, 0)
    call = call_of(terms, "req_1", quote_millicredits=amount - 1, least_millicredits=0)
    assert await ledger.admit(call) == Admitted(amount - 1, 1, PERIOD_START_MS)
    settled = await ledger.capture("req_1", "acc_rich", cost_millicredits=None, cap=False, settlement=DELIVERED)
    assert settled == Settled(HoldState.OPEN, amount - 1, amount - 1, 1, Ending.CAPTURED)
    (event,) = (await ledger.counters("acc_rich")).unbooked.values()
    assert event.captured_millicredits == amount - 1


async def test_a_release_gives_the_hold_back(ledger: Ledger) -> None:
    await held(ledger)
    settled = await ledger.release("req_1", ACCOUNT, settlement=GIVEN_BACK)
    assert settled == Settled(HoldState.OPEN, 0, 10_000, 100_000, Ending.RELEASED)
    (event,) = (await ledger.counters(ACCOUNT)).unbooked.values()
    assert (event.id, event.captured_millicredits) == ("req_1.released", 0)


async def test_a_hold_that_nobody_settles_expires(ledger: Ledger) -> None:
    await held(ledger, "req_1", ttl_ms=0)
    await held(ledger, "req_2", ttl_ms=60_000)
    assert await ledger.expire(SHARD) == 1
    assert await ledger.expire(SHARD) == 0
    counters = await ledger.counters(ACCOUNT)
    assert [hold.hold_id for hold in counters.open_holds] == ["req_2"]
    assert list(counters.unbooked) == ["req_1.expired"]
    assert counters.periods[PERIOD_START_MS].held_millicredits == 10_000


async def test_holds_expire_in_batches_the_oldest_first(ledger: Ledger) -> None:
    for number in range(5):
        await held(ledger, f"req_{number}", amount=1000, ttl_ms=-5000 + number)
    assert await ledger.expire(SHARD, limit=2) == 2
    assert list((await ledger.counters(ACCOUNT)).unbooked) == ["req_0.expired", "req_1.expired"]
    assert await ledger.expire(SHARD, limit=100) == 3


async def test_what_was_delivered_after_the_hold_expired_is_charged_late(ledger: Ledger) -> None:
    await held(ledger, ttl_ms=0)
    await ledger.expire(SHARD)
    assert await capture(ledger, 4000) == Settled(HoldState.EXPIRED, 4000, 10_000, 96_000, Ending.LATE)
    assert await capture(ledger, 4000) == Settled(HoldState.CAPTURED, 4000, 10_000, 96_000, Ending.LATE)
    counters = await ledger.counters(ACCOUNT)
    assert {name: e.captured_millicredits for name, e in counters.unbooked.items()} == {
        "req_1.expired": 0,
        "req_1.late": 4000,
    }
    assert counters.periods[PERIOD_START_MS].held_millicredits == 0


async def test_a_late_capture_is_remembered_until_it_is_booked_itself(
    ledger: Ledger, outbox: Outbox, raw: "redis.asyncio.Redis"
) -> None:
    await held(ledger, ttl_ms=0)
    await ledger.expire(SHARD)
    await outbox.ack(await outbox.read("c", count=10, block_ms=0))
    (key,) = await raw.keys("*:hold:req_1")
    assert await raw.pttl(key) > 0
    await capture(ledger, 4000)
    assert await raw.pttl(key) == -1
    await outbox.ack(await outbox.read("c", count=10, block_ms=0))
    assert 0 < await raw.pttl(key) <= 60_000


async def _opened(ledger: Ledger, hold_id: str) -> None:
    await held(ledger, hold_id, ttl_ms=-1)


async def _captured(ledger: Ledger, hold_id: str) -> None:
    await held(ledger, hold_id)
    await capture(ledger, 10_000, hold_id=hold_id)


async def _released(ledger: Ledger, hold_id: str) -> None:
    await held(ledger, hold_id)
    await ledger.release(hold_id, ACCOUNT, settlement=GIVEN_BACK)


async def _expired(ledger: Ledger, hold_id: str) -> None:
    await held(ledger, hold_id, ttl_ms=-1)
    await ledger.expire(SHARD)


INTO: dict[HoldState, Callable[[Ledger, str], Awaitable[None]]] = {
    HoldState.OPEN: _opened,
    HoldState.CAPTURED: _captured,
    HoldState.RELEASED: _released,
    HoldState.EXPIRED: _expired,
}


@pytest.mark.parametrize(("state", "event"), list(NEXT))
async def test_the_scripts_walk_the_table_of_hold_states(
    ledger: Ledger, raw: "redis.asyncio.Redis", state: HoldState, event: HoldEvent
) -> None:
    hold_id = fresh_id("req")
    await INTO[state](ledger, hold_id)
    before = await everything(raw)
    match event:
        case HoldEvent.CAPTURE:
            await capture(ledger, 10_000, hold_id=hold_id)
        case HoldEvent.RELEASE:
            await ledger.release(hold_id, ACCOUNT, settlement=GIVEN_BACK)
        case HoldEvent.EXPIRE:
            await ledger.expire(SHARD)
    (key,) = await raw.keys(f"*:hold:{hold_id}")
    assert await raw.hget(key, "state") == NEXT[state, event].value.encode()
    if NEXT[state, event] == state:
        assert await everything(raw) == before


async def test_a_settled_hold_answers_with_what_it_came_to(ledger: Ledger) -> None:
    await held(ledger)
    await capture(ledger, 4000)
    earlier = Settled(HoldState.CAPTURED, 4000, 10_000, 96_000, Ending.CAPTURED)
    assert await capture(ledger, 9000) == earlier
    assert await ledger.release("req_1", ACCOUNT, settlement=GIVEN_BACK) == earlier
    await held(ledger, "req_2")
    await ledger.release("req_2", ACCOUNT, settlement=GIVEN_BACK)
    assert await capture(ledger, 4000, hold_id="req_2") == Settled(
        HoldState.RELEASED, 0, 10_000, 96_000, Ending.RELEASED
    )


class TestRecover:
    async def recover(self, ledger: Ledger, cost: int, period_start_ms: int = PERIOD_START_MS) -> Settled:
        return await ledger.recover(
            "req_1",
            ACCOUNT,
            period_start_ms=period_start_ms,
            cost_millicredits=cost,
            facts=call_of(terms_of(ACCOUNT), "req_1").facts,
            settlement=DELIVERED,
        )

    async def test_a_capture_whose_hold_redis_lost_is_taken_once(self, ledger: Ledger) -> None:
        assert await capture(ledger, 4000) == Settled(None, 0, 0, 0, None)
        assert await self.recover(ledger, 4000) == Settled(None, 4000, 0, 96_000, Ending.RECOVERED)
        again = Settled(HoldState.CAPTURED, 4000, 0, 96_000, Ending.RECOVERED)
        assert await self.recover(ledger, 4000) == again
        assert await capture(ledger, 4000) == again
        counters = await ledger.counters(ACCOUNT)
        assert [(e.id, e.captured_millicredits) for e in counters.unbooked.values()] == [("req_1.captured", 4000)]
        assert counters.periods[PERIOD_START_MS].captured_millicredits == 4000

    async def test_a_hold_that_is_there_after_all_is_captured(self, ledger: Ledger) -> None:
        await held(ledger)
        assert await self.recover(ledger, 4000) == Settled(HoldState.OPEN, 4000, 10_000, 96_000, Ending.CAPTURED)

    async def test_what_belongs_to_a_period_that_was_dropped_goes_to_the_books_alone(self, ledger: Ledger) -> None:
        assert await self.recover(ledger, 4000, period_start_ms=1) == Settled(None, 4000, 0, 0, Ending.RECOVERED)
        counters = await ledger.counters(ACCOUNT)
        assert list(counters.periods) == [PERIOD_START_MS]
        assert counters.periods[PERIOD_START_MS].captured_millicredits == 0
        assert counters.unbooked["req_1.captured"].period_start_ms == 1


async def test_a_call_is_settled_in_the_period_it_was_held_in(timed: Ledger, clock: Clock) -> None:
    now_ms = clock.now_us // 1000
    first = PeriodTerms(now_ms - 1000, now_ms + 1000, "free", 50_000, 0)
    second = PeriodTerms(now_ms + 1000, now_ms + 9000, "free", 70_000, 0)
    terms = terms_of("acc_2", periods=(first, second))
    assert await timed.load(terms, {}, 0)
    await timed.admit(call_of(terms, "req_1"))
    await clock.pass_ms(2000)
    settled = await timed.capture("req_1", "acc_2", cost_millicredits=12_000, cap=False, settlement=DELIVERED)
    assert settled.available_millicredits == 38_000
    counters = await timed.counters("acc_2")
    assert counters.periods[first.start_ms].captured_millicredits == 12_000
    assert counters.periods[second.start_ms].captured_millicredits == 0


class TestRenew:
    async def test_calls_that_still_run_do_not_expire(self, timed: Ledger, clock: Clock) -> None:
        await held(timed, "req_1", ttl_ms=10_000)
        await held(timed, "req_2", ttl_ms=10_000)
        await clock.pass_ms(9000)
        assert await timed.renew([(ACCOUNT, "req_1")], ttl_ms=10_000) == 1
        await clock.pass_ms(2000)
        assert await timed.expire(SHARD) == 1
        (hold,) = (await timed.counters(ACCOUNT)).open_holds
        assert (hold.hold_id, hold.deadline_ms) == ("req_1", clock.now_us // 1000 + 8000)

    async def test_what_is_settled_or_a_job_s_or_unknown_is_left_alone(
        self, ledger: Ledger, raw: "redis.asyncio.Redis"
    ) -> None:
        await _captured(ledger, "req_1")
        await held(ledger, "req_2")
        job = {"upstream": "parse", "job_kind": "parse_job", "job_id": "j", "limit_ms": 5000, "first_look_ms": 0}
        await ledger.attach_job("req_2", ACCOUNT, **job)  # type: ignore[arg-type]
        before = await everything(raw)
        pairs = [(ACCOUNT, "req_1"), (ACCOUNT, "req_2"), (ACCOUNT, "req_3"), ("acc_other", "req_4")]
        assert await ledger.renew(pairs, ttl_ms=90_000) == 0
        assert await everything(raw) == before

    async def test_any_number_is_renewed(self, ledger: Ledger) -> None:
        for number in range(130):
            await held(ledger, f"req_{number}", amount=1)
        assert await ledger.renew(((ACCOUNT, f"req_{n}") for n in range(130)), ttl_ms=90_000) == 130
