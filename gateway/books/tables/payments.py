"""How accounts pay, and every attempt to take their money."""

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from gateway.books.tables.columns import account_column, metadata, text_column, whole_column

_HOLDS_THE_INVOICE: Final = "invoice_id IS NOT NULL AND state IN ('started', 'pending', 'action_required', 'succeeded')"
_DEFAULT: Final = "is_default AND removed_ms IS NULL"

# An account as a provider knows it. `adding_since_ms`: its owner went to add a method and may have.
payment_customers: Final = Table(
    "payment_customers",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("provider", Text, primary_key=True),
    text_column("ref"),
    whole_column("adding_since_ms", nullable=True),
    Index(None, "provider", "ref"),
    sqlite_with_rowid=False,
)

# What can be shown of a payment method, and what the provider calls it. Never a number.
payment_methods: Final = Table(
    "payment_methods",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    text_column("provider"),
    text_column("ref"),
    text_column("kind"),
    text_column("brand"),
    text_column("last4"),
    Column("exp_month", Integer, nullable=True),
    Column("exp_year", Integer, nullable=True),
    Column("is_default", Boolean, nullable=False),
    whole_column("added_ms"),
    whole_column("removed_ms", nullable=True),
    UniqueConstraint("provider", "ref"),
    Index(None, "account_id"),
    Index(
        "uq_payment_methods_one_default",
        "account_id",
        "provider",
        unique=True,
        sqlite_where=text(_DEFAULT),
        postgresql_where=text(_DEFAULT),
    ),
)

# One row per attempt, written before the provider is asked; its id is the idempotency key. Of an invoice, one attempt
# at most is under way or has succeeded: nobody pays twice.
payment_attempts: Final = Table(
    "payment_attempts",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    Column("invoice_id", Text, ForeignKey("invoices.id"), nullable=True),
    Column("change_id", Text, ForeignKey("plan_change_payments.id"), nullable=True),
    text_column("provider"),
    text_column("customer_ref"),
    Column("method_id", Text, ForeignKey("payment_methods.id"), nullable=False),
    text_column("method_ref"),
    whole_column("amount_cents"),
    text_column("description"),
    text_column("trigger"),
    Column("on_session", Boolean, nullable=False),
    text_column("return_url", nullable=True),
    text_column("state"),
    text_column("provider_ref", nullable=True),
    text_column("reason", nullable=True),
    text_column("action_url", nullable=True),
    whole_column("started_ms"),
    # When the provider is asked next about what is not decided, and how often it was.
    whole_column("look_ms"),
    Column("looks", Integer, nullable=False),
    whole_column("ended_ms", nullable=True),
    Index(None, "account_id", "started_ms"),
    Index(
        "uq_payment_attempts_one_per_invoice",
        "invoice_id",
        unique=True,
        sqlite_where=text(_HOLDS_THE_INVOICE),
        postgresql_where=text(_HOLDS_THE_INVOICE),
    ),
    # Whole ones: SQLite uses an index of some rows only where the question names their states in so many words.
    Index(None, "invoice_id"),
    Index(None, "change_id"),
    Index(None, "state", "look_ms"),
)

# An invoice whose payment has failed: how often by schedule, and when it is tried again. `asked_ms`: to be tried at
# once, beside the schedule, because the card has changed.
invoice_collections: Final = Table(
    "invoice_collections",
    metadata,
    Column("invoice_id", Text, ForeignKey("invoices.id"), primary_key=True),
    account_column(),
    text_column("state"),
    Column("failures", Integer, nullable=False),
    whole_column("first_failed_ms"),
    whole_column("next_try_ms", nullable=True),
    whole_column("asked_ms", nullable=True),
    text_column("reason"),
    Index(None, "account_id"),
    Index(None, "state"),
)

# A change of plan that is paid for before it is made, at the price that was told and on what that assumed.
plan_change_payments: Final = Table(
    "plan_change_payments",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    text_column("plan_id"),
    whole_column("period_start_ms"),
    whole_column("up_to_seq"),
    whole_column("held_millicredits"),
    whole_column("price_cents"),
    whole_column("total_cents"),
    whole_column("told_ms"),
    text_column("state"),
    text_column("actor"),
    text_column("reason"),
    text_column("fault", nullable=True),
    whole_column("started_ms"),
    whole_column("ended_ms", nullable=True),
    Index(
        "uq_plan_change_payments_one_at_a_time",
        "account_id",
        unique=True,
        sqlite_where=text("state = 'paying'"),
        postgresql_where=text("state = 'paying'"),
    ),
)

# Webhooks that were heeded, by the provider's id. Trimmed once the provider has long ceased to repeat them.
payment_events: Final = Table(
    "payment_events",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("provider"),
    text_column("type"),
    whole_column("at_ms"),
    Index(None, "at_ms"),
    sqlite_with_rowid=False,
)

# What the fake provider did, by idempotency key.
fake_payments: Final = Table(
    "fake_payments",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("answer"),
    sqlite_with_rowid=False,
)
