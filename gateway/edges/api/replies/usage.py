"""Usage: of a billing period, over time, call by call. LlamaCloud's members keep its names."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from gateway.edges.api.replies.amounts import Credits, Instant, Span


class PlanLimits(TypedDict):
    """LlamaCloud's `limits`."""

    allow_pay_as_you_go: bool
    subscription_cost_usd: int
    max_monthly_invoice_total_usd: int | None
    max_concurrent_parse_jobs_other: int | None
    mfa_enabled: bool
    sso_enabled: bool


class CreditType(TypedDict):
    """What is counted."""

    id: str
    name: str


class RecurringCredits(TypedDict):
    """LlamaCloud's `recurring_credits`: what a period includes."""

    name: str
    credit_amount: int
    credit_type: CreditType
    product_id: str
    priority: int
    rollover_fraction: float
    periods_duration: int


class PeriodDates(TypedDict):
    """LlamaCloud's `current_billing_period`."""

    start_date: Instant
    end_date: Instant


class UsagePlan(TypedDict):
    """LlamaCloud's `plan`."""

    id: str
    name: str
    plan_frequency: str
    limits: PlanLimits
    recurring_credits: list[RecurringCredits]
    current_billing_period: PeriodDates
    is_payment_failed: bool


class FreeCreditsUsage(TypedDict):
    """LlamaCloud's `active_free_credits_usage`, in whole credits rounded down."""

    starting_balance: int
    remaining_balance: int
    grant_name: str
    expires_at: Instant


class UsageNow(TypedDict):
    """LlamaCloud's `usage`. The invoice's total is there where it was asked for."""

    active_free_credits_usage: list[FreeCreditsUsage]
    active_alerts: list[str]
    current_invoice_total_usd_cents: NotRequired[int]


class CreditsNow(TypedDict):
    """`used` counts everything captured, what is beyond the included credits too."""

    included: Credits
    used: Credits
    held: Credits
    remaining: Credits
    pay_as_you_go: Credits


class UsageBucket(TypedDict):
    """Calls that were captured; the members before them are those of `by`."""

    product: NotRequired[str]
    mode: NotRequired[str]
    day: NotRequired[str]
    project: NotRequired[str]
    key: NotRequired[str]
    calls: int
    units: int
    credits: Credits


class ProjectUsage(TypedDict):
    """What the project used of the account's credits."""

    id: str
    used: Credits


class UsageAndPlan(TypedDict):
    """LlamaCloud's `plan` and `usage`, and ours beside them. `live` false: Redis was away."""

    plan: UsagePlan
    usage: UsageNow
    account_id: str
    period: Span
    credits: CreditsNow
    buckets: list[UsageBucket]
    live: bool
    project: NotRequired[ProjectUsage]


class MetricProperties(TypedDict):
    """What the call was."""

    mode: str
    tier: str
    unit: str
    request_id: str
    rate_card_version: str


class UsageMetric(TypedDict):
    """One usage event, as LlamaCloud tells it."""

    id: str
    user_id: str
    organization_id: str
    project_id: str
    event_type: str
    value: int | None
    day: str
    event_aggregation_key: str | None
    event_aggregation_type: str | None
    properties: MetricProperties
    credits: Credits


class UsageMetricsPage(TypedDict):
    """A page; `total_size` where it was asked for."""

    items: list[UsageMetric]
    next_page_token: str | None
    total_size: NotRequired[int]


class SeriesTotal(TypedDict):
    """Sums."""

    calls: int
    units: int
    credits: Credits


class SeriesWindow(TypedDict):
    """One hour, day or month of the zone asked for."""

    start: Instant
    end: Instant
    buckets: list[UsageBucket]


UsageSeries = TypedDict(
    "UsageSeries",
    {
        "account_id": str,
        "from": Instant,
        "to": Instant,
        "window": Literal["hour", "day", "month"],
        "tz": str,
        "by": list[str],
        "total": SeriesTotal,
        "windows": list[SeriesWindow],
        "live": bool,
    },
)


class PricePart(TypedDict):
    """What of the price is for which product."""

    product: str
    mode: str
    credits_per_unit: Credits


class Quote(TypedDict):
    """What a call would cost; `would` is `admit`, or the code of the refusal."""

    route: str
    free: bool
    product: str | None
    mode: str | None
    unit: str | None
    expected_units: int
    at_least_units: int
    exact: bool
    parts: list[PricePart]
    credits_per_unit: Credits
    expected_credits: Credits
    at_least_credits: Credits
    rate_card_version: str
    available_credits: Credits
    would: str


class Receipt(TypedDict):
    """What a call was quoted, held and charged, or why it was refused: `state` tells which. Not known is null."""

    request_id: str
    state: str
    account_id: str
    project_id: str
    key_id: str
    route: str | None
    plan: str | None
    rate_card_version: str | None
    quote: dict[str, Any] | None
    upstream: NotRequired[str]
    hold: NotRequired[dict[str, Any]]
    job: NotRequired[dict[str, Any] | None]
    evidence: NotRequired[dict[str, Any] | None]
    capture: NotRequired[dict[str, Any] | None]
    booking: NotRequired[dict[str, Any] | None]
    endings: NotRequired[list[dict[str, Any]]]
    credits_charged: NotRequired[Credits | None]
    live: NotRequired[bool]
    method: NotRequired[str]
    refused_at: NotRequired[Instant]
    status: NotRequired[int]
    code: NotRequired[str]
    required_credits: NotRequired[Credits | None]
    available_credits: NotRequired[Credits | None]
    limit: NotRequired[str | None]
    retry_in_ms: NotRequired[int | None]
    resets_at: NotRequired[Instant | None]
