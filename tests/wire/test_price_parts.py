"""A price is taken apart only where there is one way to put it together."""

from datetime import date
from pathlib import Path

import pytest

from gateway.configuration import load
from gateway.domain.quote import PricePart
from gateway.domain.rate_card import RateCard
from gateway.wire.price_parts import parts_of
from gateway.wire.route import RouteTable
from tests.made_up import CREDIT, facts

CONFIG = Path(__file__).parents[2] / "config" / "gateway.yaml"


@pytest.fixture(scope="module")
def shipped() -> tuple[RateCard, RouteTable]:
    catalog = load(CONFIG).catalog
    return catalog.rate_card, catalog.routes


def route_of(routes: RouteTable, pattern: str) -> str:
    """The name of the route that begins a call there."""
    return next(route.name for route in routes.routes if route.pattern == pattern and route.metered is not None)


def named(parts: tuple[PricePart, ...] | None) -> list[tuple[str, str, int]] | None:
    return (
        None if parts is None else [(part.product, part.mode, part.millicredits_per_unit // CREDIT) for part in parts]
    )


@pytest.mark.parametrize(
    ("credits_", "expected"),
    [
        (10, [("parse", "agentic", 10)]),
        (15, [("parse", "agentic", 10), ("parse", "high_confidence_scoring", 5)]),
        (11, None),
        (9, None),
    ],
)
def test_add_ons_are_found_again(
    shipped: tuple[RateCard, RouteTable], credits_: int, expected: list[tuple[str, str, int]] | None
) -> None:
    card, routes = shipped
    route = route_of(routes, "/api/v2/parse")
    told = facts("acc_1", "req_1", route=route, rate_card_version=card.version, millicredits_per_unit=credits_ * CREDIT)
    assert named(parts_of(told, card, routes)) == expected


def test_the_parse_part_of_an_extraction_is_found_again(shipped: tuple[RateCard, RouteTable]) -> None:
    card, routes = shipped
    told = facts(
        "acc_1",
        "req_1",
        product="extract",
        route=route_of(routes, "/api/v2/extract"),
        rate_card_version=card.version,
        millicredits_per_unit=18 * CREDIT,
    )
    assert named(parts_of(told, card, routes)) == [("extract", "agentic", 15), ("parse", "cost_effective", 3)]


def test_a_price_of_another_version_is_not_taken_apart(shipped: tuple[RateCard, RouteTable]) -> None:
    card, routes = shipped
    told = facts("acc_1", "req_1", route=route_of(routes, "/api/v2/parse"), rate_card_version=card.version)
    assert parts_of(told, card, routes) is not None
    assert parts_of(told, RateCard("other", date(2026, 1, 1), card.products), routes) is None
    assert parts_of(facts("acc_1", "req_1", route="gone", rate_card_version=card.version), card, routes) is None
