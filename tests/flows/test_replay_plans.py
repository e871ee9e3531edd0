"""A replay says what a recomputation by hand says, call by call, whatever plans and prices are tried."""

import random
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction

import pytest

from gateway.books import limits, usage
from gateway.books.books import Books
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.limits import SpendLimits
from gateway.domain.plan import PayAsYouGo, Plan, WhenExhausted
from gateway.domain.quote import PricePart
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.domain.replay import CallKind, Offer
from gateway.domain.terms import PeriodTerms
from gateway.domain.usage import UsageEvent
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import TermsOf
from gateway.flows.change_plan import ChangeAt
from gateway.flows.faults import WrongParameter
from gateway.flows.replay_plans import MOVERS, Replay, ReplayPlans
from tests.made_up import CREDIT, PLANS, Clock, event

MODES = {"agentic": 10, "fast": 1, "cost_effective": 3}


def offer(plans: dict[str, Plan] | None = None, **modes: int) -> Offer:
    rates = {mode: price * CREDIT for mode, price in (modes or MODES).items()}
    card = RateCard("2026-11", date(2026, 11, 1), {"parse": ProductRates("parse", "page", rates)})
    return Offer(dict(PLANS) if plans is None else plans, card)


NOW = offer()


@dataclass
class Lived:
    """An account and its calls, as the test made them."""

    account_id: str
    plan_id: str
    periods: tuple[PeriodTerms, ...]
    calls: list[UsageEvent]


@pytest.fixture
async def world(books: Books, accounts: Accounts, terms_of: TermsOf, clock: Clock) -> list[Lived]:
    """Six accounts with 45 days of calls: some beyond their allowance, some settled by no units, some released."""
    dice, number, now = random.Random(7), 0, clock.now
    lived: list[Lived] = []
    for plan_id in ("free", "free", "starter", "starter", "pro", "starter"):
        clock.now = now - timedelta(days=45, hours=len(lived))
        opened = await accounts.create(plan_id.title(), plan_id)
        clock.now = now
        first = await terms_of(opened.id, now - timedelta(days=44))
        latest = await terms_of(opened.id, now)
        assert first is not None
        assert latest is not None
        periods = (*first.periods, *latest.periods)
        size = {"free": 40, "starter": 160, "pro": 400}[plan_id] * (2 if len(lived) in {1, 3} else 1)
        calls = []
        for _ in range(120):
            number += 1
            period = dice.choice([one for one in periods if one.start_ms < epoch_ms(now)])
            mode = dice.choice(list(MODES))
            price, units = MODES[mode] * CREDIT, dice.randrange(size)
            odd = dice.random() < 0.2
            captured = dice.randrange(1, 9 * price) if odd else units * price
            calls.append(
                event(
                    opened.id,
                    number,
                    ending=dice.choice([Ending.CAPTURED, Ending.LATE]),
                    captured=captured,
                    units=None if odd else units,
                    period_start_ms=period.start_ms,
                    admitted_at_ms=period.start_ms + dice.randrange(DAY_MS),
                    plan_id=plan_id,
                    mode=mode,
                    millicredits_per_unit=price,
                )
            )
        async with books.begin() as conn:
            await usage.book(conn, [*calls, event(opened.id, number + 10_000, ending=Ending.RELEASED, captured=0)])
        lived.append(Lived(opened.id, plan_id, tuple(one for one in periods if one.start_ms < epoch_ms(now)), calls))
    return lived


def one_part(kind: CallKind) -> tuple[PricePart, ...]:
    return (PricePart(kind.product, kind.mode, kind.millicredits_per_unit),)


async def replayed(books: Books, old: Offer, new: Offer, clock: Clock, days: int = 60) -> Replay:
    to_ms = epoch_ms(clock())
    flow = ReplayPlans(books=books, parts_of=one_part)
    return await flow.between(old, new, from_ms=to_ms - days * DAY_MS, to_ms=to_ms)


def _rounded(exact: Fraction) -> int:
    return int(exact + Fraction(1, 2))


