"""How many units a request fixes or bounds: the pages it selects, the things it lists. Pure.

A document may have fewer pages than are selected, so a selection bounds what is expected and makes nothing exact.
What cannot be read is an answer of its own: it never becomes the usual number.
"""

import re
from typing import Final

from gateway.wire.json_pointer import EVERY
from gateway.wire.route import Source, Units, Where
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import RequestValues

MAX_UNITS: Final = 1_000_000
MAX_THINGS: Final = 10_000
_MAX_PIECES: Final = 10_000
_PIECE: Final = re.compile(r"\s*([0-9]{1,7})\s*(?:-\s*([0-9]{1,7})\s*)?")


def count_units(units: Units, values: RequestValues) -> tuple[int, int] | Unreadable:
    """The units that a request is expected and at least to use: whole, at least 1 expected, never more at least."""
    counted = values.pages_of_file
    expected = units.expected if counted is None else counted
    for bound in (_selection(units, values, counted), _at_most(units, values)):
        if isinstance(bound, Unreadable):
            return bound
        if bound is not None:
            expected = max(1, min(expected, bound))
    things = _things(units, values)
    if isinstance(things, Unreadable):
        return things
    least = expected if units.exact or counted is not None else min(units.at_least, expected)
    return min(MAX_UNITS, expected * things), min(MAX_UNITS, least * things)


def selected_pages(selection: object, *, first: int, pages: int | None = None) -> int | None:
    """How many different pages `"1,3,5-8"`, or a list of numbers, selects, counted from `first`; None: unreadable.

    Of a document that is known to have so many `pages`, no others count.
    """
    if isinstance(selection, str):
        pieces = selection.split(",", _MAX_PIECES)
        found = [_PIECE.fullmatch(piece) for piece in pieces]
        spans = [(int(one[1]), int(one[2] or one[1])) for one in found if one is not None]
        if len(spans) < len(pieces) or len(pieces) > _MAX_PIECES:
            return None
    elif isinstance(selection, list):
        spans = [(page, page) for page in selection if isinstance(page, int) and not isinstance(page, bool)]
        if len(spans) < len(selection) or len(spans) > _MAX_PIECES:
            return None
    else:
        return None
    if any(low < first or high < low for low, high in spans):
        return None
    if pages is not None:
        last = first + pages - 1
        spans = [(low, min(high, last)) for low, high in spans if low <= last]
    return _covered(spans)


def _covered(spans: list[tuple[int, int]]) -> int:
    """How many numbers lie in at least one of the spans."""
    covered, reached = 0, -1
    for low, high in sorted(spans):
        covered += max(0, high - max(low - 1, reached))
        reached = max(reached, high)
    return covered


def _selection(units: Units, values: RequestValues, counted: int | None) -> int | Unreadable | None:
    if units.pages is None:
        return None
    sent = _one(units.pages, values)
    if sent is None or isinstance(sent, Unreadable) or (isinstance(sent, str) and not sent.strip()) or sent == []:
        return sent if isinstance(sent, Unreadable) else None
    pages = selected_pages(sent, first=units.first_page, pages=counted)
    return Unreadable(values.place(units.pages), "must be pages such as 1,3,5-8") if pages is None else pages


def _at_most(units: Units, values: RequestValues) -> int | Unreadable | None:
    """The bound that is sent; 0 is how clients say that there is none."""
    if units.at_most is None:
        return None
    match _one(units.at_most, values):
        case None | 0 | "":
            return None
        case Unreadable() as unreadable:
            return unreadable
        case int(most) if not isinstance(most, bool) and most > 0:
            return most
        case str(text) if units.at_most.source is not Source.JSON and text.isascii() and text.strip().isdigit():
            return int(text[:20]) or None
        case _:
            return Unreadable(values.place(units.at_most), "must be a whole number", "type_error.integer")


def _things(units: Units, values: RequestValues) -> int | Unreadable:
    """How many things are listed; a list that is not sent or empty counts as one thing."""
    if units.each is None:
        return 1
    found = values.found(units.each)
    if isinstance(found, Unreadable):
        return found
    if EVERY not in units.each.pointer:
        if not found or found == [None]:
            return 1
        if not isinstance(found[0], list):
            return Unreadable(values.place(units.each), "must be a list", "type_error.list")
        found = found[0]
    if len(found) > MAX_THINGS:
        return Unreadable(values.place(units.each), f"is longer than {MAX_THINGS}")
    return max(1, len(found))


def _one(where: Where, values: RequestValues) -> object | Unreadable | None:
    """The one value at a place, None where none was sent."""
    found = values.found(where)
    if isinstance(found, Unreadable):
        return found
    sent = [value for value in found if value is not None]
    if len(sent) > 1:
        return Unreadable(values.place(where), "was sent more than once")
    return sent[0] if sent else None
