"""What is sold, what an account is on, and what it was invoiced."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from gateway.domain.invoice import InvoiceStatus
from gateway.domain.plan import WhenExhausted
from gateway.edges.api.replies.amounts import Cents, Credits, Instant, Span, Usd


class RateLimit(TypedDict):
    """At most `calls` in any window; null for both: unlimited."""

    name: str
    calls: int | None
    window_s: float | None


class PriceTier(TypedDict):
    """Up to so many credits beyond the included ones; null: all further."""

    up_to_credits: Credits | None
    usd_per_1000_credits: Usd


class PayAsYouGo(TypedDict):
    """What credits beyond the included ones cost."""

    usd_per_1000_credits: Usd
    tiers: list[PriceTier]
    max_cents_per_period: Cents | None


class Plan(TypedDict):
    """A plan as sold. `contract`: its terms are agreed for each account."""

    id: str
    name: str
    price_cents: Cents
    months: int
    included_credits: Credits
    when_exhausted: WhenExhausted
    pay_as_you_go: PayAsYouGo | None
    rate_limits: list[RateLimit]
    concurrent_calls: int | None
    support: str
    contract: bool
    current: bool
    pending: bool


class Mode(TypedDict):
    """One price of a product."""

    mode: str
    unit: str
    credits_per_unit: Credits


class AddOn(TypedDict):
    """A further price per unit."""

    name: str
    credits_per_unit: Credits


class Rates(TypedDict):
    """One product's prices."""

    product: str
    unit: str
    default_mode: str | None
    modes: list[Mode]
    add_ons: list[AddOn]


class RateCard(TypedDict):
    """The price list in force."""

    version: str
    effective: Annotated[str, Field(json_schema_extra={"format": "date"})]
    products: list[Rates]


class Plans(TypedDict):
    """Everything that is sold."""

    currency: Literal["USD"]
    plans: list[Plan]
    rate_card: RateCard


class PlanName(TypedDict):
    """A plan by id and name."""

    id: str
    name: str


class Pending(TypedDict):
    """What the account will be on, and from when."""

    plan: PlanName
    starts_at: Instant


class Subscription(TypedDict):
    """What the account is on. `pending` can be taken back by asking for the current plan."""

    account_id: str
    status: Literal["active", "payment_failed", "closed"]
    plan: PlanName
    period: Span
    included_credits: Credits
    pending: Pending | None


class SubLine(TypedDict):
    """A product and mode's part of a line."""

    product: str
    mode: str
    credits: Credits
    amount_cents: Cents


class Line(TypedDict):
    """One charge with its own service period; `corrects` names the invoice that it settles."""

    kind: str
    description: str
    plan: str
    service_period: Span
    credits: Credits
    amount_cents: Cents
    corrects: str | None
    sub_lines: list[SubLine]
    contract_version: NotRequired[int]
    usd_per_1000_credits: NotRequired[str]


class Price(TypedDict):
    """What a change at once is invoiced, to the cent, if it is made in time."""

    lines: list[Line]
    subtotal_cents: Cents
    tax_cents: Cents
    total_cents: Cents
    honoured_until: Annotated[Instant | None, Field(description="null: to a key that may not change the plan")]


class Preview(TypedDict):
    """What a change of plan would do. `replaces_pending` is a pending plan that it would take back."""

    account_id: str
    current_plan: str
    plan: str
    takes_effect: Literal["now", "period_end", "stays"]
    effective_at: Instant
    included_credits: Credits
    replaces_pending: str | None
    price: Price | None
    summary: str


class Party(TypedDict):
    """Who stands on an invoice."""

    name: str
    address: str
    email: str
    tax_id: str


class Tax(TypedDict):
    """The tax of an invoice; 190000 parts per million are 19 %."""

    name: str
    parts_per_million: int


class CreditNote(TypedDict):
    """Money given back."""

    id: str
    number: str
    amount_cents: Cents
    reason: str
    issued_at: Instant


class InvoiceSummary(TypedDict):
    """An invoice in a list; a draft has no number, and changes until it is issued."""

    id: str
    number: str | None
    account_id: str
    status: InvoiceStatus
    period: Span
    issued_at: Instant | None
    due_at: Instant | None
    currency: str
    total_cents: Cents
    due_cents: Cents


class Invoice(InvoiceSummary):
    """All of an invoice, each cent down to product and mode."""

    settled_at: Instant | None
    subtotal_cents: Cents
    tax: Tax | None
    tax_cents: Cents
    credited_cents: Cents
    paid_cents: Cents
    seller: Party
    buyer: Party
    lines: list[Line]
    credit_notes: list[CreditNote]
    content_hash: str | None


class Invoices(TypedDict):
    """A page."""

    items: list[InvoiceSummary]
    next_page_token: str | None


class ExportedInvoice(TypedDict):
    """An invoice as issued: the document's very text, and its hash."""

    content_hash: str
    document: str


class MadeChange(TypedDict):
    """What was agreed."""

    previous_plan: str
    plan: str
    takes_effect: Literal["now", "period_end", "stays"]
    effective_at: Instant


class ChangedSubscription(TypedDict):
    """The change, what the account is on now, and what a change at once was invoiced."""

    change: MadeChange
    subscription: Subscription
    invoice: Invoice | None


class Details(TypedDict):
    """Who stands on the account's invoices from now on."""

    name: str
    address: str
    email: str
    tax_id: str
    tax_name: str
    tax_parts_per_million: int
