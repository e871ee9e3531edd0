"""Contracts as arithmetic: graduated prices against a model that counts credit by credit, periods, versions."""

import calendar
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.contract import BillingPeriod, Contract, ContractVersion, OverageMode, in_force, plan_under
from gateway.domain.invoice import Before, ServicePeriod, graduated_pay_as_you_go, totals
from gateway.domain.money import rounded
from gateway.domain.period import period_from
from gateway.domain.plan import NO_CEILING_MILLICREDITS, PayAsYouGo, Plan, RateLimit, Tier, WhenExhausted
from gateway.domain.rating import graduated_cents, in_tier, rolled_over_millicredits

PLAN = Plan(
    "enterprise",
    "Enterprise",
    0,
    0,
    {"requests": RateLimit("requests", 100, 60_000), "reads": None},
    concurrent_calls=50,
    contract=True,
)
NAMES = st.tuples(st.sampled_from("abc"), st.sampled_from("xy"))


@st.composite
def graduated(draw: st.DrawFn) -> tuple[Tier, ...]:
    """One to five tiers that end at small amounts, so that a model can count them out."""
    ends = sorted(draw(st.sets(st.integers(1, 60), max_size=4)))
    rates = draw(st.lists(st.integers(1, 3_000_000), min_size=len(ends) + 1, max_size=len(ends) + 1))
    return tuple(Tier(end, rate) for end, rate in zip([*ends, None], rates, strict=True))


def price_of(number: int, tiers: Sequence[Tier]) -> tuple[int, int]:
    """The tier of the n-th millicredit, counted from 0, and what it costs in nano-dollars."""
    for at, tier in enumerate(tiers):
        if tier.up_to_millicredits is None or number < tier.up_to_millicredits:
            return at, tier.nanodollars_per_millicredit
    raise AssertionError


def sold(tiers: tuple[Tier, ...]) -> ServicePeriod:
    return ServicePeriod(0, 1, "enterprise", "Enterprise", 0, 0, tiers[0].nanodollars_per_millicredit, tiers, 1)


@given(graduated(), st.integers(0, 90))
def test_graduated_prices_come_to_the_sum_of_every_single_millicredit(tiers: tuple[Tier, ...], used: int) -> None:
    model = sum(price_of(number, tiers)[1] for number in range(used))
    assert graduated_cents(used, tiers) == Fraction(model, 10_000_000)
    assert sum(in_tier(used, tiers, tier) for tier in range(len(tiers))) == used


@given(graduated(), st.integers(0, 40_000_000))
def test_a_ceiling_in_money_is_the_last_millicredit_that_fits(tiers: tuple[Tier, ...], nanodollars: int) -> None:
    cents = nanodollars // 10_000_000
    ceiling = PayAsYouGo(tiers[0].nanodollars_per_millicredit, cents, tiers).ceiling_millicredits
    assert graduated_cents(ceiling, tiers) <= cents < graduated_cents(ceiling + 1, tiers)


@given(graduated(), st.lists(st.lists(st.tuples(NAMES, st.integers(1, 25)), max_size=5), min_size=1, max_size=4))
def test_each_tier_is_rounded_once_however_many_invoices_charge_it(
    tiers: tuple[Tier, ...], closings: list[list[tuple[tuple[str, str], int]]]
) -> None:
    """Usage in the order of settlement, closed in pieces: lines = sub-lines, and each tier is its whole rounded."""
    used, cents, number = 0, dict.fromkeys(range(len(tiers)), 0), None
    for closing in closings:
        before = used
        parts: dict[int, dict[tuple[str, str], int]] = {}
        for name, amount in closing:
            for _ in range(amount):
                tier, _price = price_of(used, tiers)
                parts.setdefault(tier, {})[name] = parts.get(tier, {}).get(name, 0) + 1
                used += 1
        drawn = graduated_pay_as_you_go(sold(tiers), parts, Before(before, 0, number))
        assert len(drawn) == len(parts)
        for tier, line in zip(sorted(parts), drawn, strict=True):
            assert line.millicredits == sum(parts[tier].values())
            assert sum(part.amount_cents for part in line.sub_lines) == line.amount_cents
            assert line.period.nanodollars_per_millicredit == tiers[tier].nanodollars_per_millicredit
            cents[tier] += line.amount_cents
        assert totals(drawn).subtotal_cents == sum(line.amount_cents for line in drawn)
        number = "2026-000001"
    for tier, came_to in cents.items():
        rate = tiers[tier].nanodollars_per_millicredit
        assert came_to == rounded(Fraction(in_tier(used, tiers, tier) * rate, 10_000_000))


