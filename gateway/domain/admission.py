"""The answer to "may this call start?": admitted with what it holds, or refused with what a program needs to act.

Says nothing of HTTP: `wire.problems` turns each refusal into a status and a sentence.
"""

from enum import StrEnum
from typing import NamedTuple

from gateway.domain.hold import JobHold


class RefusalCode(StrEnum):
    """Why a call may not start. Each has a page in the docs and a row in `wire.problems`."""

    CREDITS_EXHAUSTED = "credits_exhausted"
    SPEND_LIMIT_REACHED = "spend_limit_reached"
    PAYMENT_REQUIRED = "payment_required"
    CREDITS_HELD = "credits_held"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_CONCURRENT_CALLS = "too_many_concurrent_calls"
    ACCOUNT_CLOSED = "account_closed"
    NO_SUCH_JOB = "no_such_job"


class LimitState(NamedTuple):
    """A rate limit as an admission saw it; `opens_in_ms` until the oldest counted call leaves the window, 0 if none."""

    name: str
    calls: int
    window_ms: int
    remaining: int
    opens_in_ms: int


class Admitted(NamedTuple):
    """The call may run. Where less than the quote is available it holds less, never under the least."""

    held_millicredits: int
    available_millicredits: int
    period_start_ms: int
    limits: tuple[LimitState, ...] = ()
    job: JobHold | None = None


class Refused(NamedTuple):
    """The call may not run, and no counter has changed.

    `retry_in_ms` is set where waiting helps; `resets_at_ms` is the end of the billing period.
    """

    code: RefusalCode
    limits: tuple[LimitState, ...] = ()
    limit_name: str = ""
    retry_in_ms: int | None = None
    required_millicredits: int = 0
    available_millicredits: int = 0
    resets_at_ms: int = 0
