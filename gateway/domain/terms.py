"""An account's terms: what the books say it may do, projected to Redis and assumed by every admission.

Never counters: what was captured or is held lives in Redis and, once booked, in the books.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple, Self

from gateway.domain.limits import Budget, Ceiling, CeilingBy
from gateway.domain.plan import RateLimit


class AccountStatus(StrEnum):
    """Whether an account may start calls that cost credits."""

    ACTIVE = "active"
    PAYMENT_FAILED = "payment_failed"  # the grant stays usable, pay-as-you-go does not
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """Limits that an account has in place of its plan's. A rate limit of None is unlimited; one left out is the plan's.

    `concurrent_calls` None: the plan's.
    """

    rate_limits: Mapping[str, RateLimit | None] = field(default_factory=dict, hash=False)
    concurrent_calls: int | None = None


class CeilingChange(NamedTuple):
    """Another ceiling from an instant within the period on: a raise ends by itself."""

    at_ms: int
    ceiling: Ceiling


@dataclass(frozen=True, slots=True)
class PeriodTerms:
    """One billing period `[start_ms, end_ms)` of an account, in epoch milliseconds UTC.

    `limits` None: the plan's. `overage_millicredits` is what may be used beyond the grant, `overage_by` what says so;
    `change` is set where that is raised, and the raise ends before the period does.
    """

    start_ms: int
    end_ms: int
    plan_id: str
    granted_millicredits: int
    overage_millicredits: int
    limits: OwnLimits | None = None
    overage_by: CeilingBy = CeilingBy.PLAN
    change: CeilingChange | None = None

    def ceiling_at(self, at_ms: int) -> Ceiling:
        """What may be used beyond the grant at an instant, and what says so."""
        if self.change is not None and at_ms >= self.change.at_ms:
            return self.change.ceiling
        return Ceiling(self.overage_millicredits, self.overage_by)

    def limited_to(self, ceiling: Ceiling, change: CeilingChange | None = None) -> Self:
        """The same period under another ceiling."""
        return replace(self, overage_millicredits=ceiling.millicredits, overage_by=ceiling.by, change=change)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an admission assumes. `version` grows with every change; a script refuses to act on any other.

    `periods` are in order, without gaps: the current one and, near its end, the next. `booked_seq` is the highest
    sequence number the books have seen of this account: Redis below it has lost captures. `epoch` fences the
    counters of a Redis that came back older than it was. `budgets` are of projects and API keys, for each period anew.
    `clock_offset_ms` is how far a sandbox account's own clock is ahead of the world's; periods are by its own.
    """

    account_id: str
    version: int
    status: AccountStatus
    periods: tuple[PeriodTerms, ...]
    epoch: int
    booked_seq: int
    budgets: tuple[Budget, ...] = ()
    clock_offset_ms: int = 0

    def own_ms(self, at_ms: int) -> int:
        """An instant of the world by the account's own clock."""
        return at_ms + self.clock_offset_ms

    def period_at(self, at_ms: int) -> PeriodTerms | None:
        """The known period that contains an instant of the account's own clock."""
        for period in self.periods:
            if period.start_ms <= at_ms < period.end_ms:
                return period
        return None
