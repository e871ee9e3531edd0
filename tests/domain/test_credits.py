import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.credits import MAX_MILLICREDITS, credits_text, millicredits, reported_millicredits

AMOUNTS = st.integers(0, MAX_MILLICREDITS)


@given(AMOUNTS)
def test_credits_survive_the_way_to_text_and_back(amount: int) -> None:
    assert millicredits(credits_text(amount)) == amount


@given(AMOUNTS)
def test_text_has_no_more_digits_than_it_needs(amount: int) -> None:
    text = credits_text(amount)
    assert Decimal(text) * 1000 == amount
    assert "E" not in text
    assert not ("." in text and text.endswith(("0", ".")))
    assert credits_text(-amount) == (f"-{text}" if amount else "0")


@pytest.mark.parametrize(
    ("written", "expected"), [(10_000, 10_000_000), ("2.5", 2500), ("0.001", 1), (Decimal("1E3"), 1_000_000), (0, 0)]
)
def test_credits_as_an_operator_writes_them(written: int | str | Decimal, expected: int) -> None:
    assert millicredits(written) == expected


@pytest.mark.parametrize("written", ["-1", "0.0001", "NaN", "Infinity", "ten", "", "9007199254741", Decimal("-0.5")])
def test_what_is_no_amount_of_credits_is_refused(written: str | Decimal) -> None:
    with pytest.raises(ValueError, match="credits"):
        millicredits(written)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [(0, 0), (0.0, 0), (12, 12_000), (12.5, 12_500), (0.1, 100), (0.0005, 1), (0.00049, 0), (1e3, 1_000_000)],
)
def test_zero_reported_credits_stay_zero_and_others_are_rounded_half_up(reported: float, expected: int) -> None:
    assert reported_millicredits(reported) == expected


@pytest.mark.parametrize("reported", [None, True, False, "12", -1, -0.5, 1e308, math.inf, math.nan, 2**53, [], {}])
def test_what_is_no_amount_is_not_taken_for_one(reported: object) -> None:
    assert reported_millicredits(reported) is None


@given(st.floats(0, 1e9))
def test_a_reported_float_is_off_by_half_a_millicredit_at_most(reported: float) -> None:
    amount = reported_millicredits(reported)
    assert amount is not None
    assert abs(Decimal(repr(reported)) * 1000 - amount) <= Decimal("0.5")
