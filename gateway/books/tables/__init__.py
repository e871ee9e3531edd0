"""The tables of the books. Amounts are whole millicredits, times epoch milliseconds UTC, both 64 bit.

What is booked for good (`usage_events`, `grants`, `ledger_entries`, `audit_log`, what invoices say) is only ever added
to; triggers made by the migrations refuse anything else. Usage has no foreign key to its account: an event that Redis
hands over is booked, whatever else is missing.
"""

from gateway.books.tables.accounts import accounts, api_keys, audit_log, meta, projects
from gateway.books.tables.alerts import (
    alerts,
    period_usage,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
    webhook_messages,
)
from gateway.books.tables.api_idempotency import api_idempotency
from gateway.books.tables.columns import metadata
from gateway.books.tables.contracts import closed_event_parts, contracts
from gateway.books.tables.invoices import (
    billing_details,
    closed_events,
    closed_usage,
    closings,
    credit_notes,
    document_numbers,
    invoice_lines,
    invoice_sub_lines,
    invoices,
)
from gateway.books.tables.limits import budgets, spend_limits, spend_raises
from gateway.books.tables.payments import (
    fake_payments,
    invoice_collections,
    payment_attempts,
    payment_customers,
    payment_events,
    payment_methods,
    plan_change_payments,
)
from gateway.books.tables.plans import grants, periods, plan_previews, subscriptions
from gateway.books.tables.sessions import sessions
from gateway.books.tables.usage import (
    account_seq,
    jobs,
    ledger_entries,
    poison_records,
    refusals,
    running_jobs,
    usage_daily,
    usage_daily_by_mode,
    usage_events,
    usage_hourly,
    usage_hourly_by_mode,
    usage_stretches,
)

__all__ = [
    "account_seq",
    "accounts",
    "alerts",
    "api_idempotency",
    "api_keys",
    "audit_log",
    "billing_details",
    "budgets",
    "closed_event_parts",
    "closed_events",
    "closed_usage",
    "closings",
    "contracts",
    "credit_notes",
    "document_numbers",
    "fake_payments",
    "grants",
    "invoice_collections",
    "invoice_lines",
    "invoice_sub_lines",
    "invoices",
    "jobs",
    "ledger_entries",
    "meta",
    "metadata",
    "payment_attempts",
    "payment_customers",
    "payment_events",
    "payment_methods",
    "period_usage",
    "periods",
    "plan_change_payments",
    "plan_previews",
    "poison_records",
    "projects",
    "refusals",
    "running_jobs",
    "sessions",
    "spend_limits",
    "spend_raises",
    "subscriptions",
    "usage_daily",
    "usage_daily_by_mode",
    "usage_events",
    "usage_hourly",
    "usage_hourly_by_mode",
    "usage_stretches",
    "webhook_attempts",
    "webhook_deliveries",
    "webhook_endpoints",
    "webhook_messages",
]
