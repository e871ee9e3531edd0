"""Quotes: what a call is expected, and at least, to cost before it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, assert_never

from gateway.domain.rate_card import RateCard


class PricePart(NamedTuple):
    """One price per unit that applies to a call, by the product and mode it stands under on the rate card.

    `least_millicredits_per_unit` is lower than the price where the request hides its mode, so that the dearest is
    quoted: it is what the cheapest would cost. None: the price itself.
    """

    product: str
    mode: str
    millicredits_per_unit: int
    least_millicredits_per_unit: int | None = None

    @property
    def least(self) -> int:
        """The least that this part can cost per unit."""
        least = self.least_millicredits_per_unit
        return self.millicredits_per_unit if least is None else least


class Quote(NamedTuple):
    """What a call is expected to cost. Where `least_millicredits` equals the expected cost, the quote is exact.

    `product` and `mode` are what the call is booked under, also the parts that stand under another product.
    `millicredits_per_unit` is the whole price of one unit, all parts together.
    """

    product: str
    mode: str
    unit: str
    expected_units: int
    least_units: int
    parts: tuple[PricePart, ...]
    rate_card_version: str
    millicredits_per_unit: int
    least_millicredits_per_unit: int

    @property
    def expected_millicredits(self) -> int:
        """What the call is expected to cost: its hold, unless less is available."""
        return self.expected_units * self.millicredits_per_unit

    @property
    def least_millicredits(self) -> int:
        """The least the call can cost: with less than this available it is refused."""
        return self.least_units * self.least_millicredits_per_unit

    @property
    def exact(self) -> bool:
        """True where the request fixes the units and hides no price."""
        return (
            self.expected_units == self.least_units and self.millicredits_per_unit == self.least_millicredits_per_unit
        )


@dataclass(frozen=True, slots=True)
class UnknownMode:
    """The request names a mode that is not on the rate card."""

    product: str
    sent: str | None
    known: tuple[str, ...]


def price_part(card: RateCard, product: str, sent_mode: str | None) -> PricePart | UnknownMode:
    """The price under `product` for the mode a caller sent (None: none sent, so the card's default)."""
    rates = card.products[product]
    mode = rates.mode(sent_mode)
    if mode is None:
        return UnknownMode(product, sent_mode, tuple(rates.rates_millicredits))
    return PricePart(product, mode, rates.rates_millicredits[mode])


def quote(
    card: RateCard,
    wanted: tuple[tuple[str, str | None], ...],
    add_ons: tuple[str, ...] = (),
    *,
    expected_units: int,
    least_units: int,
    cheapest: Mapping[str, str] = MappingProxyType({}),
) -> Quote | UnknownMode:
    """The quote for (product, sent mode) pairs and the first product's add-ons; the first names what is booked.

    Units are whole and at least 1 is expected; `least_units` never exceeds `expected_units`. `cheapest` names, by
    product, the cheapest mode that may run where the request hides its mode and the pair names the dearest.
    """
    parts: list[PricePart] = []
    for product, sent in wanted:
        part = price_part(card, product, sent)
        match part:
            case PricePart():
                least = cheapest.get(product)
                rates = card.products[product].rates_millicredits
                parts.append(part if least is None else part._replace(least_millicredits_per_unit=rates[least]))
            case UnknownMode():
                return part
            case _:
                assert_never(part)
    first = parts[0]
    prices = card.products[first.product].add_ons_millicredits
    parts.extend(PricePart(first.product, name, prices[name]) for name in add_ons)
    unit = card.products[first.product].unit_of(first.mode)
    return Quote(
        first.product,
        first.mode,
        unit,
        expected_units,
        least_units,
        tuple(parts),
        card.version,
        millicredits_per_unit=sum(part.millicredits_per_unit for part in parts),
        least_millicredits_per_unit=sum(part.least for part in parts),
    )
