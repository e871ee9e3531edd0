"""How long the included credits last if usage goes on as it did: said with its uncertainty, or not at all.

Two paces are looked at, of the last 7 and the last 30 whole days; where they disagree, both answers are given. Knows no
account; nothing is decided by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.domain.instant import DAY_MS

SHORT_DAYS: Final = 7
LONG_DAYS: Final = 30
# Fewer days with usage than this tell nothing about the next.
FEWEST_ACTIVE_DAYS: Final = 3


class Outlook(StrEnum):
    """What the paces say about the running period."""

    USED_UP = "used_up"
    UNKNOWN = "unknown"
    LASTS = "lasts"
    MAY_RUN_OUT = "may_run_out"
    RUNS_OUT = "runs_out"


@dataclass(frozen=True, slots=True)
class RunOut:
    """`sooner_ms` and `later_ms` are when the credits end by the faster and the slower pace; None: not in this period.

    The paces are in millicredits a day.
    """

    outlook: Outlook
    short_pace_millicredits: int
    long_pace_millicredits: int
    sooner_ms: int | None = None
    later_ms: int | None = None


def run_out(
    daily_millicredits: Sequence[int], remaining_millicredits: int, *, now_ms: int, period_end_ms: int
) -> RunOut:
    """`daily_millicredits` are whole days of the account's life, the latest last; those before the last 30 are not
    looked at.
    """
    known = list(daily_millicredits)[-LONG_DAYS:]
    short, long = _pace(known[-SHORT_DAYS:]), _pace(known)
    if remaining_millicredits <= 0:
        return RunOut(Outlook.USED_UP, short, long)
    if sum(1 for one in known if one > 0) < FEWEST_ACTIVE_DAYS:
        return RunOut(Outlook.UNKNOWN, short, long)
    ends = [_end_ms(remaining_millicredits, pace, now_ms, period_end_ms) for pace in (short, long)]
    within = sorted(end for end in ends if end is not None)
    if not within:
        return RunOut(Outlook.LASTS, short, long)
    if len(within) == 1:
        return RunOut(Outlook.MAY_RUN_OUT, short, long, within[0])
    return RunOut(Outlook.RUNS_OUT, short, long, *within)


def _pace(days: Sequence[int]) -> int:
    return sum(days) // len(days) if days else 0


def _end_ms(remaining: int, pace: int, now_ms: int, period_end_ms: int) -> int | None:
    if pace <= 0:
        return None
    end_ms = now_ms + remaining * DAY_MS // pace
    return end_ms if end_ms < period_end_ms else None
