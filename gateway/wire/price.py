"""Prices a request: the modes it names, looked up on the rate card, times the units its route expects.

A mode that is sent and cannot be read, or is not on the card, is an answer of its own: it never becomes the default
or the cheapest price; so is a mode that a saved configuration hides. Reads nothing itself: `wire.values` does.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.domain.quote import Quote, UnknownMode, quote
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.wire.route import ExtraPart, Metered, Pointer, Source
from gateway.wire.saved_configuration import NO_MODES, LookUp, Modes, look_up
from gateway.wire.units import count_units
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import RequestValues

Priced = Quote | UnknownMode | Unreadable
Saved = Mapping[LookUp, Modes]

NOTHING_SAVED: Final[Saved] = {}


class _Chosen(NamedTuple):
    """A mode of the card. `cheapest` where the request hides its mode: the mode quoted is the dearest."""

    mode: str
    cheapest: str | None = None


class PriceList:
    """A rate card with the quotes already made from it; there are no more of them than combinations on the card."""

    def __init__(self, card: RateCard) -> None:
        self.card = card
        self._quotes: dict[tuple[object, ...], Quote] = {}
        self._same_for_all: dict[int, tuple[Metered, Quote]] = {}

    def price(self, metered: Metered, values: RequestValues, saved: Saved = NOTHING_SAVED) -> Priced | LookUp:
        """The quote for a request on a metered route.

        LookUp where that hangs on a saved configuration that is not in `saved`: to be asked again with it there.
        """
        same = self._same_for_all.get(id(metered))
        if same is not None:
            return same[1]
        made = self._price(metered, values, saved)
        if _prices_all_alike(metered) and isinstance(made, Quote):
            self._same_for_all[id(metered)] = metered, made  # kept with the route, so that its id stays its own
        return made

    def _price(self, metered: Metered, values: RequestValues, saved: Saved) -> Priced | LookUp:
        own = self._mode(metered.product, metered, metered.default_mode, values, saved)
        if not isinstance(own, _Chosen):
            return own
        wanted = [(metered.product, own)]
        for part in metered.extra_parts:
            told = None
            if saved and part.mode_in_saved is not None:
                told = _told(metered, part.mode_in_saved, values, saved)
            extra = self._extra(part, own, told, values, saved)
            if isinstance(extra, Unreadable | UnknownMode | LookUp):
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
        units = metered.units
        usual = units.expected, units.at_least
        counted = usual if units.fixed else count_units(units, values)
        if isinstance(counted, Unreadable):
            return counted
        if counted == usual:
            return self._kept(tuple(wanted), tuple(add_ons), usual)
        return self._quote(tuple(wanted), tuple(add_ons), counted)

    def _kept(
        self, wanted: tuple[tuple[str, _Chosen], ...], add_ons: tuple[str, ...], usual: tuple[int, int]
    ) -> Quote | UnknownMode:
        """A quote for as many units as the route expects of most calls: made once."""
        key = (wanted, add_ons, usual)
        known = self._quotes.get(key)
        if known is not None:
            return known
        made = self._quote(wanted, add_ons, usual)
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
        self, product: str, asked: Metered | ExtraPart, unsent: str | None, values: RequestValues, saved: Saved
    ) -> _Chosen | UnknownMode | Unreadable | LookUp:
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
                return _saved_mode(rates, asked, name, saved)
        dearest: str | None = None
        for text in sent or (unsent,):
            mode = _on_route(rates, asked, text)
            if mode is None:
                return UnknownMode(product, text, asked.modes or tuple(rates.rates_millicredits))
            if dearest is None or rates.rates_millicredits[mode] > rates.rates_millicredits[dearest]:
                dearest = mode
        assert dearest is not None, "at least one mode was looked at"  # noqa: S101
        return _Chosen(dearest)

    def _extra(
        self, part: ExtraPart, own: _Chosen, told: str | None, values: RequestValues, saved: Saved
    ) -> _Chosen | UnknownMode | Unreadable | LookUp | None:
        """The extra part's mode: its own where one is sent, else what the call's saved configuration has `told`, else
        the call's; None where it is not paid.
        """
        if own.mode in part.unless_modes:
            return None
        if part.unless is not None:
            left_out = values.holds(part.unless)
            if isinstance(left_out, Unreadable):
                return left_out
            if left_out:
                return None
        rates = self.card.products[part.product]
        if told is not None and _on_route(rates, part, told) is None:
            return _hidden(rates, part.modes or tuple(rates.rates_millicredits))
        found = self._mode(part.product, part, told or part.default_mode or own.mode, values, saved)
        if found == _Chosen(own.mode) and own.cheapest in self.card.products[part.product].rates_millicredits:
            return _Chosen(own.mode, own.cheapest)
        return found


def _prices_all_alike(metered: Metered) -> bool:
    """Whether nothing in a request can change its price."""
    if metered.mode.source is not Source.FIXED and metered.mode.source is not Source.HIDDEN:
        return False
    return metered.units.fixed and not metered.extra_parts and not metered.add_ons


def _on_route(rates: ProductRates, asked: Metered | ExtraPart, sent: str | None) -> str | None:
    """The card's name of a mode, None where the card or this route does not know it."""
    mode = rates.mode(sent)
    return mode if not asked.modes or mode in asked.modes else None


def _saved_mode(rates: ProductRates, asked: Metered | ExtraPart, name: str, saved: Saved) -> _Chosen | LookUp:
    """The mode of the saved configuration of this name; the dearest where it tells none that this route knows."""
    wanted = None if asked.saved_at is None else look_up(asked.saved_at, name)
    if wanted is not None:
        modes = saved.get(wanted)
        if modes is None:
            return wanted
        told = modes.get(wanted.modes[0])
        mode = None if told is None else _on_route(rates, asked, told)
        if mode is not None:
            return _Chosen(mode)
    return _hidden(rates, asked.modes or tuple(rates.rates_millicredits))


def _told(metered: Metered, pointer: Pointer, values: RequestValues, saved: Saved) -> str | None:
    """What the saved configuration that the call itself names says at a pointer; None where it was not looked up."""
    if metered.saved is None or metered.saved_at is None:
        return None
    name = values.text(metered.saved)
    wanted = look_up(metered.saved_at, name) if isinstance(name, str) else None
    return None if wanted is None else saved.get(wanted, NO_MODES).get(pointer)


def _hidden(rates: ProductRates, modes: tuple[str, ...]) -> _Chosen:
    by_price = sorted(modes, key=lambda mode: rates.rates_millicredits[mode])
    return _Chosen(by_price[-1], by_price[0])
