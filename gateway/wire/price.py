"""Prices a request: the modes it names, looked up on the rate card, times the units its route expects.

A mode that is sent and cannot be read, or is not on the card, is an answer of its own: it never becomes the default
or the cheapest price. Reads nothing itself: `wire.values` does.
"""

from gateway.domain.quote import Quote, UnknownMode, quote
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.wire.route import ExtraPart, Metered, Where
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import RequestValues

Priced = Quote | UnknownMode | Unreadable


class PriceList:
    """A rate card with the quotes already made from it; there are no more of them than combinations on the card."""

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self._quotes: dict[tuple[object, ...], Quote] = {}

    def price(self, metered: Metered, values: RequestValues) -> Priced:
        """The quote for a request on a metered route."""
        sent = self._sent_mode(metered.product, metered.mode, metered.saved, values)
        if isinstance(sent, Unreadable):
            return sent
        wanted: list[tuple[str, str | None]] = [(metered.product, sent)]
        if metered.extra_parts:
            own = self.card.products[metered.product].mode(sent)
            for part in metered.extra_parts:
                extra = self._extra_mode(part, own, values)
                if isinstance(extra, Unreadable):
                    return extra
                if extra is not None:
                    wanted.append(extra)
        add_ons: list[str] = []
        for add_on in metered.add_ons:
            paid = values.holds(add_on.when)
            if isinstance(paid, Unreadable):
                return paid
            if paid:
                add_ons.append(add_on.name)
        return self._quote(metered, tuple(wanted), tuple(add_ons))

    def _quote(
        self, metered: Metered, wanted: tuple[tuple[str, str | None], ...], add_ons: tuple[str, ...]
    ) -> Quote | UnknownMode:
        units = metered.units
        key = (wanted, add_ons, units.expected, units.at_least)
        known = self._quotes.get(key)
        if known is not None:
            return known
        made = quote(self.card, wanted, add_ons, expected_units=units.expected, least_units=units.at_least)
        if isinstance(made, Quote):
            self._quotes[key] = made
        return made

    def _sent_mode(
        self, product: str, where: Where, saved: Where | None, values: RequestValues
    ) -> str | Unreadable | None:
        """The mode a request names; the dearest where a saved configuration that we cannot see names it."""
        sent = values.text(where)
        if sent is not None or saved is None:
            return sent
        name = values.text(saved)
        if name is None or isinstance(name, Unreadable):
            return name
        return _dearest(self.card.products[product])

    def _extra_mode(
        self, part: ExtraPart, own: str | None, values: RequestValues
    ) -> tuple[str, str | None] | Unreadable | None:
        """The extra part's product and mode: its own where one is sent, else the call's; None where it is not paid."""
        if own in part.unless_modes:
            return None
        if part.unless is not None:
            left_out = values.holds(part.unless)
            if isinstance(left_out, Unreadable):
                return left_out
            if left_out:
                return None
        sent = self._sent_mode(part.product, part.mode, part.saved, values)
        if isinstance(sent, Unreadable):
            return sent
        return part.product, own if sent is None else sent


def _dearest(rates: ProductRates) -> str:
    return max(rates.rates_millicredits, key=lambda mode: rates.rates_millicredits[mode])
