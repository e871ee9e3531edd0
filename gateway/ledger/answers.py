"""What is asked of the ledger and what it answers, as values. Refusals and admissions themselves are domain words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from gateway.domain.hold import Ending, HoldState
from gateway.domain.plan import RateLimit
from gateway.domain.terms import Terms
from gateway.domain.usage import UsageEvent


class AdmitCall(NamedTuple):
    """One call that asks to start.

    `plan_limits` are the limits that count this call. With `facts` empty the call is free: only the limits (and the
    job) are looked at, no hold is made and quote and least must be 0. `facts` is the JSON of `CallFacts`, opaque here.
    `job`, as (upstream, job id), must be the account's: else the call is refused with NO_SUCH_JOB.
    """

    hold_id: str
    nonce: str
    terms: Terms
    plan_limits: tuple[RateLimit, ...]
    concurrent_calls: int | None
    quote_millicredits: int
    least_millicredits: int
    ttl_ms: int
    facts: bytes
    job: tuple[str, str] | None = None


class Reproject(StrEnum):
    """Why an admission could not be decided: Redis must be told what the books say, then the call is asked again."""

    UNKNOWN = "unknown"  # Redis has no such account: load it
    STALE_TERMS = "stale_terms"  # the terms assumed are not Redis's: refresh them, project where ours are newer
    NEW_PERIOD = "new_period"  # no known period contains Redis's now: compute it, book its grant, project
    FENCED = "fenced"  # the counters are of an epoch that was given up: load
    BEHIND = "behind"  # Redis has lost captures that the books have seen: load
    UNCOUNTED = "uncounted"  # a budget that counts this call is new to Redis: count what was used of it


@dataclass(frozen=True, slots=True)
class NotProjected:
    """No decision yet, and nothing changed. `now_ms` is Redis's clock."""

    reason: Reproject
    now_ms: int
    redis_terms_version: int | None = None


class Settled(NamedTuple):
    """How a hold stands after a settlement.

    `state_before` None: Redis does not know the hold; ask the books, then `recover`. Where it was settled before,
    amounts and ending are the earlier ones (captured after released: 0 is taken). `ending` is None for a release that
    found nothing and left a tombstone.
    """

    state_before: HoldState | None
    captured_millicredits: int
    held_millicredits: int
    available_millicredits: int
    ending: Ending | None


class ToppedUp(NamedTuple):
    """An open hold as it stands now, and what a new one could still take."""

    held_millicredits: int
    available_millicredits: int


class JobMark(StrEnum):
    """What a look has found out and the next one must know, whoever looks then."""

    ENDED = "ended"  # the job is known to have ended; its cost is not known yet
    STOPPED = "stopped"  # so too, and it was stopped midway
    GONE = "gone"  # the upstream does not know it
    THERE = "there"  # the upstream knows it after all


@dataclass(frozen=True, slots=True)
class JobLease:
    """A job whose turn it is to be looked at, leased to the one who asked. Times are Redis's.

    `ended_at_ms`, `stopped_at_ms` and `gone_at_ms` tell since when that is known, None: it is not.
    """

    hold_id: str
    account_id: str
    facts: bytes
    job_kind: str
    job_id: str
    upstream: str
    attached_at_ms: int
    deadline_ms: int
    looks: int
    leased_at_ms: int
    ended_at_ms: int | None = None
    stopped_at_ms: int | None = None
    gone_at_ms: int | None = None


class Claim(NamedTuple):
    """The hold's own job, None: it has none (yet). `taken_at_ms`: since when the job asked for is another hold's."""

    own: str | None
    taken_at_ms: int | None


@dataclass(frozen=True, slots=True)
class PeriodCounters:
    """A period as Redis counts it."""

    end_ms: int
    granted_millicredits: int
    overage_millicredits: int
    captured_millicredits: int
    held_millicredits: int

    @property
    def available_millicredits(self) -> int:
        """What a new hold could still take; below zero after an overrun."""
        return (
            self.granted_millicredits + self.overage_millicredits - self.captured_millicredits - self.held_millicredits
        )


class Uncounted(NamedTuple):
    """A budget that Redis has begun to count: what was captured of it up to `seq` is missing."""

    period_start_ms: int
    subject_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class BudgetCounters:
    """A budget as Redis counts it in one period. `open_millicredits`: what open holds of its project or key come to."""

    period_start_ms: int
    subject_id: str
    limit_millicredits: int
    captured_millicredits: int
    held_millicredits: int
    open_millicredits: int


@dataclass(frozen=True, slots=True)
class OpenHold:
    """An open hold as `counters` lists it."""

    hold_id: str
    amount_millicredits: int
    period_start_ms: int
    deadline_ms: int
    job_id: str | None


@dataclass(frozen=True, slots=True)
class HoldSeen:
    """One hold as Redis has it now, open or settled. What a recovered one had never been told is empty, 0 or None.

    `ending` None: it is open, and then it has a `deadline_ms`. `facts` is the JSON of `CallFacts`. Times are Redis's.
    """

    account_id: str
    state: HoldState
    amount_millicredits: int
    period_start_ms: int
    admitted_at_ms: int
    deadline_ms: int | None
    facts: bytes
    ending: Ending | None
    job_id: str | None
    job_kind: str
    upstream: str
    attached_at_ms: int
    looks: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What Redis knows of an account at one instant.

    `unbooked` are the usage events still in the outbox up to `seq`, by event id; some may be booked already and not
    yet trimmed, so they are joined with the books by id. `epoch` is None where the account was never projected.
    Budgets that are not counted yet are left out. Overage is what counted at that instant.
    """

    epoch: int | None
    seq: int
    terms_version: int | None
    periods: Mapping[int, PeriodCounters]
    open_holds: tuple[OpenHold, ...]
    unbooked: Mapping[str, UsageEvent] = field(default_factory=dict)
    budgets: tuple[BudgetCounters, ...] = ()
