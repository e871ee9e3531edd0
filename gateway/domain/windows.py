"""A range of time cut into hours, days, weeks or months of a time zone's calendar.

Windows follow the zone's own clock: a day in which it is put forward has 23 hours, an hour of a zone at half an hour
from UTC begins at half past. They leave no gap and never overlap, whatever the clock does. Knows no usage.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from gateway.domain.instant import HOUR_MS, MINUTE_MS, epoch_ms, from_epoch_ms


class Window(StrEnum):
    """How wide. Weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def edges(from_ms: int, to_ms: int, window: Window, zone: tzinfo, *, most: int) -> tuple[int, ...] | None:
    """`from_ms`, every boundary between, `to_ms`: the first and last window may be cut short.

    None where that would be more than `most` windows. ValueError for a range that does not end after it starts.
    """
    if from_ms >= to_ms:
        raise ValueError(f"a range from {from_ms} to {to_ms}")
    found = [from_ms]
    for edge_ms in _after(from_ms, window, zone):
        if edge_ms >= to_ms:
            return (*found, to_ms)
        # A zone that leaves out a whole day has two boundaries at one instant.
        if edge_ms == found[-1]:
            continue
        if len(found) == most:
            return None
        found.append(edge_ms)
    raise AssertionError  # boundaries never end


def _after(from_ms: int, window: Window, zone: tzinfo) -> Iterator[int]:
    """The boundaries after an instant, in order."""
    if window is Window.HOUR:
        # In UTC, since adding to a local time does not see the clock being changed.
        at_ms = from_ms
        while True:
            local = from_epoch_ms(at_ms).astimezone(zone)
            at_ms += HOUR_MS - local.minute * MINUTE_MS - local.second * 1_000 - local.microsecond // 1_000
            yield at_ms
    local = from_epoch_ms(from_ms).astimezone(zone)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    while True:
        day = _next(day, window)
        # A midnight that the clock jumps over is read by the offset before it, which is the instant of the jump.
        yield epoch_ms(day.replace(tzinfo=zone).astimezone(UTC))


def _next(day: datetime, window: Window) -> datetime:
    """The first day of the next window."""
    match window:
        case Window.WEEK:
            return day + timedelta(days=7 - day.weekday())
        case Window.MONTH:
            return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        case _:
            return day + timedelta(days=1)
