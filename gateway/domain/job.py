"""Jobs: what a look at a running job tells, what the job costs once that is known, and how long that is waited for.

Knows no replies and no pointers: `wire.job_reply` reads those. Credits that are reported count before units; 0 is an
amount (free), and "not yet" is not 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FIRST_PAUSE_MS: Final = 1_000
LONGEST_PAUSE_MS: Final = 15_000
_PATIENCE_MS: Final = 600_000
_DELETED_PATIENCE_MS: Final = 60_000
_GONE_FOR_SURE_MS: Final = 10_000
_LAST_LOOKS_MS: Final = 2 * LONGEST_PAUSE_MS


class JobStatus(StrEnum):
    """Where a job stands: RUNNING, or over: paid for by what it delivered, stopped midway, or free."""

    RUNNING = "running"
    CHARGED = "charged"
    STOPPED = "stopped"  # paid for like CHARGED, but nothing where nobody tells what it delivered
    FREE = "free"


def patience_ms(limit_ms: int) -> int:
    """How long the cost of a job is waited for after its end, for jobs that may run for `limit_ms`."""
    return min(_PATIENCE_MS, limit_ms // 2)


def hold_ms(limit_ms: int) -> int:
    """How long a job's hold lives: while the job may run, and then while its cost may still become known."""
    return limit_ms + patience_ms(limit_ms)


@dataclass(frozen=True, slots=True)
class JobAge:
    """What the clock says of a job at a look. All of it from one clock, so that it does not matter who looks.

    Since it was attached; since it is known to have ended, and to be gone from its upstream (None: it is not); until
    its hold ends.
    """

    limit_ms: int
    attached_ms: int
    ended_ms: int | None
    gone_ms: int | None
    left_ms: int

    @property
    def over_limit(self) -> bool:
        """It has been running for longer than its kind may."""
        return self.attached_ms >= self.limit_ms

    @property
    def patience_over(self) -> bool:
        """Its cost has been waited for long enough, or there is no time for more waiting."""
        patience = patience_ms(self.limit_ms)
        if self.left_ms <= min(_LAST_LOOKS_MS, patience // 2):
            return True
        return self.ended_ms is not None and self.ended_ms >= patience

    @property
    def gone_for_sure(self) -> bool:
        """Gone for so long that it is neither too new for its upstream nor hidden by a restart of it."""
        return self.gone_ms is not None and self.gone_ms >= min(_GONE_FOR_SURE_MS, self.limit_ms // 4)

    @property
    def deleted_patience_over(self) -> bool:
        """Whether a deleted job was billed after all has been asked for long enough."""
        until = min(_DELETED_PATIENCE_MS, patience_ms(self.limit_ms))
        return self.patience_over or (self.gone_ms is not None and self.gone_ms >= until)

    @property
    def pause_ms(self) -> int:
        """Until the next look: a quarter of the time since the job began, or ended, within bounds."""
        since = self.attached_ms if self.ended_ms is None else self.ended_ms
        return max(FIRST_PAUSE_MS, min(since // 4, LONGEST_PAUSE_MS))


class NoCost(StrEnum):
    """Why a place tells no cost: it will (null until billing has recorded it), or there is nothing there."""

    NOT_YET = "not_yet"
    NOT_THERE = "not_there"


@dataclass(frozen=True, slots=True)
class JobCost:
    """A job's cost as one place tells it: credits, or units to be multiplied. `evidence` says which, in words."""

    credits_millicredits: int | None
    units: int | None
    evidence: str

    def millicredits(self, *, per_unit: int) -> int:
        """The true cost at a price per unit."""
        if self.credits_millicredits is not None:
            return self.credits_millicredits
        return (self.units or 0) * per_unit

    def units_at(self, *, per_unit: int) -> int | None:
        """The units delivered: as told, else as many as the credits pay for where that comes out even.

        None where it does not: a page in another mode, or an add-on, is in the credits then.
        """
        if self.units is not None or self.credits_millicredits is None or per_unit == 0:
            return self.units
        units, rest = divmod(self.credits_millicredits, per_unit)
        return None if rest else units


def together(costs: Sequence[JobCost], *, per_unit: int, evidence: str) -> JobCost:
    """The cost of several jobs as one. Units are told only where every job tells them."""
    units = None
    if costs and all(cost.units is not None for cost in costs):
        units = sum(cost.units or 0 for cost in costs)
    return JobCost(sum(cost.millicredits(per_unit=per_unit) for cost in costs), units, evidence)


@dataclass(frozen=True, slots=True)
class JobReport:
    """One look at a job. `cost` is what the looked-at reply itself tells; meaningful once the job is over.

    `billed_mode` is the mode it ran in, where the reply says so.
    """

    status: JobStatus
    cost: JobCost | NoCost = NoCost.NOT_THERE
    billed_mode: str | None = None


def first_known(readings: Sequence[JobCost | NoCost], *, patience_over: bool) -> JobCost | NoCost:
    """The cost from places in order of trust.

    A place that says "not yet" blocks the less trusted ones behind it, until waiting has lasted long enough.
    NOT_YET: look again later. NOT_THERE: nothing tells the cost; the settler falls back to the hold.
    """
    for reading in readings:
        if isinstance(reading, JobCost):
            return reading
        if reading is NoCost.NOT_YET and not patience_over:
            return NoCost.NOT_YET
    return NoCost.NOT_THERE if patience_over else NoCost.NOT_YET
