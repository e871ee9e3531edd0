"""Usage: the facts of a call that its hold remembers, and the event that a settled hold becomes."""

from dataclasses import dataclass
from typing import NamedTuple

from gateway.domain.hold import Ending


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call when it is admitted; kept by the hold so that whoever settles it can tell the books."""

    request_id: str
    account_id: str
    project_id: str
    key_id: str
    product: str
    mode: str
    unit: str
    route: str
    upstream: str
    plan_id: str
    rate_card_version: str
    millicredits_per_unit: int
    expected_units: int
    quote_millicredits: int


class Settlement(NamedTuple):
    """What the settler knows of the end: units delivered (None: not told) and the evidence for the cost, in words.

    `billed_mode` is the mode that the upstream says it ran in, None where it does not say.
    """

    units: int | None
    evidence: str
    billed_mode: str | None = None


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One ending of one hold, as the outbox carries it and the books keep it.

    `id` is `<request id>.<name of the ending>`. `happened_at_ms` and `seq` are Redis's own; `captured_millicredits` is
    0 for a release or an expiry. `period_start_ms` is the period the hold was taken in.
    """

    id: str
    ending: Ending
    facts: CallFacts
    settlement: Settlement
    held_millicredits: int
    captured_millicredits: int
    period_start_ms: int
    admitted_at_ms: int
    happened_at_ms: int
    seq: int
    job_id: str | None


@dataclass(frozen=True, slots=True)
class JobAttached:
    """A call's hold became a job's: whose job it is, for good, and what its hold is made of again if Redis loses it.

    `deadline_ms` is when the hold ends whatever became of the job; times are Redis's own.
    """

    facts: CallFacts
    job_kind: str
    upstream: str
    job_id: str
    held_millicredits: int
    period_start_ms: int
    admitted_at_ms: int
    deadline_ms: int
    happened_at_ms: int
    seq: int

    @property
    def request_id(self) -> str:
        """The call's."""
        return self.facts.request_id

    @property
    def account_id(self) -> str:
        """Whose job it is."""
        return self.facts.account_id

    @property
    def project_id(self) -> str:
        """Under which project."""
        return self.facts.project_id
