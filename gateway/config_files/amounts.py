"""How amounts are written in the files: sizes, durations, money, rate limits. Pure; ValueError says what is wrong."""

import re
from decimal import Decimal
from typing import Final

_SIZE: Final = re.compile(r"(\d[\d_]*)\s*(B|KiB|MiB|GiB|KB|MB|GB)?")
_SIZES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DURATION: Final = re.compile(r"(\d[\d_]*)\s*(ms|s|sec|min|h|hour|d|day)")
_DURATIONS_MS: Final = {
    "ms": 1,
    "s": 1_000,
    "sec": 1_000,
    "min": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
    "d": 86_400_000,
    "day": 86_400_000,
}
_RATE: Final = re.compile(r"(\d[\d_]*)\s*/\s*(?:(\d[\d_]*)\s*)?(s|sec|min|h|hour|d|day)")
# The ledger keeps the time of every call in a window: a bound on what one limit may make it keep.
MAX_CALLS_IN_A_WINDOW: Final = 100_000
MAX_CENTS: Final = 10**12


def byte_size(value: object) -> int:
    """`2 GiB`, `512 KiB` or a bare number of bytes."""
    found = _SIZE.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"{value!r} is not a size")
    return int(found.group(1).replace("_", "")) * _SIZES[found.group(2) or "B"]


def duration_ms(value: object) -> int:
    """`30 min`, `5s`, `250 ms`; the unit is always written."""
    found = _DURATION.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"{value!r} is not a duration")
    return int(found.group(1).replace("_", "")) * _DURATIONS_MS[found.group(2)]


def rate(value: object) -> tuple[int, int]:
    """`20/min`, `50/5s`: (calls, window in ms). At least one call, at most MAX_CALLS_IN_A_WINDOW; up to one day."""
    found = _RATE.fullmatch(str(value).strip())
    if found is None:
        raise ValueError(f"{value!r} is not a rate limit")
    calls, times, unit = found.groups()
    count = int(calls.replace("_", ""))
    window_ms = int((times or "1").replace("_", "")) * _DURATIONS_MS[unit]
    if not 1 <= count <= MAX_CALLS_IN_A_WINDOW or not 0 < window_ms <= _DURATIONS_MS["day"]:
        raise ValueError(f"{value!r} is out of range")
    return count, window_ms


def cents(value: Decimal) -> int:
    """Dollars in whole cents, from 0."""
    exact = value * 100
    if not 0 <= exact <= MAX_CENTS or exact != int(exact):
        raise ValueError(f"{value} dollars are not whole cents")
    return int(exact)
