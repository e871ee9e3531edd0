"""The same calls under other terms: nothing moves where nothing differs, and what moves is what fingers count."""

from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.limits import SpendLimits
from gateway.domain.offer_changes import OfferChange, offer_changes
from gateway.domain.plan import PayAsYouGo, Plan, RateLimit, Tier, WhenExhausted
from gateway.domain.quote import PricePart
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.domain.replay import CallKind, Gate, Offer, SoldPeriod, UnitPrice, charge, cost_at, unit_price
from tests.made_up import CREDIT, PLANS

STARTER = SoldPeriod("starter", 40_000 * CREDIT, 40_000 * CREDIT, 400_000 * CREDIT, 5_000, 1_250)


def card(version: str = "1", **modes: int) -> RateCard:
    rates = {mode: price * CREDIT for mode, price in modes.items()}
    return RateCard(
        version, date(2026, 11, 1), {"parse": ProductRates("parse", "page", rates, None, {"forms": 10_000})}
    )


def kind(mode: str = "agentic", price: int = 10) -> CallKind:
    return CallKind("parse", mode, "parse.upload", "1", price * CREDIT)


def test_a_unit_costs_what_its_parts_cost_on_each_card() -> None:
    parts = (PricePart("parse", "agentic", 10_000), PricePart("parse", "forms", 10_000))
    found = unit_price(kind(price=20), parts, card(agentic=10), card(agentic=12))
    assert found == UnitPrice(20_000, 22_000)


def test_a_mode_that_the_new_card_does_not_have_is_no_longer_sold() -> None:
    parts = (PricePart("parse", "agentic", 10_000),)
    assert unit_price(kind(), parts, card(agentic=10), card(fast=1)) == UnitPrice(10_000, None)
    assert unit_price(kind(), None, card(agentic=10), card(fast=1)) == UnitPrice(10_000, None)


def test_of_a_price_whose_parts_are_forgotten_only_the_mode_moves_and_that_is_said() -> None:
    old, new = card("2", agentic=10), card("3", agentic=12)
    assert unit_price(kind(price=13), None, old, new) == UnitPrice(13_000, 15_000, certain=False)
    assert unit_price(kind(price=10), None, old, new) == UnitPrice(10_000, 12_000)
    # Priced by a card that neither side is, under which it was cheaper.
    assert unit_price(kind(price=8), None, old, new) == UnitPrice(10_000, 12_000, certain=False)


def test_what_neither_card_has_keeps_its_price() -> None:
    assert unit_price(kind("gone"), None, card(fast=1), card(fast=2)) == UnitPrice(10_000, 10_000, certain=False)


@pytest.mark.parametrize(
    ("price", "recorded", "units", "captured", "cost"),
    [
        (12_000, 10_000, 7, 70_000, 84_000),  # by units
        (12_000, 10_000, 7, 33_333, 40_000),  # what a service reported moves along: 39,999.6
        (15_000, 10_000, None, 1, 2),  # halves go up
        (5_000, 0, 7, 0, 35_000),  # what was free is not any more
        (5_000, 0, None, 9, 9),
        (10_000, 10_000, 7, 33_333, 33_333),
    ],
)
def test_settled_units_count_at_the_new_price(
    price: int, recorded: int, units: int | None, captured: int, cost: int
) -> None:
    assert cost_at(price, recorded, units=units, captured_millicredits=captured) == cost


@given(st.integers(0, 10**9), st.none() | st.integers(0, 10**6), st.integers(0, 10**12))
def test_the_same_price_costs_the_same(price: int, units: int | None, captured: int) -> None:
    assert cost_at(price, price, units=units, captured_millicredits=captured) == captured


@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, 10**5), st.integers(1, 10**5)), max_size=40))
def test_a_gate_refuses_nobody_while_everything_fits(limit: int, calls: list[tuple[int, int]]) -> None:
    gate = Gate(limit)
    for cost, price in calls:
        left = limit - gate.used_millicredits
        admitted = gate.admits(cost, price)
        # A job of unknown length may take more than was left, once a unit of it fits.
        assert admitted == (cost == 0 or left >= min(cost, price))
    if sum(cost for cost, _ in calls) <= limit:
        assert (gate.refused, gate.used_millicredits) == (0, sum(cost for cost, _ in calls))


def test_a_period_is_charged_as_its_invoices_are() -> None:
    assert charge(STARTER, 60_000 * CREDIT)[1:] == (5_000, 2_500, 0)
    assert charge(STARTER, 40_004 * CREDIT).pay_as_you_go_cents == 1
    assert charge(STARTER, 40_003 * CREDIT).pay_as_you_go_cents == 0
    upgraded = replace(STARTER, gives_back=True)
    assert charge(upgraded, 15_000 * CREDIT).total_cents == 5_000 - 3_125


def test_graduated_prices_are_rounded_one_by_one() -> None:
    tiers = (Tier(4 * CREDIT, 1_250), Tier(None, 1_000))
    graduated = replace(STARTER, contract_version=1, tiers=tiers)
    # Half a cent for the first four, six tenths for the next six.
    assert charge(graduated, 40_010 * CREDIT).pay_as_you_go_cents == 2


def test_own_limits_hold_under_other_plans_and_contracts_stay() -> None:
    own = SpendLimits(max_cents=1_000)
    frugal = replace(STARTER, own=own).under({**PLANS, "starter": replace(PLANS["starter"], granted_millicredits=0)})
    assert (frugal.granted_millicredits, frugal.ceiling_millicredits) == (0, 8_000 * CREDIT)
    assert replace(STARTER, own=SpendLimits(pay_as_you_go=False)).limit_millicredits == 40_000 * CREDIT
    contract = replace(STARTER, contract_version=3, price_cents=99)
    assert contract.under(PLANS) == contract


def test_corrections_stay_under_another_allowance() -> None:
    corrected = replace(STARTER, granted_millicredits=41_000 * CREDIT)
    smaller = {"starter": replace(PLANS["starter"], granted_millicredits=10_000 * CREDIT)}
    assert corrected.under(smaller).granted_millicredits == 11_000 * CREDIT
    assert corrected.under({}) == corrected


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 100_000))
def test_every_credit_is_charged_once(used: int, granted: int, overage: int, nanodollars: int) -> None:
    sold = SoldPeriod("p", granted, granted, overage, 0, nanodollars)
    found = charge(sold, used)
    assert found.split.usage_millicredits == used
    assert abs(found.pay_as_you_go_cents - Fraction(found.split.pay_as_you_go_millicredits * nanodollars, 10**7)) <= 0.5


def test_changes_are_said_setting_by_setting() -> None:
    overage = PayAsYouGo(1_500, None)
    limits = {"requests": RateLimit("requests", 20, 60_000), "reads": None}
    changed = Plan("starter", "Start", 6_000, 1_500, limits, WhenExhausted.PAY_AS_YOU_GO, overage, 5, "Email")
    old = Offer({"starter": replace(changed, name="Starter", price_cents=5_000), "gone": PLANS["free"]}, card(fast=1))
    new = Offer({"starter": changed}, card("2", fast=2, agentic=10))
    found = offer_changes(old, new)
    assert found[:2] == [
        OfferChange("starter.name", "Starter", "Start"),
        OfferChange("starter.price", "$50.00", "$60.00"),
    ]
    assert OfferChange("gone.monthly credits", "10000", None) in found
    assert OfferChange("parse: fast", "1 a page", "2 a page") in found
    assert OfferChange("parse: agentic", None, "10 a page") in found
    assert offer_changes(new, new) == []
