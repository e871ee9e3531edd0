"""The parts of a price per unit, found again for a call of which only the whole price was kept.

Only where there is nothing to guess: the same version of the rate card, and one combination of the route's parts that
adds up. Prices are quoted by `wire.price`, never here.
"""

from collections.abc import Iterator
from itertools import chain, combinations, product
from typing import Final, Protocol

from gateway.domain.quote import PricePart
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.wire.route import ExtraPart, Metered, RouteTable

# A route of many parts on a long card is not worth the search.
_MOST_COMBINATIONS: Final = 4_096


class BookedPrice(Protocol):
    """What was kept of a call's price: `CallFacts` is one."""

    @property
    def product(self) -> str:
        """What it was booked under, with `mode`."""
        ...

    @property
    def mode(self) -> str: ...  # noqa: D102

    @property
    def route(self) -> str:
        """By whose name its parts are known."""
        ...

    @property
    def rate_card_version(self) -> str:
        """The price list it was admitted under."""
        ...

    @property
    def millicredits_per_unit(self) -> int:
        """All parts together."""
        ...


def parts_of(facts: BookedPrice, card: RateCard, routes: RouteTable) -> tuple[PricePart, ...] | None:
    """The parts that a call's price per unit was made of; None where that is not certain any more."""
    metered = next((route.metered for route in routes.routes if route.name == facts.route), None)
    rates = card.products.get(facts.product)
    if facts.rate_card_version != card.version or metered is None or rates is None or metered.product != facts.product:
        return None
    own = rates.rates_millicredits.get(facts.mode)
    if own is None:
        return None
    first = PricePart(facts.product, facts.mode, own)
    choices = [_modes(part, card) for part in metered.extra_parts]
    add_ons = _add_ons(metered, rates)
    number = 2 ** len(add_ons)
    for choice in choices:
        number *= len(choice)
    if number > _MOST_COMBINATIONS:
        return None
    missing = facts.millicredits_per_unit - own
    found = [
        (first, *parts)
        for parts in _combinations(choices, add_ons)
        if missing == sum(map(_price, parts)) and missing >= 0
    ]
    return found[0] if len(found) == 1 else None


def _combinations(choices: list[list[PricePart | None]], add_ons: list[PricePart]) -> Iterator[tuple[PricePart, ...]]:
    subsets = list(chain.from_iterable(combinations(add_ons, size) for size in range(len(add_ons) + 1)))
    for extra in product(*choices):
        for subset in subsets:
            yield (*(part for part in extra if part is not None), *subset)


def _modes(part: ExtraPart, card: RateCard) -> list[PricePart | None]:
    """What a further part may have been; None: it was left out."""
    rates = card.products[part.product].rates_millicredits
    return [None, *(PricePart(part.product, mode, rates[mode]) for mode in part.modes or rates if mode in rates)]


def _add_ons(metered: Metered, rates: ProductRates) -> list[PricePart]:
    prices = rates.add_ons_millicredits
    names = dict.fromkeys(add_on.name for add_on in metered.add_ons)
    return [PricePart(metered.product, name, prices[name]) for name in names if name in prices]


def _price(part: PricePart) -> int:
    return part.millicredits_per_unit
