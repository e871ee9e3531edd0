from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.quote import PricePart, Quote, UnknownMode, price_part, quote
from gateway.domain.rate_card import ProductRates, RateCard

CARD = RateCard(
    "2026-11",
    date(2026, 11, 1),
    {
        "parse": ProductRates(
            "parse",
            "page",
            {"fast": 1000, "agentic": 10_000},
            "fast",
            add_ons_millicredits={"layout": 3000},
            aliases={"FAST": "fast"},
        ),
        "extract": ProductRates("extract", "page", {"agentic": 15_000}),
    },
)


def test_a_quote_is_units_times_all_its_parts() -> None:
    made = quote(CARD, (("extract", "agentic"), ("parse", "agentic")), expected_units=10, least_units=1)
    assert isinstance(made, Quote)
    assert (made.expected_millicredits, made.least_millicredits, made.exact) == (250_000, 25_000, False)
    assert (made.product, made.mode, made.unit, made.rate_card_version) == ("extract", "agentic", "page", "2026-11")


def test_an_add_on_is_paid_on_every_unit() -> None:
    made = quote(CARD, (("parse", None),), ("layout",), expected_units=2, least_units=2)
    assert isinstance(made, Quote)
    assert made.parts == (PricePart("parse", "fast", 1000), PricePart("parse", "layout", 3000))
    assert (made.expected_millicredits, made.exact) == (8000, True)


@pytest.mark.parametrize("sent", ["", "Fast", "turbo", "fast ", "layout", "__class__"])
def test_a_mode_that_is_not_on_the_card_never_gets_another_modes_price(sent: str) -> None:
    assert price_part(CARD, "parse", sent) == UnknownMode("parse", sent, ("fast", "agentic"))


def test_one_unknown_mode_among_the_parts_makes_no_quote() -> None:
    made = quote(CARD, (("extract", "agentic"), ("parse", "x")), expected_units=1, least_units=1)
    assert made == UnknownMode("parse", "x", ("fast", "agentic"))


def test_no_mode_is_the_cards_default_and_an_alias_is_its_mode() -> None:
    assert price_part(CARD, "parse", None) == price_part(CARD, "parse", "FAST") == PricePart("parse", "fast", 1000)


def test_a_product_without_a_default_wants_its_mode_named() -> None:
    assert price_part(CARD, "extract", None) == UnknownMode("extract", None, ("agentic",))


@given(st.integers(1, 10**6), st.data())
def test_the_least_is_never_above_what_is_expected(expected: int, data: st.DataObject) -> None:
    least = data.draw(st.integers(0, expected))
    made = quote(CARD, (("parse", "agentic"),), expected_units=expected, least_units=least)
    assert isinstance(made, Quote)
    assert made.least_millicredits <= made.expected_millicredits
    assert made.exact == (made.least_millicredits == made.expected_millicredits)
