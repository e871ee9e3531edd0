"""Jobs: what a look at a running job tells, and what the job costs once that is known.

Knows no replies and no pointers: `wire.job_reply` reads those. Credits that are reported count before units; 0 is an
amount (free), and "not yet" is not 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands: RUNNING, or over and paid for by what it delivered, or over and free."""

    RUNNING = "running"
    CHARGED = "charged"
    FREE = "free"


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


def together(costs: Sequence[JobCost], *, per_unit: int, evidence: str) -> JobCost:
    """The cost of several jobs as one. Units are told only where every job tells them."""
    units = None
    if costs and all(cost.units is not None for cost in costs):
        units = sum(cost.units or 0 for cost in costs)
    return JobCost(sum(cost.millicredits(per_unit=per_unit) for cost in costs), units, evidence)


@dataclass(frozen=True, slots=True)
class JobReport:
    """One look at a job. `cost` is what the looked-at reply itself tells; meaningful once the status is CHARGED."""

    status: JobStatus
    cost: JobCost | NoCost = NoCost.NOT_THERE


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
