"""What the end of a metered call does to its hold: the rule behind "2xx is charged, a failed call is free".

Pure: it is told how the upstream leg ended and answers what to do; `flows.settle` does it.
"""

from enum import StrEnum
from typing import NamedTuple


class End(StrEnum):
    """How the upstream leg of a call ended."""

    COMPLETE = "complete"  # the whole reply came
    BROKEN = "broken"  # the upstream broke off within its reply
    STOPPED = "stopped"  # the caller left and the route stops the upstream
    UNREACHED = "unreached"  # no reply at all
    SPENT = "spent"  # the credits ended within the reply, so the gateway ended it


class Capture(NamedTuple):
    """Take the cost; `units` None where nobody told them. `cost_millicredits` None: what is held.

    `billed_mode` is the mode that a job ran in, where the upstream says so.
    """

    cost_millicredits: int | None
    units: int | None
    evidence: str
    billed_mode: str | None = None


class Release(NamedTuple):
    """Give the hold back."""

    reason: str


class Attach(NamedTuple):
    """The hold becomes the job's."""

    job_id: str


Outcome = Capture | Release | Attach


class Delivered(NamedTuple):
    """What was counted in a reply while it passed, and what that costs. `evidence` says how it was counted."""

    units: int
    cost_millicredits: int
    evidence: str


class CallEnd(NamedTuple):
    """Everything the rule looks at. `charged`: the route charges for this status (2xx and 3xx unless it says else).

    `exact_*`: the quote's cost and units where the request fixed them, else None. `job_id` is what the reply said on a
    route that starts a job, None where it said nothing readable. `stopped_is_free` is the route's policy for a caller
    who leaves. `delivered` is set where the reply was metered while it passed.
    """

    end: End
    status: int
    charged: bool
    starts_job: bool
    job_id: str | None
    exact_cost_millicredits: int | None
    exact_units: int | None
    stopped_is_free: bool = False
    delivered: Delivered | None = None


def outcome(call: CallEnd) -> Outcome:
    """The outcome of a call, by the table in `docs/charging.md`."""
    if call.end is End.UNREACHED:
        return Release("the upstream gave no reply")
    if call.end is End.STOPPED and call.status == 0:
        return Release("the caller left before the first byte of an answer")
    if not call.charged:
        return Release(f"the upstream answered {call.status}")
    if call.starts_job and call.job_id is not None:
        # Also of a reply that was cut afterwards: the job runs, so its hold must live.
        return Attach(call.job_id)
    if call.end is End.STOPPED and call.stopped_is_free:
        return Release("the caller left, and the route makes that free")
    if call.delivered is not None and (call.delivered.units or call.end is not End.BROKEN):
        said = "the credits ended: " if call.end is End.SPENT else ""
        return Capture(call.delivered.cost_millicredits, call.delivered.units, said + call.delivered.evidence)
    if call.end is End.BROKEN:
        return Release("the upstream broke off within its reply")
    if call.starts_job:
        return Capture(None, None, "a complete reply without a readable job id: the quote")
    if call.exact_cost_millicredits is not None:
        return Capture(call.exact_cost_millicredits, call.exact_units, f"status {call.status}, exact quote")
    return Capture(None, None, f"status {call.status}, the quote")
