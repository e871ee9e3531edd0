"""Holds that grow while what they pay for is under way: as far as there are credits, by the least or not at all."""

import asyncio

import pytest
import redis.asyncio

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.hold import HoldState
from gateway.domain.limits import Budget
from gateway.domain.terms import AccountStatus, Terms
from gateway.ledger.answers import ToppedUp
from gateway.ledger.faults import HoldEnded
from gateway.ledger.ledger import Ledger
from tests.ledger.builders import DELIVERED, PERIOD_END_MS, PERIOD_START_MS, call_of, fresh_id, terms_of
from tests.ledger.conftest import everything


async def held(ledger: Ledger, terms: Terms, amount: int = 10_000, *, load: bool = True) -> str:
    if load:
        assert await ledger.load(terms, {}, 0)
        missing = await ledger.count_budgets(terms.account_id)
        await ledger.budgets_counted(terms.account_id, [(budget, 0) for budget in missing])
    hold_id = fresh_id("req")
    call = call_of(terms, hold_id, quote_millicredits=amount, least_millicredits=amount)
    assert isinstance(await ledger.admit(call), Admitted)
    return hold_id


async def grown(ledger: Ledger, hold_id: str, terms: Terms, least: int, wanted: int = 0) -> ToppedUp | Refused | None:
    return await ledger.top_up(
        hold_id,
        terms.account_id,
        period_start_ms=PERIOD_START_MS,
        least_millicredits=least,
        wanted_millicredits=wanted,
    )


@pytest.mark.parametrize(
    ("least", "wanted", "amount"),
    [
        pytest.param(11_000, 30_000, 30_000, id="as wanted"),
        pytest.param(11_000, 300_000, 100_000, id="as far as there is"),
        pytest.param(100_000, 0, 100_000, id="to the last credit"),
        pytest.param(10_000, 10_000, 10_000, id="enough already"),
        pytest.param(4_000, 99_000, 10_000, id="more than enough already"),
    ],
)
async def test_a_hold_grows(ledger: Ledger, least: int, wanted: int, amount: int) -> None:
    terms = terms_of("acc_1")
    hold_id = await held(ledger, terms)
    for _ in range(2):  # a repeat changes nothing
        assert await grown(ledger, hold_id, terms, least, wanted) == ToppedUp(amount, 100_000 - amount)
    counters = await ledger.counters("acc_1")
    assert counters.periods[PERIOD_START_MS].held_millicredits == amount
    assert [hold.amount_millicredits for hold in counters.open_holds] == [amount]
    settled = await ledger.capture(hold_id, "acc_1", cost_millicredits=None, cap=True, settlement=DELIVERED)
    assert (settled.captured_millicredits, settled.available_millicredits) == (amount, 100_000 - amount)


@pytest.mark.parametrize(
    ("terms", "others", "code"),
    [
        (terms_of("acc_1", granted=15_000), 0, RefusalCode.CREDITS_EXHAUSTED),
        (terms_of("acc_1", granted=5_000, overage=10_000), 0, RefusalCode.SPEND_LIMIT_REACHED),
        (terms_of("acc_1", granted=30_000), 15_000, RefusalCode.CREDITS_HELD),
        (terms_of("acc_1", budgets=(Budget("prj_1", 15_000),)), 0, RefusalCode.SPEND_LIMIT_REACHED),
        (terms_of("acc_1", budgets=(Budget("key_1", 30_000),)), 15_000, RefusalCode.CREDITS_HELD),
    ],
)
async def test_a_hold_that_cannot_grow_by_the_least_stays_as_it_is(
    ledger: Ledger, raw: "redis.asyncio.Redis", terms: Terms, others: int, code: RefusalCode
) -> None:
    hold_id = await held(ledger, terms)
    if others:
        await held(ledger, terms, others, load=False)
    before = await everything(raw)
    refused = await grown(ledger, hold_id, terms, 16_000, 50_000)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.required_millicredits, refused.available_millicredits) == (code, 6_000, 5_000)
    assert refused.limit_name == (terms.budgets[0].subject_id if terms.budgets else "")
    assert refused.resets_at_ms == PERIOD_END_MS
    assert await everything(raw) == before


@pytest.mark.parametrize(
    ("status", "code"),
    [(AccountStatus.PAYMENT_FAILED, RefusalCode.PAYMENT_REQUIRED), (AccountStatus.CLOSED, RefusalCode.ACCOUNT_CLOSED)],
)
async def test_an_account_in_trouble_gets_no_more(ledger: Ledger, status: AccountStatus, code: RefusalCode) -> None:
    terms = terms_of("acc_1", granted=12_000, overage=50_000)
    hold_id = await held(ledger, terms)
    assert await ledger.project(terms_of("acc_1", granted=12_000, overage=50_000, status=status, version=2))
    refused = await grown(ledger, hold_id, terms, 20_000)
    assert isinstance(refused, Refused)
    assert refused.code is code


async def test_budgets_grow_with_the_hold_and_are_given_back_with_it(ledger: Ledger) -> None:
    terms = terms_of("acc_1", budgets=(Budget("prj_1", 40_000), Budget("key_1", 25_000)))
    hold_id = await held(ledger, terms)
    assert await grown(ledger, hold_id, terms, 20_000, 90_000) == ToppedUp(25_000, 75_000)
    subjects = ("prj_1", "key_1")
    used = await ledger.budget_usage("acc_1", PERIOD_START_MS, subjects)
    assert used == dict.fromkeys(subjects, (0, 25_000))
    await ledger.capture(hold_id, "acc_1", cost_millicredits=21_000, cap=True, settlement=DELIVERED)
    used = await ledger.budget_usage("acc_1", PERIOD_START_MS, subjects)
    assert used == dict.fromkeys(subjects, (21_000, 0))


async def test_a_hold_that_is_settled_or_lost_does_not_grow(ledger: Ledger, raw: "redis.asyncio.Redis") -> None:
    terms = terms_of("acc_1")
    hold_id = await held(ledger, terms)
    settled = await ledger.capture(hold_id, "acc_1", cost_millicredits=1000, cap=True, settlement=DELIVERED)
    assert settled.state_before is HoldState.OPEN
    with pytest.raises(HoldEnded):
        await grown(ledger, hold_id, terms, 20_000)
    await raw.flushall()
    assert await grown(ledger, hold_id, terms, 20_000) is None


async def test_holds_that_grow_at_once_never_come_to_more_than_there_is(ledger: Ledger) -> None:
    terms = terms_of("acc_1")
    holds = [await held(ledger, terms, 1_000, load=not at) for at in range(8)]
    for round_ in range(2, 30):
        await asyncio.gather(*(grown(ledger, hold_id, terms, round_ * 1_000, round_ * 1_500) for hold_id in holds))
    period = (await ledger.counters("acc_1")).periods[PERIOD_START_MS]
    assert period.available_millicredits == 0
    assert period.held_millicredits == 100_000
