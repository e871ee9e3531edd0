"""Jobs of every product: their states over time, what they delivered, and what the vendor bills for them.

A job is a function of the clock: nothing runs in the background. Knows no product; each product's file names its
parts and words the states its own way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from gateway.edges.demo.services.documents import Document
from gateway.edges.demo.services.shelf import Owner

_QUEUED_SHARE = 0.2  # of its time a job waits before it runs


class State(StrEnum):
    """In the words of the v2 products."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


# The words of the v1 products.
V1_WORDS: Final = {
    State.PENDING: "PENDING",
    State.RUNNING: "PENDING",
    State.COMPLETED: "SUCCESS",
    State.FAILED: "ERROR",
    State.CANCELLED: "CANCELLED",
}


@dataclass(slots=True)
class Job:
    """One job. `charges` holds, for each part of its price, the credits of each of `pages` in order."""

    id: str
    product: str
    owner: Owner
    created_at: datetime
    seconds: float
    document: Document
    pages: Sequence[int]
    charges: Mapping[str, Sequence[int]]
    mode: str
    fails: bool
    billing_lag_seconds: float
    polls_until_billed: int
    request: dict[str, Any] = field(default_factory=dict)  # what the product's own replies repeat
    cancelled_at: datetime | None = None
    _looks: int = 0

    def state(self, now: datetime) -> State:
        """Where the job stands at `now`."""
        if self.cancelled_at is not None:
            return State.CANCELLED
        elapsed = (now - self.created_at).total_seconds()
        if elapsed >= self.seconds:
            return State.FAILED if self.fails else State.COMPLETED
        return State.PENDING if elapsed < self.seconds * _QUEUED_SHARE else State.RUNNING

    def ended_at(self, now: datetime) -> datetime | None:
        """When it ended, None while it runs."""
        if self.cancelled_at is not None:
            return self.cancelled_at
        end = self.created_at + timedelta(seconds=self.seconds)
        return end if end <= now else None

    def delivered(self, now: datetime) -> Sequence[int]:
        """The pages there are results for: all when completed, none when failed, a share when cancelled midway."""
        state = self.state(now)
        if state is State.COMPLETED:
            return self.pages
        if state is not State.CANCELLED or self.cancelled_at is None:
            return ()
        done = (self.cancelled_at - self.created_at).total_seconds() / self.seconds
        return self.pages[: int(len(self.pages) * done)]

    def bill(self, now: datetime, *, look: bool = True) -> dict[str, int] | None:
        """Credits of each part; None until billing has recorded them. Failed jobs are free, which is known at once."""
        ended_at = self.ended_at(now)
        if ended_at is None:
            return None
        if self.state(now) is State.FAILED:
            return dict.fromkeys(self.charges, 0)
        if self._looks < self.polls_until_billed:
            self._looks += look
            return None
        if (now - ended_at).total_seconds() < self.billing_lag_seconds:
            return None
        delivered = len(self.delivered(now))
        return {part: sum(credits_[:delivered]) for part, credits_ in self.charges.items()}


def wire_credits(amount: int | None) -> float | None:
    """As the vendor's API writes credits: always with a decimal point. Whoever reads whole numbers only must notice."""
    return None if amount is None else float(amount)
