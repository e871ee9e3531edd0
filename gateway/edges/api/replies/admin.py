"""What the operator sees of accounts, contracts and the state of things."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway.domain.terms import AccountStatus
from gateway.edges.api.replies.amounts import Credits, Instant, Span
from gateway.edges.api.replies.billing import CreditNote, Invoice
from gateway.edges.api.replies.usage import CreditsNow


class ListedAccount(TypedDict):
    """An account in a list; a closed one is on no plan."""

    id: str
    name: str
    plan: str | None
    status: AccountStatus
    sandbox: bool
    created_at: Instant


class Accounts(TypedDict):
    """A page, oldest first."""

    items: list[ListedAccount]
    next_page_token: str | None


class CreatedAccount(TypedDict):
    """A new account and its first project."""

    id: str
    name: str
    plan: str
    project_id: str


class Project(TypedDict):
    """A part of an account that usage is booked under."""

    id: str
    account_id: str
    name: str
    created_at: Instant


class Projects(TypedDict):
    """All of an account's, the default one first."""

    items: list[Project]


class AccountInFull(ListedAccount):
    """An account as it stands. `live` false: Redis was away."""

    pending_plan: str | None
    period: Span
    credits: CreditsNow
    projects: list[Project]
    live: bool


class LedgerCredits(TypedDict):
    """What stands on each ledger account: they sum to zero."""

    issued: Annotated[Credits, Field(description="Minus everything granted")]
    allowance: Annotated[Credits, Field(description="Granted and not used; below zero: pay-as-you-go")]
    used: Credits


class LedgerPeriod(TypedDict):
    """One billing period's part of the ledger."""

    start: Instant
    credits: LedgerCredits


class CreditLedger(TypedDict):
    """The credit ledger by billing period, oldest first. `as_of` null: as it stands now."""

    account_id: str
    as_of: Instant | None
    periods: list[LedgerPeriod]


class OwnClock(TypedDict):
    """What an account's clock shows, and the numbers of the invoices that were issued on the way there."""

    account_id: str
    sandbox: bool
    now: Instant
    ahead_s: Annotated[int, Field(description="How far it is ahead of the world's")]
    issued: list[str]


class Adjusted(TypedDict):
    """A correction that was booked, and everything granted for the period now."""

    grant_id: str
    period_start: Instant
    granted_credits: Credits


class ClosedAccount(TypedDict):
    """An account that was ended."""

    id: str
    status: AccountStatus


class CreditedInvoice(TypedDict):
    """A credit note, and the invoice that it is on."""

    credit_note: CreditNote
    invoice: Invoice


class ContractVersion(TypedDict):
    """One version; `terms` are in the words of a contract's file."""

    version: int
    state: Literal["planned", "in_force", "past", "replaced"]
    effective_at: Instant
    agreed_at: Instant
    agreed_by: str
    reason: str
    terms: dict[str, Any]


class Contract(TypedDict):
    """All versions, newest first. `in_force` null: the plan's own terms. `invoice` is what a start at once made."""

    account_id: str
    plan: str
    next_boundary: Instant
    in_force: int | None
    versions: list[ContractVersion]
    invoice: NotRequired[Invoice | None]


class AuditEntry(TypedDict):
    """One change: who, what, and in `detail` before and after."""

    id: str
    at: Instant
    actor: str
    action: str
    account_id: str
    subject_id: str
    detail: dict[str, Any]


class AuditLog(TypedDict):
    """A page, newest first."""

    items: list[AuditEntry]
    next_page_token: str | None


class Difference(TypedDict):
    """One disagreement; `expected` is what the books say."""

    account_id: str
    what: str
    expected: Annotated[Any, Field(json_schema_extra={"type": "number"})]
    found: Annotated[Any, Field(json_schema_extra={"type": "number"})]


class Reconciled(TypedDict):
    """Whether books and Redis agree, for a page of accounts."""

    ok: bool
    accounts: int
    differences: list[Difference]
    next_page_token: str | None


class Lag(TypedDict):
    """How far the books are behind Redis."""

    records: int
    oldest_s: float


class State(TypedDict):
    """How things stand. `open_holds` are those of the process that answers."""

    version: str
    rate_card: str
    plans: list[str]
    lag: Lag
    open_holds: int
