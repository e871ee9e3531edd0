"""Time zones by the names that callers send. Knows no window and no range."""

from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Files beside the zones that mean another time on another machine, or none.
_NO_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})
_VARIANTS: Final = ("right/", "posix/")


def zone_named(name: str) -> ZoneInfo | None:
    """The zone, the same on every machine; None where there is none of this name."""
    if name in _NO_ZONES or name.startswith(_VARIANTS):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
