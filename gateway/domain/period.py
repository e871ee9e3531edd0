"""Billing periods: half-open UTC intervals computed from the anchor, so that no job has to reset anything.

Period k starts k months after the anchor, the day clamped to the month's end, always computed from the anchor:
Jan 31 → Feb 28 → Mar 31.
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Period:
    """The interval `[start, end)`, number `index` counted from the anchor."""

    index: int
    start: datetime
    end: datetime


def add_months(anchor: datetime, months: int) -> datetime:
    """The anchor moved by whole months, its day clamped to the target month's length."""
    year, month0 = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, calendar.monthrange(year, month0 + 1)[1])
    return anchor.replace(year=year, month=month0 + 1, day=day)


def period_at(anchor: datetime, at: datetime, *, months: int = 1) -> Period:
    """The period of `months` months that contains `at`. ValueError for naive instants or one before the anchor."""
    if anchor.utcoffset() is None or at.utcoffset() is None:
        message = "instants must know their time zone"
        raise ValueError(message)
    start, at = anchor.astimezone(UTC), at.astimezone(UTC)
    if at < start:
        message = f"{at.isoformat()} is before the anchor {start.isoformat()}"
        raise ValueError(message)
    index = ((at.year - start.year) * 12 + at.month - start.month) // months
    if add_months(start, index * months) > at:
        index -= 1
    elif add_months(start, (index + 1) * months) <= at:
        index += 1
    return Period(index, add_months(start, index * months), add_months(start, (index + 1) * months))


def period_from(anchor: datetime, start: datetime, *, months: int = 1) -> Period:
    """The period of `months` months that begins at `start`, itself whole months after the anchor. ValueError.

    Its index counts months: periods of other lengths may lie between it and the anchor.
    """
    index = period_at(anchor, start).index
    if add_months(anchor.astimezone(UTC), index) != start:
        message = f"{start.isoformat()} is not a whole number of months after the anchor {anchor.isoformat()}"
        raise ValueError(message)
    return Period(index, start, add_months(anchor.astimezone(UTC), index + months))
