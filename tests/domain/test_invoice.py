"""Invoice arithmetic: what holds for every invoice. The golden cases are in tests/flows/test_golden_cases.py."""

from collections.abc import Mapping
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.invoice import (
    Before,
    InvoiceEvent,
    InvoiceStatus,
    Line,
    LineKind,
    ServicePeriod,
    TaxRate,
    disagreement,
    next_status,
    pay_as_you_go,
    plan_fee,
    totals,
    unused_allowance,
)
from gateway.domain.money import Share, dollars_text, rounded, shared
from gateway.domain.rating import pay_as_you_go_cents, split_usage, unused_paid_millicredits

CREDIT = 1000
STARTER = ServicePeriod(0, 1, "starter", "Starter", 5_000, 40_000 * CREDIT, 1250)
PRO = ServicePeriod(1, 2, "pro", "Pro", 50_000, 400_000 * CREDIT, 1250)
FREE = ServicePeriod(0, 1, "free", "Free", 0, 10_000 * CREDIT, None)
CEILING = 400_000 * CREDIT


def closing(period: ServicePeriod, used: int) -> Line | None:
    split = split_usage(used * CREDIT, granted_millicredits=period.allowance_millicredits, overage_millicredits=CEILING)
    return pay_as_you_go(period, {("parse", "agentic"): split.pay_as_you_go_millicredits})


def upgrade(old: ServicePeriod, new: ServicePeriod, used: int) -> list[Line]:
    unused = unused_paid_millicredits(
        allowance_millicredits=old.allowance_millicredits,
        granted_millicredits=old.allowance_millicredits,
        counted_millicredits=used * CREDIT,
    )
    lines = (closing(old, used), plan_fee(new), unused_allowance(old, unused))
    return [line for line in lines if line is not None]


def test_ties_go_to_more_credits_and_then_to_the_name() -> None:
    half = Fraction(1, 2)
    assert shared(1, [Share(("b",), 4, half), Share(("a",), 4, half)]) == [0, 1]
    assert shared(2, [Share(("a",), 4, half), Share(("b",), 12, half + 1)]) == [0, 2]
    with pytest.raises(ValueError, match="cannot be shared out"):
        shared(3, [Share(("a",), 4, half)])


def test_halves_are_rounded_away_from_zero() -> None:
    assert [rounded(Fraction(n, 2)) for n in (-3, -1, 0, 1, 3)] == [-2, -1, 0, 1, 2]
    assert [dollars_text(cents) for cents in (0, 5, -46_875, 123_456_789)] == [
        "$0.00",
        "$0.05",
        "-$468.75",
        "$1,234,567.89",
    ]


def test_tax_is_rounded_once_on_the_subtotal() -> None:
    lines = upgrade(STARTER, PRO, 15_000)
    assert totals(lines, TaxRate("VAT", 190_000)).tax_cents == 8_906
    assert totals(lines, TaxRate("VAT", 190_000)).total_cents == 46_875 + 8_906
    assert totals([], TaxRate("VAT", 190_000)).total_cents == 0


def test_what_was_held_at_an_upgrade_and_released_later_is_given_back() -> None:
    first = unused_allowance(STARTER, 25_000 * CREDIT)
    assert first is not None
    before = Before(25_000 * CREDIT, first.amount_cents, "2026-000001")
    more = unused_allowance(STARTER, 26_000 * CREDIT, before)
    assert more is not None
    assert (more.amount_cents, more.millicredits, more.corrects) == (-125, 1_000 * CREDIT, "2026-000001")
    less = unused_allowance(STARTER, 24_000 * CREDIT, before)
    assert less is not None
    assert less.amount_cents == 125
    assert unused_allowance(STARTER, 25_000 * CREDIT, before) is None


def test_every_state_refuses_what_makes_no_sense_there() -> None:
    allowed = {
        ("draft", "issue"): "issued",
        ("issued", "pay"): "paid",
        ("issued", "void"): "void",
        ("issued", "write_off"): "uncollectible",
        ("uncollectible", "pay"): "paid",
        ("uncollectible", "void"): "void",
    }
    for status, event in product(InvoiceStatus, InvoiceEvent):
        assert next_status(status, event) == allowed.get((status.value, event.value))


AMOUNTS = st.integers(0, 10**13)
RATES = st.integers(1, 10**7)
PARTS = st.dictionaries(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")), AMOUNTS, max_size=12)


def _priced(rate: int) -> ServicePeriod:
    return ServicePeriod(0, 1, "p", "P", 5_000, 40_000 * CREDIT, rate)


@given(PARTS, RATES, st.integers(0, MILLION := 1_000_000))
def test_an_invoice_is_its_lines_and_a_line_its_parts_to_the_cent(
    parts: Mapping[tuple[str, str], int], rate: int, tax: int
) -> None:
    line = pay_as_you_go(_priced(rate), parts)
    if line is None:
        assert not any(parts.values())
        return
    exact = pay_as_you_go_cents(sum(parts.values()), rate)
    assert abs(line.amount_cents - exact) <= Fraction(1, 2)
    assert sum(part.amount_cents for part in line.sub_lines) == line.amount_cents
    for part in line.sub_lines:
        assert abs(part.amount_cents - pay_as_you_go_cents(part.millicredits, rate)) < 1
    lines, vat = [line, Line(LineKind.PLAN_FEE, STARTER, 5_000)], TaxRate("VAT", tax)
    assert disagreement(lines, totals(lines, vat), vat) is None


@given(st.lists(PARTS, min_size=1, max_size=6), RATES)
def test_what_is_invoiced_in_pieces_comes_to_the_whole_rounded_once(
    pieces: list[Mapping[tuple[str, str], int]], rate: int
) -> None:
    before = Before()
    for number, parts in enumerate(pieces):
        line = pay_as_you_go(_priced(rate), parts, before)
        if line is not None:
            assert sum(part.amount_cents for part in line.sub_lines) == line.amount_cents
            before = Before(
                before.millicredits + line.millicredits, before.amount_cents + line.amount_cents, str(number)
            )
    assert before.amount_cents == rounded(pay_as_you_go_cents(before.millicredits, rate))


@given(AMOUNTS, st.integers(-(10**6), 10**13), AMOUNTS)
def test_every_credit_used_is_included_paid_for_or_written_off(usage: int, granted: int, overage: int) -> None:
    split = split_usage(usage, granted_millicredits=granted, overage_millicredits=overage)
    assert split.usage_millicredits == usage
    assert min(split.included_millicredits, split.pay_as_you_go_millicredits, split.written_off_millicredits) >= 0
    assert split.pay_as_you_go_millicredits <= overage
    over = max(0, usage - max(0, granted))
    assert split.pay_as_you_go_millicredits + split.written_off_millicredits == over


@given(st.integers(0, 80_000))
def test_an_upgrade_never_makes_credits_cheaper_than_list(used: int) -> None:
    paid = STARTER.price_cents + totals(upgrade(STARTER, PRO, used)).total_cents
    burned = min(used, 40_000)
    list_price = PRO.price_cents + Fraction(burned * 5_000, 40_000) + Fraction(max(0, used - 40_000), 8)
    assert abs(paid - list_price) <= 1
    assert paid >= PRO.price_cents