@pytest.mark.parametrize("day", range(1, 32))
@pytest.mark.parametrize("period", list(BillingPeriod))
def test_periods_of_any_length_tile_for_48_months_from_every_day(day: int, period: BillingPeriod) -> None:
    anchor = start = datetime(2024, 1, day, 23, 30, tzinfo=UTC)
    for index in range(0, 48, period.months):
        found = period_from(anchor, start, months=period.months)
        assert (found.index, found.start) == (index, start)
        assert found.end.day == min(day, calendar.monthrange(found.end.year, found.end.month)[1])
        assert (found.end.year * 12 + found.end.month) - (start.year * 12 + start.month) == period.months
        start = found.end


@given(st.integers(1, 31), st.lists(st.sampled_from(list(BillingPeriod)), min_size=1, max_size=12))
def test_periods_tile_also_where_their_length_changes_at_a_boundary(day: int, agreed: list[BillingPeriod]) -> None:
    anchor = start = datetime(2024, 1, day, 9, tzinfo=UTC)
    months = 0
    for period in agreed:
        found = period_from(anchor, start, months=period.months)
        months += period.months
        assert found.start == start < found.end
        assert found.end.day == min(day, calendar.monthrange(found.end.year, found.end.month)[1])
        assert (found.end.year - 2024) * 12 + found.end.month - 1 == months
        start = found.end


def test_a_period_begins_nowhere_but_whole_months_after_the_anchor() -> None:
    with pytest.raises(ValueError, match="whole number of months"):
        period_from(datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))


def test_what_a_contract_does_not_name_is_the_plans() -> None:
    own = Contract(5_000, 100, rate_limits={"requests": RateLimit("requests", 900, 60_000)}, net_days=14)
    made = own.applied_to(PLAN, 3)
    assert made.rate_limits == {"requests": RateLimit("requests", 900, 60_000), "reads": None}
    assert (made.concurrent_calls, made.net_days, made.contract_version) == (50, 14, 3)
    assert (made.when_exhausted, made.overage_millicredits) == (WhenExhausted.REFUSE, 0)


@pytest.mark.parametrize(
    ("mode", "overage"),
    [
        (OverageMode.REFUSE, 0),
        (OverageMode.PAY_AS_YOU_GO, 10_000_000),
        (OverageMode.ALLOW_AND_ALERT, NO_CEILING_MILLICREDITS),
    ],
)
def test_each_mode_of_overage_has_its_ceiling(mode: OverageMode, overage: int) -> None:
    own = Contract(5_000, 100, overage=mode, tiers=(Tier(None, 1_000),), max_cents_per_period=1_000)
    assert own.applied_to(PLAN, 1).overage_millicredits == overage


def _versions(agreed: Mapping[int, int], ends_ms: int | None = None) -> list[ContractVersion]:
    own = Contract(1, 1, ends_ms=ends_ms)
    return [ContractVersion("acc", number, "sub", start, own, 0, "cli", "r") for number, start in agreed.items()]


@pytest.mark.parametrize(
    ("at_ms", "version"),
    [(9, None), (10, 1), (29, 1), (30, 3), (100, 3)],
)
def test_the_highest_version_whose_start_has_come_is_in_force(at_ms: int, version: int | None) -> None:
    # The second was planned for later, and the third replaced all that was to come from 30 on.
    found = in_force(_versions({1: 10, 2: 50, 3: 30}), "sub", at_ms)
    assert (None if found is None else found.version) == version


def test_a_contract_is_over_at_its_end_and_for_whoever_left_the_plan() -> None:
    versions = _versions({1: 10}, ends_ms=50)
    assert in_force(versions, "sub", 49) is not None
    assert in_force(versions, "sub", 50) is None
    assert in_force(versions, "another", 49) is None
    assert plan_under(PLAN, versions, "sub", 50) is PLAN


@given(st.integers(-(10**9), 10**12), st.integers(0, 1_000_000))
def test_no_more_rolls_over_than_was_left(unused: int, parts_per_million: int) -> None:
    rolled = rolled_over_millicredits(unused, parts_per_million)
    assert 0 <= rolled <= max(0, unused)
    assert rolled == max(0, unused) * parts_per_million // 1_000_000
