"""Prices a request: the modes it names, looked up on the rate card, times the units its route expects.

A mode that is sent and cannot be read, or is not on the card, is an answer of its own: it never becomes the default
or the cheapest price. Reads nothing itself: `wire.values` does.
"""

from typing import NamedTuple

from gateway.domain.quote import Quote, UnknownMode, quote
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.wire.route import ExtraPart, Metered, Source
from gateway.wire.units import count_units
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import RequestValues

Priced = Quote | UnknownMode | Unreadable


class _Chosen(NamedTuple):
    """A mode of the card. `cheapest` where the request hides its mode: the mode quoted is the dearest."""

    mode: str
    cheapest: str | None = None


class PriceList:
    """A rate card with the quotes already made from it; there are no more of them than combinations on the card."""

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self._quotes: dict[tuple[object, ...], Quote] = {}

    def price(self, metered: Metered, values: RequestValues) -> Priced:
        """The quote for a request on a metered route."""
        own = self._mode(metered.product, metered, metered.default_mode, values)
        if not isinstance(own, _Chosen):
            return own
        wanted = [(metered.product, own)]
        for part in metered.extra_parts:
            extra = self._extra(part, own, values)
            if isinstance(extra, Unreadable | UnknownMode):
                return extra
            if extra is not None:
                wanted.append((part.product, extra))
        add_ons: list[str] = []
        for add_on in metered.add_ons:
            paid = values.holds(add_on.when)
            if isinstance(paid, Unreadable):
                return paid
            if paid:
                add_ons.append(add_on.name)
        if metered.units.fixed:
            return self._kept(metered, tuple(wanted), tuple(add_ons))
        counted = count_units(metered.units, values)
        return counted if isinstance(counted, Unreadable) else self._quote(tuple(wanted), tuple(add_ons), counted)

    def _kept(self, metered: Metered, wanted: tuple[tuple[str, _Chosen], ...], add_ons: tuple[str, ...]) -> Priced:
        """A quote whose units the route fixes: made once."""
        units = metered.units.expected, metered.units.at_least
        key = (wanted, add_ons, units)
        known = self._quotes.get(key)
        if known is not None:
            return known
        made = self._quote(wanted, add_ons, units)
        if isinstance(made, Quote):
            self._quotes[key] = made
        return made

    def _quote(
        self, wanted: tuple[tuple[str, _Chosen], ...], add_ons: tuple[str, ...], units: tuple[int, int]
    ) -> Quote | UnknownMode:
        return quote(
            self.card,
            tuple((product, chosen.mode) for product, chosen in wanted),
            add_ons,
            expected_units=units[0],
            least_units=units[1],
            cheapest={product: chosen.cheapest for product, chosen in wanted if chosen.cheapest is not None},
        )

    def _mode(
        self, product: str, asked: Metered | ExtraPart, unsent: str | None, values: RequestValues
    ) -> _Chosen | UnknownMode | Unreadable:
        """The mode a request names, `unsent` or the card's default where it names none.

        The dearest where it names several, and where only the service knows it.
        """
        rates = self.card.products[product]
        if asked.mode.source is Source.HIDDEN:
            return _hidden(rates, asked.modes or tuple(rates.rates_millicredits))
        sent = values.modes(asked.mode)
        if isinstance(sent, Unreadable):
            return sent
        if not sent and asked.saved is not None:
            name = values.text(asked.saved)
            if isinstance(name, Unreadable):
                return name
            if name is not None:
                return _hidden(rates, asked.modes or tuple(rates.rates_millicredits))
        dearest: str | None = None
        for text in sent or (unsent,):
            mode = _on_route(rates, asked, text)
            if mode is None:
                return UnknownMode(product, text, asked.modes or tuple(rates.rates_millicredits))
            if dearest is None or rates.rates_millicredits[mode] > rates.rates_millicredits[dearest]:
                dearest = mode
        assert dearest is not None, "at least one mode was looked at"  # noqa: S101
        return _Chosen(dearest)

    def _extra(self, part: ExtraPart, own: _Chosen, values: RequestValues) -> _Chosen | UnknownMode | Unreadable | None:
        """The extra part's mode: its own where one is sent, else the call's; None where it is not paid."""
        if own.mode in part.unless_modes:
            return None
        if part.unless is not None:
            left_out = values.holds(part.unless)
            if isinstance(left_out, Unreadable):
                return left_out
            if left_out:
                return None
        found = self._mode(part.product, part, part.default_mode or own.mode, values)
        if found == _Chosen(own.mode) and own.cheapest in self.card.products[part.product].rates_millicredits:
            return _Chosen(own.mode, own.cheapest)
        return found


def _on_route(rates: ProductRates, asked: Metered | ExtraPart, sent: str | None) -> str | None:
    """The card's name of a mode, None where the card or this route does not know it."""
    mode = rates.mode(sent)
    return mode if not asked.modes or mode in asked.modes else None


def _hidden(rates: ProductRates, modes: tuple[str, ...]) -> _Chosen:
    by_price = sorted(modes, key=lambda mode: rates.rates_millicredits[mode])
    return _Chosen(by_price[-1], by_price[0])
