"""What the volume benchmark asks of the gateway: every page of owners and of the operator, and what the API reads.

A row is a name and an address; addresses hold the ids of a `Person`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from itertools import product
from urllib.parse import quote, urlencode

from tests.bench.volume_fill import DAYS, MODES
from tests.bench.volume_people import Person
from tests.bench.volume_served import ASKED_AT

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")
SPANS = ("period", "7d", "30d", "90d", "12m")
HOME = "/settings/billing"
ADMIN = "/admin"
API = "/api/v1"
ADMIN_API = "/admin/v1"
TODAY = ASKED_AT.date()
PRODUCT, MODE, _ = MODES[0]


class Door(Enum):
    """Who asks, and by which way in."""

    OWNER = auto()
    KEY = auto()
    OPERATOR = auto()
    ADMIN_TOKEN = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One question. `streamed`: all data of a long time, which is judged by its first byte."""

    name: str
    door: Door
    path: str
    streamed: bool = False


def rows_of(person: Person) -> list[Row]:
    """Everything that is asked of one account."""
    return [*_own_pages(person), *_usage_pages(person), *_api(person), *_operators_pages(person)]


def _days_ago(days: int) -> str:
    return (TODAY - timedelta(days=days)).isoformat()


def _own_pages(person: Person) -> Iterator[Row]:
    # Nobody changes to the plan they are on.
    other = "starter" if person.account_name == "Account 0" else "pro"
    webhook = f"webhooks/{person.endpoint_id}"
    for name, path in (
        ("plan", ""),
        ("pricing", "pricing"),
        ("plan change, preview", f"pricing/{other}"),
        ("receipt", f"usage/calls/{person.request_id}"),
        ("invoices", "invoices"),
        ("invoice, draft", f"invoices/{person.draft}"),
        ("invoice, issued", f"invoices/{person.issued}"),
        ("invoice as PDF", f"invoices/{person.issued}.pdf"),
        ("invoice as JSON", f"invoices/{person.issued}.json"),
        ("payment methods", "payment-methods"),
        ("payment method, add", "payment-methods/add"),
        ("payment method, remove", f"payment-methods/{person.method_id}/remove"),
        ("details", "details"),
        ("keys", "keys"),
        ("key, new", "keys/new"),
        ("key, rotate", f"keys/{person.key_id}/rotate"),
        ("key, revoke", f"keys/{person.key_id}/revoke"),
        ("limits", "limits"),
        ("budget", f"limits/budgets/{person.project_id}"),
        ("budget, remove", f"limits/budgets/{person.project_id}/remove"),
        ("webhooks", "webhooks"),
        ("webhook, new", "webhooks/new"),
        ("webhook, log", webhook),
        ("webhook, log of failures", f"{webhook}?status=failed"),
        ("webhook, delivery", f"{webhook}/deliveries/{person.delivery_id}"),
        ("webhook, edit", f"{webhook}/edit"),
        ("webhook, rotate", f"{webhook}/rotate"),
        ("webhook, remove", f"{webhook}/remove"),
    ):
        yield Row(name, Door.OWNER, f"{HOME}/{path}".rstrip("/"))
    yield Row("invoice as CSV, every event", Door.OWNER, f"{HOME}/invoices/{person.issued}.csv", streamed=True)


def _usage_pages(person: Person) -> Iterator[Row]:
    views: list[tuple[str, dict[str, str]]] = []
    views += [(f"{span} by {by}", {"range": span, "by": by}) for span in SPANS for by in ("product", "mode", "key")]
    views += [
        (f"90d by mode, {zone}, compared", {"range": "90d", "by": "mode", "tz": zone, "compare": "1"}) for zone in ZONES
    ]
    all_days = {"from": _days_ago(DAYS), "to": TODAY.isoformat(), "by": "mode"}
    views += [
        ("30d by hour and mode", {"range": "30d", "window": "hour", "by": "mode"}),
        (
            "30d by hour and mode, compared, Kolkata",
            {"range": "30d", "window": "hour", "by": "mode", "compare": "1", "tz": "Asia/Kolkata"},
        ),
        (
            "12m by day and mode, compared, Berlin",
            {"range": "12m", "window": "day", "by": "mode", "compare": "1", "tz": "Europe/Berlin"},
        ),
        ("two years by month and mode", {**all_days, "window": "month"}),
        ("two years by day and mode", {**all_days, "window": "day"}),
        (
            "two years by week and key, cumulative lines",
            {**all_days, "by": "key", "window": "week", "chart": "lines", "cumulative": "1"},
        ),
        ("90d by project", {"range": "90d", "by": "project"}),
        (
            "90d, all filters",
            {
                "range": "90d",
                "product": PRODUCT,
                "mode": MODE,
                "project": person.project_id,
                "key": person.usage_key_id,
            },
        ),
    ]
    for name, view in views:
        yield Row(f"usage, {name}", Door.OWNER, f"{HOME}/usage?{urlencode(view)}")
    yield Row("usage as CSV, 30d by hour and mode", Door.OWNER, f"{HOME}/usage.csv?range=30d&window=hour&by=mode")
    calls: list[tuple[str, dict[str, str]]] = [
        ("the latest", {}),
        ("90 days", {"start": _days_ago(90), "end": TODAY.isoformat()}),
        ("an hour", {"start": f"{_days_ago(9)}T10:00", "end": f"{_days_ago(9)}T11:00"}),
        ("before last year", {"end": _days_ago(400)}),
        ("a product", {"product": PRODUCT}),
        ("a product's mode", {"product": PRODUCT, "mode": MODE}),
        ("a project", {"project": person.project_id}),
        ("a key", {"key": person.usage_key_id}),
        ("a key that never called", {"key": person.key_id}),
        ("a mode nobody used", {"product": "split", "mode": "fast"}),
        (
            "a month of a product's mode",
            {"start": _days_ago(60), "end": _days_ago(30), "product": PRODUCT, "mode": MODE},
        ),
    ]
    for name, only in calls:
        yield Row(f"calls, {name}", Door.OWNER, f"{HOME}/usage/calls?{urlencode(only)}")