def by_hand(lived: list[Lived], side: Offer, other: Offer, *, own_cents: dict[str, int]) -> Counter[str]:
    """One side, call by call, in nothing but whole numbers and fractions."""
    sums: Counter[str] = Counter()
    moves = side.rate_card.products != other.rate_card.products
    prices = side.rate_card.products["parse"].rates_millicredits
    for one in lived:
        plan = side.plans[one.plan_id]
        most = plan.overage_millicredits
        if one.account_id in own_cents:
            price = plan.nanodollars_per_millicredit
            most = min(most, own_cents[one.account_id] * 10_000_000 // price) if price else most
        for period in one.periods:
            left = plan.granted_millicredits + most
            used = 0
            for call in sorted((c for c in one.calls if c.period_start_ms == period.start_ms), key=lambda c: c.seq):
                was = call.facts.millicredits_per_unit
                if call.facts.mode not in prices:
                    continue
                price = prices[call.facts.mode] if moves else was
                units = call.settlement.units
                cost = _rounded(Fraction(call.captured_millicredits * price, was)) if units is None else units * price
                if cost and left - used < min(cost, price):
                    sums["refused"] += 1
                    continue
                used += cost
            paid = min(max(0, used - plan.granted_millicredits), most)
            sums["used"] += used
            sums["written_off"] += max(0, used - plan.granted_millicredits - most)
            cents = _rounded(Fraction(paid * (plan.nanodollars_per_millicredit or 0), 10_000_000))
            sums["pay_as_you_go"] += cents
            sums["charged"] += cents + plan.price_cents
    return sums


async def test_nothing_differs_where_nothing_was_changed(books: Books, world: list[Lived], clock: Clock) -> None:
    for same in (NOW, offer(agentic=11, fast=2, cost_effective=9)):
        found = await replayed(books, same, offer(dict(same.plans), **_modes(same)), clock)
        assert (found.accounts, found.moved, found.movers) == (6, 0, [])
        for sums in (*found.by_plan.values(), *found.by_usage.values()):
            before = {name.removesuffix(".before"): n for name, n in sums.items() if name.endswith(".before")}
            after = {name.removesuffix(".after"): n for name, n in sums.items() if name.endswith(".after")}
            assert before == after
    total = (await replayed(books, NOW, NOW, clock)).total
    assert total["calls"] == sum(len(one.calls) for one in world)


def _modes(side: Offer) -> dict[str, int]:
    return {mode: price // CREDIT for mode, price in side.rate_card.products["parse"].rates_millicredits.items()}


async def test_any_change_comes_to_what_counting_by_hand_comes_to(
    books: Books, world: list[Lived], clock: Clock
) -> None:
    dice = random.Random(3)
    async with books.begin() as conn:
        await limits.set_own(conn, world[2].account_id, SpendLimits(max_cents=300), epoch_ms(clock()) - DAY_MS * 100)
    for _ in range(8):
        sides = []
        for _ in range(2):
            plans = {
                plan_id: replace(
                    plan,
                    price_cents=dice.randrange(10_000),
                    granted_millicredits=dice.choice([0, 1, 10_000, 40_000]) * CREDIT,
                    pay_as_you_go=plan.pay_as_you_go and PayAsYouGo(dice.choice([1_250, 999]), dice.randrange(20_000)),
                )
                for plan_id, plan in PLANS.items()
            }
            modes = {mode: dice.randrange(1, 30) for mode in MODES}
            sides.append(offer(plans, **modes))
        old, new = sides
        if dice.random() < 0.4:
            new = Offer(new.plans, old.rate_card)
        found = (await replayed(books, old, new, clock)).total
        for name, side, other in (("before", old, new), ("after", new, old)):
            by_pencil = by_hand(world, side, other, own_cents={world[2].account_id: 300})
            said = {what: found[f"{what}.{name}"] for what in by_pencil}
            assert said == dict(by_pencil)


async def test_a_mode_that_is_no_longer_sold_is_counted_and_costs_nothing(
    books: Books, world: list[Lived], clock: Clock
) -> None:
    found = await replayed(books, NOW, offer(agentic=10, cost_effective=3), clock)
    calls = sum(call.facts.mode == "fast" for one in world for call in one.calls)
    fast = [sums for name, sums in found.by_usage.items() if name.mode == "fast"]
    assert sum(sums["no_longer_sold"] for sums in fast) == calls
    assert sum(sums["used.after"] for sums in fast) == 0
    assert sum(sums["used.before"] for sums in fast) > 0


async def test_those_who_move_most_are_named_first(books: Books, world: list[Lived], clock: Clock) -> None:
    dearer = dict(PLANS) | {"starter": replace(PLANS["starter"], price_cents=6_000)}
    found = await replayed(books, NOW, offer(dearer), clock)
    starters = {one.account_id: len(one.periods) for one in world if one.plan_id == "starter"}
    assert {one.account_id: one.cents_after - one.cents_before for one in found.movers} == {
        account_id: 1_000 * periods for account_id, periods in starters.items()
    }
    assert [one.weight for one in found.movers] == sorted((one.weight for one in found.movers), reverse=True)
    assert len(found.movers) <= MOVERS


async def test_an_upgrade_gives_back_what_the_tried_plan_was_worth(
    books: Books, accounts: Accounts, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "starter")
    clock.forward(days=3)
    await accounts.change_plan(opened.id, "pro", when=ChangeAt.NOW)
    clock.forward(days=1)
    refuses = replace(PLANS["starter"], price_cents=4_000, when_exhausted=WhenExhausted.REFUSE, pay_as_you_go=None)
    found = await replayed(books, NOW, offer(dict(PLANS) | {"starter": refuses}), clock)
    # The whole fee comes back, whatever it is: nothing was used.
    assert (found.by_plan["starter"]["charged.before"], found.by_plan["starter"]["charged.after"]) == (0, 0)
    assert found.by_plan["pro"]["charged.after"] == 50_000


async def test_accounts_on_plans_that_are_not_sold_stay_as_they_are(
    books: Books, world: list[Lived], clock: Clock
) -> None:
    found = await replayed(books, NOW, offer({name: PLANS[name] for name in ("free", "pro")}), clock)
    assert dict(found.unknown_plans) == {"starter.after": 3}
    sums = found.by_plan["starter"]
    assert sums["charged.before"] == sums["charged.after"]


async def test_periods_that_ended_before_are_left_out(books: Books, world: list[Lived], clock: Clock) -> None:
    whole, last_day = [(await replayed(books, NOW, NOW, clock, days)).periods for days in (60, 1)]
    assert (whole, last_day) == (12, 6)


async def test_more_than_five_years_are_refused(books: Books, clock: Clock) -> None:
    with pytest.raises(WrongParameter):
        await replayed(books, NOW, NOW, clock, days=2_000)
