"""The life of a hold: credits set aside while a call or a job runs, settled exactly once.

The table is the rule; the Lua scripts implement it and a test walks both. It holds no amounts.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class HoldState(StrEnum):
    """Where a hold stands. OPEN is the only state that sets credits aside."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


class HoldEvent(StrEnum):
    """What can be asked of a hold."""

    CAPTURE = "capture"
    RELEASE = "release"
    EXPIRE = "expire"


class Ending(StrEnum):
    """How a hold ended, as the outbox tells the books. One event id per hold and `name_in_id`."""

    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"
    LATE = "late"  # captured after it had expired: the credits are taken again
    RECOVERED = "recovered"  # captured though Redis had lost the hold: a direct debit

    @property
    def name_in_id(self) -> str:
        """What the event is told apart by. A recovery may be of a capture that the books have after all: of two events
        of one name they take one.
        """
        return "captured" if self is Ending.RECOVERED else self.value


NEXT: Final[dict[tuple[HoldState, HoldEvent], HoldState]] = {
    (HoldState.OPEN, HoldEvent.CAPTURE): HoldState.CAPTURED,
    (HoldState.OPEN, HoldEvent.RELEASE): HoldState.RELEASED,
    (HoldState.OPEN, HoldEvent.EXPIRE): HoldState.EXPIRED,
    # Repeats after a crash or a lost reply change nothing.
    (HoldState.CAPTURED, HoldEvent.CAPTURE): HoldState.CAPTURED,
    (HoldState.CAPTURED, HoldEvent.RELEASE): HoldState.CAPTURED,
    (HoldState.CAPTURED, HoldEvent.EXPIRE): HoldState.CAPTURED,
    (HoldState.RELEASED, HoldEvent.CAPTURE): HoldState.RELEASED,
    (HoldState.RELEASED, HoldEvent.RELEASE): HoldState.RELEASED,
    (HoldState.RELEASED, HoldEvent.EXPIRE): HoldState.RELEASED,
    # The process that ran the call was thought dead and was not: what it delivered is charged, late.
    (HoldState.EXPIRED, HoldEvent.CAPTURE): HoldState.CAPTURED,
    (HoldState.EXPIRED, HoldEvent.RELEASE): HoldState.EXPIRED,
    (HoldState.EXPIRED, HoldEvent.EXPIRE): HoldState.EXPIRED,
}


@dataclass(frozen=True, slots=True)
class JobHold:
    """The hold that a job of the account stands under, as a poll of it finds it.

    `facts` is the JSON of the call's facts. `state` is None, and `facts` empty, where the hold was settled and booked
    so long ago that Redis has forgotten it.
    """

    hold_id: str
    state: HoldState | None
    facts: bytes
    job_kind: str
