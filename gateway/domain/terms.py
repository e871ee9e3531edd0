"""An account's terms: what the books say it may do, projected to Redis and assumed by every admission.

Never counters: what was captured or is held lives in Redis and, once booked, in the books.
"""

from dataclasses import dataclass
from enum import StrEnum


class AccountStatus(StrEnum):
    """Whether an account may start calls that cost credits."""

    ACTIVE = "active"
    PAYMENT_FAILED = "payment_failed"  # the grant stays usable, pay-as-you-go does not
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PeriodTerms:
    """One billing period `[start_ms, end_ms)` of an account, in epoch milliseconds UTC."""

    start_ms: int
    end_ms: int
    plan_id: str
    granted_millicredits: int
    overage_millicredits: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What an admission assumes. `version` grows with every change; a script refuses to act on any other.

    `periods` are in order, without gaps: the current one and, near its end, the next. `booked_seq` is the highest
    sequence number the books have seen of this account: Redis below it has lost captures. `epoch` fences the
    counters of a Redis that came back older than it was.
    """

    account_id: str
    version: int
    status: AccountStatus
    periods: tuple[PeriodTerms, ...]
    epoch: int
    booked_seq: int

    def period_at(self, at_ms: int) -> PeriodTerms | None:
        """The known period that contains the instant."""
        for period in self.periods:
            if period.start_ms <= at_ms < period.end_ms:
                return period
        return None
