"""Saved configurations, which hide a call's mode behind a name: what to ask for, and what the reply says. Pure.

Asks nobody itself: `flows.saved_modes` does.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

import orjson

from gateway.wire import json_pointer
from gateway.wire.route import Pointer, Route, SavedAt

# The modes that a saved configuration tells, by where they stand in it; those that it does not tell are missing.
Modes: TypeAlias = Mapping[Pointer, str]

NO_MODES: Final[Modes] = {}
_ID: Final = "{id}"
# Whatever else a caller sends for a name is not put into a path.
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class LookUp(NamedTuple):
    """One saved configuration to be read: GET `target` from `upstream`."""

    upstream: str
    target: str
    modes: tuple[Pointer, ...]


def look_up(at: SavedAt, name: str) -> LookUp | None:
    """What to ask for the configuration of this name; None where it cannot be one."""
    return LookUp(at.upstream, at.path.replace(_ID, name), at.modes) if _NAME.fullmatch(name) else None


def read_modes(body: bytes, wanted: LookUp) -> Modes:
    """The modes in an upstream's reply; none where it is no JSON. A text that is empty counts as none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return NO_MODES
    found: dict[Pointer, str] = {}
    for pointer in wanted.modes:
        match json_pointer.find(document, pointer):
            case [str(mode)] if mode:
                found[pointer] = mode
            case _:
                continue
    return found


def shape_of(path: str) -> str:
    """A path's pattern without the names of its parameters and without its query."""
    return _PARAMETER.sub("{}", path.partition("?")[0])


def changed_by(routes: Iterable[Route]) -> frozenset[str]:
    """The names of the routes that change what another route of these looks up."""
    routes = tuple(routes)
    metered = [route.metered for route in routes if route.metered is not None]
    places = [one.saved_at for one in metered]
    places += [part.saved_at for one in metered for part in one.extra_parts]
    shapes = {shape_of(place.path) for place in places if place is not None}
    return frozenset(route.name for route in routes if route.method not in _READS and shape_of(route.pattern) in shapes)
