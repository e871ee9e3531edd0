"""What limits an account, and how it pays."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from gateway.domain.limits import CeilingBy
from gateway.domain.payment import AttemptState, MethodKind
from gateway.edges.api.replies.amounts import Cents, Credits, Instant, Span


class Ceiling(TypedDict):
    """What pay-as-you-go may use in the running period, and what says so."""

    credits: Credits
    limit: CeilingBy


class PlanCeiling(TypedDict):
    """What the plan itself would allow."""

    credits: Credits


class Budget(TypedDict):
    """At most so many credits in a period for a project or a key."""

    project_id: NotRequired[str]
    key_id: NotRequired[str]
    credits: Credits
    used: Credits
    held: Credits
    remaining: Credits


Raise = TypedDict(
    "Raise",
    {
        "id": str,
        "max_cents": Cents | None,
        "max_credits": Credits | None,
        "from": Instant,
        "until": Instant,
        "reason": str,
    },
)

Limits = TypedDict(
    "Limits",
    {
        "account_id": str,
        "period": Span,
        "pay_as_you_go": bool,
        "max_cents": Cents | None,
        "alert_percent": list[int],
        "alert_cents": list[int],
        "ceiling": Ceiling,
        "plan_ceiling": PlanCeiling,
        "raise": Raise | None,
        "budgets": list[Budget],
    },
)


class Method(TypedDict):
    """A way to pay. Never a number: brand and the last four digits."""

    id: str
    kind: MethodKind
    brand: str
    last4: str
    exp_month: int | None
    exp_year: int | None
    default: bool


class Methods(TypedDict):
    """All of an account's, the default first. `collects` false: invoices are paid by transfer, noted by a person."""

    provider: str
    collects: bool
    items: list[Method]


class Adding(TypedDict):
    """What the owner does next: go to `url`, or choose one of `fields` and send it as `test_card`."""

    kind: Literal["redirect", "fields", "nothing", "added"]
    url: str | None
    fields: dict[str, str]
    method: Method | None


class RemovedMethod(TypedDict):
    """What was removed."""

    id: str
    removed: bool


class Payment(TypedDict):
    """What became of a payment. `action_url`: where the card's owner confirms it."""

    outcome: Literal["paid", "failed", "action_required", "pending"]
    reason: str | None
    action_url: str | None


class Attempt(TypedDict):
    """One attempt to take money."""

    id: str
    invoice_id: str | None
    method_id: str
    amount_cents: Cents
    description: str
    trigger: str
    state: AttemptState
    reason: str | None
    action_url: str | None
    started_at: Instant
    ended_at: Instant | None


class Attempts(TypedDict):
    """The newest attempts."""

    items: list[Attempt]
