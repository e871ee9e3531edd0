"""Instants as the stores keep them: epoch milliseconds, whole numbers, exact both ways. No clock."""

from datetime import UTC, datetime, timedelta
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def epoch_ms(at: datetime) -> int:
    """An aware instant in epoch milliseconds, rounded down. TypeError for a naive one."""
    return (at - _EPOCH) // _MILLISECOND


def from_epoch_ms(at_ms: int) -> datetime:
    """The instant, in UTC."""
    return _EPOCH + at_ms * _MILLISECOND
