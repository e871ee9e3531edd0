"""Which alerts a state gives reason to, against the sentences they stand for."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.alert import Alert, AlertKind, Spending, crossed
from gateway.domain.limits import Ceiling, CeilingBy, Sold, SpendLimits, ceiling
from gateway.domain.plan import NO_CEILING_MILLICREDITS, Tier

CREDIT = 1000
PRICE = 1250  # nano-dollars a millicredit: 8 credits a cent
PERCENTS = (50, 80, 90, 100, 120)
STARTER = Sold(400_000 * CREDIT, PRICE)


def starter(used_credits: int, own: SpendLimits | None = None) -> Spending:
    return Spending(used_credits * CREDIT, 40_000 * CREDIT, ceiling(STARTER, own or SpendLimits()), PRICE)


def told(state: Spending, percents: tuple[int, ...] = PERCENTS, cents: tuple[int, ...] = ()) -> list[tuple[str, int]]:
    return [(str(alert.kind), alert.threshold) for alert in crossed(state, percents=percents, cents=cents)]


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (0, []),
        (19_999, []),
        (20_000, [("allowance_threshold", 50)]),
        (36_000, [("allowance_threshold", 50), ("allowance_threshold", 80), ("allowance_threshold", 90)]),
        (39_999, [("allowance_threshold", 50), ("allowance_threshold", 80), ("allowance_threshold", 90)]),
    ],
)
def test_a_threshold_is_crossed_when_it_is_reached(used: int, expected: list[tuple[str, int]]) -> None:
    assert told(starter(used)) == expected


def test_using_up_the_allowance_is_told_by_llamaclouds_name_whatever_the_account_chose() -> None:
    assert told(starter(40_000), percents=()) == [("free_credits_exhausted", 100)]


def test_amounts_of_money_are_of_what_pay_as_you_go_has_cost() -> None:
    assert ("plan_spend_limit_soft_alert", 1_000) not in told(starter(47_999), cents=(1_000,))
    assert ("plan_spend_limit_soft_alert", 1_000) in told(starter(48_000), cents=(1_000,))


def test_the_lowest_ceiling_is_the_one_that_is_told() -> None:
    assert ("plan_spend_limit_exceeded", 50_000) in told(starter(440_000))
    own = SpendLimits(max_cents=2_000)
    reached = told(starter(56_000, own))
    assert ("configured_spend_limit_exceeded", 2_000) in reached
    assert "plan_spend_limit_exceeded" not in dict(reached)
    assert "configured_spend_limit_exceeded" not in dict(told(starter(55_999, own)))


def test_without_pay_as_you_go_no_limit_of_money_is_told() -> None:
    switched_off = starter(60_000, SpendLimits(pay_as_you_go=False))
    assert {name for name, _ in told(switched_off, cents=(1,))} == {"allowance_threshold", "free_credits_exhausted"}


def test_graduated_prices_are_what_amounts_of_money_are_rated_by() -> None:
    tiers = (Tier(8_000 * CREDIT, PRICE), Tier(None, PRICE // 2))
    state = Spending(24_000 * CREDIT, 0, Ceiling(100_000 * CREDIT, CeilingBy.CONTRACT), PRICE, tiers)
    assert state.spend_cents == 1_000 + 1_000
    assert told(state, cents=(2_000, 2_001)) == [("plan_spend_limit_soft_alert", 2_000)]


def test_an_endless_ceiling_is_never_exceeded() -> None:
    endless = Ceiling(NO_CEILING_MILLICREDITS, CeilingBy.CONTRACT)
    state = Spending(2 * NO_CEILING_MILLICREDITS, 1, endless, PRICE)
    assert {kind for kind, _ in told(state)} == {"allowance_threshold", "free_credits_exhausted"}


def test_an_allowance_of_nothing_is_never_used_up() -> None:
    assert told(Spending(5 * CREDIT, 0, Ceiling(0, CeilingBy.ALLOWANCE))) == []


amounts = st.integers(0, 10**12)


@given(
    used=amounts,
    included=amounts,
    limit=amounts,
    by=st.sampled_from([CeilingBy.PLAN, CeilingBy.ACCOUNT]),
    price=st.integers(1, 10**6),
    percents=st.lists(st.integers(1, 1000), max_size=6),
    cents=st.lists(st.integers(1, 10**9), max_size=6),
)
def test_what_is_told_is_what_the_sentences_say(
    used: int, included: int, limit: int, by: CeilingBy, price: int, percents: list[int], cents: list[int]
) -> None:
    expected = set()
    for percent in {*percents, 100}:
        if included > 0 and Fraction(used, included) >= Fraction(percent, 100):
            kind = AlertKind.FREE_CREDITS_EXHAUSTED if percent == 100 else AlertKind.ALLOWANCE_THRESHOLD
            expected.add(Alert(kind, percent))
    spent = Fraction(min(max(0, used - included), limit) * price, 10**7)
    expected |= {Alert(AlertKind.PLAN_SPEND_LIMIT_SOFT_ALERT, amount) for amount in cents if spent >= amount}
    found = crossed(Spending(used, included, Ceiling(limit, by), price), percents=percents, cents=cents)
    ceilings = {AlertKind.PLAN_SPEND_LIMIT_EXCEEDED, AlertKind.CONFIGURED_SPEND_LIMIT_EXCEEDED}
    assert {alert for alert in found if alert.kind not in ceilings} == expected
    exceeded = [alert.kind for alert in found if alert.kind in ceilings]
    own = by is CeilingBy.ACCOUNT
    kind = AlertKind.CONFIGURED_SPEND_LIMIT_EXCEEDED if own else AlertKind.PLAN_SPEND_LIMIT_EXCEEDED
    assert exceeded == ([kind] if limit > 0 and used - included >= limit else [])


@given(used=amounts, more=amounts, percents=st.lists(st.integers(1, 1000), max_size=6))
def test_more_usage_never_takes_an_alert_back(used: int, more: int, percents: list[int]) -> None:
    def at(amount: int) -> set[Alert]:
        state = Spending(amount, 40_000 * CREDIT, Ceiling(1_000 * CREDIT, CeilingBy.PLAN), PRICE)
        return set(crossed(state, percents=percents, cents=(1, 100)))

    assert at(used) <= at(used + more)