def _api(person: Person) -> Iterator[Row]:
    for (window, days), zone, by in product(
        (("hour", 7), ("day", 90), ("month", DAYS)), ZONES, ("product,mode", "project", "key")
    ):
        asked = {"window": window, "from": _days_ago(days), "tz": zone, "by": by}
        yield Row(
            f"API: series by {window} over {days} d by {by}, {zone}", Door.KEY, f"{API}/usage/series?{urlencode(asked)}"
        )
    own = {"organization_id": person.account_id}
    metrics: list[tuple[str, dict[str, str]]] = [
        ("first page", {}),
        ("with total", {"include_total": "true"}),
        ("1,000 with total", {"include_total": "true", "page_size": "1000"}),
        ("90 days with total", {"include_total": "true", "day_on_or_after": _days_ago(90)}),
        ("a project with total", {"include_total": "true", "project_id": person.project_id}),
        ("a type with total", {"include_total": "true", "event_types": "pages_parsed"}),
        ("a type nobody used", {"event_types": "split_pages"}),
        ("jobs alone", {"event_aggregation_type": "parse_job"}),
    ]
    for name, only in metrics:
        yield Row(f"API: metrics, {name}", Door.KEY, f"{API}/beta/usage-metrics?{urlencode({**own, **only})}")
    for name, path in (
        ("usage", f"organizations/{person.account_id}/usage"),
        ("usage by day", f"organizations/{person.account_id}/usage?by=day,product,mode"),
        ("usage with the invoice's total", f"organizations/{person.account_id}/usage?get_current_invoice_total=true"),
        ("usage of a project", f"projects/{person.project_id}/usage"),
        ("receipt", f"usage/events/{person.request_id}"),
        ("plans", "billing/plans"),
        ("subscription", "billing/subscription"),
        ("invoices", "billing/invoices"),
        ("invoice, draft", f"billing/invoices/{person.draft}"),
        ("invoice, issued", f"billing/invoices/{person.issued}"),
        ("limits", "billing/limits"),
        ("alerts", "billing/alerts"),
        ("payments", "billing/payments"),
        ("webhook, log", f"billing/webhooks/{person.endpoint_id}/deliveries"),
        ("keys", "keys"),
    ):
        yield Row(f"API: {name}", Door.KEY, f"{API}/{path}")
    every = urlencode({"from": _days_ago(DAYS)})
    yield Row("API: every event of two years", Door.KEY, f"{API}/usage/events?{every}", streamed=True)


def _operators_pages(person: Person) -> Iterator[Row]:
    account = f"accounts/{person.account_id}"
    for name, path in (
        ("overview", ""),
        ("accounts", "accounts"),
        ("accounts by name", f"accounts?name={quote(person.account_name)}"),
        ("accounts of a plan", "accounts?plan=starter&status=active"),
        ("open an account", "accounts/new"),
        ("find an account", f"find?q={quote(person.account_name)}"),
        ("find nothing", "find?q=nothing-of-this-name"),
        ("account", account),
        ("account, audit log", f"{account}/audit"),
        ("account, plan", f"{account}/plan"),
        ("account, contract", f"{account}/contract"),
        ("account, agree a contract", f"{account}/contract/agree"),
        ("account, end its contract", f"{account}/contract/end"),
        ("account, adjust", f"{account}/adjust"),
        ("account, raise", f"{account}/raise"),
        ("account, issue invoices", f"{account}/issue"),
        ("account, close", f"{account}/close"),
        ("account, revoke a key", f"{account}/keys/{person.key_id}/revoke"),
        ("account, end a raise", f"{account}/end-raise"),
        ("as its owner: plan", f"{account}/as-owner"),
        ("as its owner: usage", f"{account}/as-owner/usage?range=90d&by=mode&compare=1"),
        ("as its owner: calls", f"{account}/as-owner/usage/calls?product={PRODUCT}"),
        ("as its owner: invoices", f"{account}/as-owner/invoices"),
        ("invoices", "invoices"),
        ("invoices that are due", "invoices?status=issued"),
        ("invoices that are overdue", "invoices?status=overdue"),
        ("invoice", f"invoices/{person.issued}"),
        ("invoice, pay", f"invoices/{person.issued}/pay"),
        ("invoice, void", f"invoices/{person.issued}/void"),
        ("invoice, give up", f"invoices/{person.issued}/uncollectible"),
        ("invoice, credit", f"invoices/{person.issued}/credit"),
        ("audit log", "audit"),
        ("call", f"calls/{person.request_id}"),
    ):
        yield Row(f"admin: {name}", Door.OPERATOR, f"{ADMIN}/{path}".rstrip("/"))
    for name, path in (
        ("accounts", "accounts"),
        ("account", account),
        ("invoices", "invoices"),
        ("audit log", "audit"),
        ("credit ledger", f"{account}/ledger"),
        ("state", "state"),
    ):
        yield Row(f"admin API: {name}", Door.ADMIN_TOKEN, f"{ADMIN_API}/{path}")
