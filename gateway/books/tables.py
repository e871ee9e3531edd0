"""The tables of the books. Amounts are whole millicredits, times epoch milliseconds UTC, both 64 bit.

What is booked for good (`usage_events`, `grants`, `ledger_entries`, `audit_log`, what invoices say) is only ever added
to; triggers made by the migrations refuse anything else. Usage has no foreign key to its account: an event that Redis
hands over is booked, whatever else is missing.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _whole(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _account() -> Column[str]:
    return Column("account_id", Text, ForeignKey("accounts.id"), nullable=False)


meta: Final = Table("meta", metadata, Column("key", Text, primary_key=True), _text("value"))

accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    _text("name"),
    _text("status"),
    _whole("terms_version"),
    _whole("created_ms"),
    _whole("closed_ms", nullable=True),
)

projects: Final = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    _account(),
    _text("name"),
    _whole("created_ms"),
    UniqueConstraint("account_id", "name"),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    _account(),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("pepper_version", Integer, nullable=False),
    _text("name"),
    _text("products", nullable=True),  # a JSON list; null: all
    _whole("created_ms"),
    _whole("expires_ms", nullable=True),
    _whole("revoked_ms", nullable=True),
    Column("replaced_by", Text, ForeignKey("api_keys.id"), nullable=True),
    Index(None, "account_id"),
)

# In force where started_ms <= t < ended_ms (null: open). A pending plan is a row that starts later; a plan change that
# was taken back ends where it starts, so it is never in force. Periods are counted from the anchor.
subscriptions: Final = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    _account(),
    _text("plan_id"),
    _whole("anchor_ms"),
    _whole("started_ms"),
    _whole("ended_ms", nullable=True),
    _whole("requested_ms"),
    Index(None, "account_id", "started_ms"),
)

periods: Final = Table(
    "periods",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    _whole("end_ms"),
    Column("subscription_id", Text, ForeignKey("subscriptions.id"), nullable=False),
    _text("plan_id"),
    _whole("allowance_millicredits"),
    _whole("overage_millicredits"),
    # What it was sold at; null: booked before prices were kept, so the plan's as it is now.
    _whole("price_cents", nullable=True),
    _whole("nanodollars_per_millicredit", nullable=True),
    # The closings that charged its fee and its usage; null: still to come.
    _text("opened_by", nullable=True),
    _text("closed_by", nullable=True),
    CheckConstraint("end_ms > start_ms", name="forward"),
    Index(
        "ix_periods_to_open",
        "start_ms",
        sqlite_where=text("opened_by IS NULL"),
        postgresql_where=text("opened_by IS NULL"),
    ),
    Index(
        "ix_periods_to_close",
        "end_ms",
        sqlite_where=text("closed_by IS NULL"),
        postgresql_where=text("closed_by IS NULL"),
    ),
)

grants: Final = Table(
    "grants",
    metadata,
    Column("id", Text, primary_key=True),
    _account(),
    Column("subscription_id", Text, ForeignKey("subscriptions.id"), nullable=False),
    _whole("period_start_ms"),
    _text("kind"),
    _whole("amount_millicredits"),
    _text("reason"),
    _whole("created_ms"),
    Index(None, "account_id", "period_start_ms"),
    Index(
        "uq_grants_one_allowance",
        "subscription_id",
        "period_start_ms",
        unique=True,
        sqlite_where=text("kind = 'allowance'"),
        postgresql_where=text("kind = 'allowance'"),
    ),
)

# One row moves an amount from one ledger account to another, so every transaction sums to zero by its shape.
ledger_entries: Final = Table(
    "ledger_entries",
    metadata,
    Column("transaction_id", Text, primary_key=True),  # a usage event's id or a grant's
    Column("leg", SmallInteger, primary_key=True, autoincrement=False),
    _text("account_id"),
    _whole("period_start_ms"),
    _text("debit"),
    _text("credit"),
    _whole("amount_millicredits"),
    _whole("booked_at_ms"),
    CheckConstraint("amount_millicredits > 0", name="positive"),
    CheckConstraint("debit <> credit", name="two_sides"),
    Index(None, "account_id", "period_start_ms"),
    sqlite_with_rowid=False,
)

usage_events: Final = Table(
    "usage_events",
    metadata,
    Column("id", Text, primary_key=True),
    _text("request_id"),
    _text("ending"),
    _text("account_id"),
    _text("project_id"),
    _text("key_id"),
    _text("product"),
    _text("mode"),
    _text("unit"),
    _text("route"),
    _text("upstream"),
    _text("plan_id"),
    _text("rate_card_version"),
    _whole("millicredits_per_unit"),
    _whole("expected_units"),
    _whole("quote_millicredits"),
    _whole("units", nullable=True),
    _text("evidence"),
    _whole("held_millicredits"),
    _whole("captured_millicredits"),
    _whole("period_start_ms"),
    _whole("admitted_at_ms"),
    _whole("happened_at_ms"),
    _whole("seq"),
    _text("job_id", nullable=True),
    _whole("booked_at_ms"),
    Index(None, "account_id", "period_start_ms", "seq"),
    Index(None, "account_id", "admitted_at_ms"),
)

# By the hour in which the call was admitted, since that is what puts it into its period; and by period, because an
# anchor seldom falls on a full hour.
usage_hourly: Final = Table(
    "usage_hourly",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("period_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("project_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("product", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    _whole("calls"),
    _whole("units"),
    _whole("captured_millicredits"),
    Index(None, "account_id", "period_start_ms"),
    sqlite_with_rowid=False,
)

account_seq: Final = Table(
    "account_seq",
    metadata,
    Column("account_id", Text, primary_key=True),
    _whole("seq"),
    sqlite_with_rowid=False,
)

jobs: Final = Table(
    "jobs",
    metadata,
    Column("upstream", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    _text("account_id"),
    _text("project_id"),
    _text("request_id"),
    _text("kind"),
    _whole("attached_at_ms"),
    Index(None, "request_id"),
    Index(None, "job_id"),
)

# Refused calls of late, for whoever asks why. Kept on best effort and trimmed: no record of what was used.
refusals: Final = Table(
    "refusals",
    metadata,
    Column("request_id", Text, primary_key=True),
    _whole("at_ms"),
    _text("account_id"),
    _text("project_id"),
    _text("key_id"),
    _text("method"),
    _text("route"),
    Column("status", Integer, nullable=False),
    _text("code"),
    _text("product"),
    _text("mode"),
    _text("plan_id"),
    _text("rate_card_version"),
    _whole("expected_units", nullable=True),
    _whole("millicredits_per_unit", nullable=True),
    _whole("required_millicredits", nullable=True),
    _whole("available_millicredits", nullable=True),
    _text("limit_name"),
    _whole("retry_in_ms", nullable=True),
    _whole("resets_at_ms", nullable=True),
    Index(None, "at_ms"),
    sqlite_with_rowid=False,
)

# Deleted when the job's end is booked.
running_jobs: Final = Table(
    "running_jobs",
    metadata,
    Column("request_id", Text, primary_key=True),
    _text("account_id"),
    _text("facts"),  # a JSON object
    _text("kind"),
    _text("upstream"),
    _text("job_id"),
    _whole("held_millicredits"),
    _whole("period_start_ms"),
    _whole("admitted_at_ms"),
    _whole("deadline_ms"),
    _whole("attached_at_ms"),
    _whole("seq"),
    Index(None, "account_id"),
    sqlite_with_rowid=False,
)

poison_records: Final = Table(
    "poison_records",
    metadata,
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("stream_id", Text, primary_key=True),
    _text("raw"),
    _text("reason"),
    _whole("found_at_ms"),
)

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", Text, primary_key=True),
    _whole("at_ms"),
    _text("actor"),
    _text("action"),
    _text("account_id"),
    _text("subject_id"),
    _text("detail"),  # a JSON object
    Index(None, "account_id", "at_ms"),
)

# What was charged at one boundary of an account's periods, once. Without an invoice where there was nothing to charge.
closings: Final = Table(
    "closings",
    metadata,
    Column("id", Text, primary_key=True),
    _account(),
    _whole("boundary_ms"),
    _whole("at_ms"),
    Index(None, "account_id", "boundary_ms"),
)

# What a closing made of the usage of one period. Several closings of one period add up: what is settled late is
# charged by a later one. `unused_millicredits` null: nothing is given back for unused allowance.
closed_usage: Final = Table(
    "closed_usage",
    metadata,
    Column("closing_id", Text, ForeignKey("closings.id"), primary_key=True),
    Column("period_start_ms", BigInteger, primary_key=True, autoincrement=False),
    _account(),
    _whole("included_millicredits"),
    _whole("pay_as_you_go_millicredits"),
    _whole("written_off_millicredits"),
    _whole("pay_as_you_go_cents"),
    _whole("unused_millicredits", nullable=True),
    _whole("unused_cents"),
    Index(None, "account_id", "period_start_ms"),
    sqlite_with_rowid=False,
)

# The stamp on a usage event, once: the closing, and the line where any of it was pay-as-you-go.
closed_events: Final = Table(
    "closed_events",
    metadata,
    Column("event_id", Text, ForeignKey("usage_events.id"), primary_key=True),
    Column("closing_id", Text, ForeignKey("closings.id"), nullable=False),
    _text("line_id", nullable=True),
    _whole("included_millicredits"),
    _whole("pay_as_you_go_millicredits"),
    _whole("written_off_millicredits"),
    Index(None, "closing_id"),
    sqlite_with_rowid=False,
)

# `document` is the invoice as issued, to the byte; only status, payment and credits change afterwards.
invoices: Final = Table(
    "invoices",
    metadata,
    Column("id", Text, primary_key=True),
    _account(),
    Column("closing_id", Text, ForeignKey("closings.id"), nullable=False, unique=True),
    Column("number", Text, nullable=False, unique=True),
    _text("status"),
    _whole("period_start_ms"),
    _whole("period_end_ms"),
    _whole("issued_ms"),
    _whole("total_cents"),
    _whole("paid_cents"),
    _whole("credited_cents"),
    _whole("settled_ms", nullable=True),
    _text("document"),
    _text("content_hash"),
    Index(None, "account_id", "issued_ms"),
)

invoice_lines: Final = Table(
    "invoice_lines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("invoice_id", Text, ForeignKey("invoices.id"), nullable=False),
    Column("position", Integer, nullable=False),
    _text("kind"),
    _text("plan_id"),
    _whole("service_start_ms"),
    _whole("service_end_ms"),
    _whole("millicredits"),
    _whole("amount_cents"),
    _text("corrects", nullable=True),
    UniqueConstraint("invoice_id", "position"),
)

invoice_sub_lines: Final = Table(
    "invoice_sub_lines",
    metadata,
    Column("line_id", Text, ForeignKey("invoice_lines.id"), primary_key=True),
    Column("product", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    _whole("millicredits"),
    _whole("amount_cents"),
    sqlite_with_rowid=False,
)

credit_notes: Final = Table(
    "credit_notes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("invoice_id", Text, ForeignKey("invoices.id"), nullable=False),
    Column("number", Text, nullable=False, unique=True),
    _whole("amount_cents"),
    _text("reason"),
    _whole("issued_ms"),
    Index(None, "invoice_id"),
)

# The last number given in each series and year: raised in the transaction that uses it, so there are no gaps.
document_numbers: Final = Table(
    "document_numbers",
    metadata,
    Column("series", Text, primary_key=True),
    Column("year", Integer, primary_key=True, autoincrement=False),
    _whole("last"),
    sqlite_with_rowid=False,
)

# Who stands on invoices: `seller`, or an account's id.
billing_details: Final = Table(
    "billing_details",
    metadata,
    Column("party", Text, primary_key=True),
    _text("name"),
    _text("address"),
    _text("email"),
    _text("tax_id"),
    _text("tax_name"),
    Column("tax_parts_per_million", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# What an upgrade was said to cost, and what that assumed: honoured for a while.
plan_previews: Final = Table(
    "plan_previews",
    metadata,
    Column("id", Text, primary_key=True),
    _account(),
    _text("plan_id"),
    _whole("period_start_ms"),
    _whole("up_to_seq"),
    _whole("held_millicredits"),
    _whole("price_cents"),
    _whole("total_cents"),
    _whole("made_ms"),
    Index(None, "account_id", "made_ms"),
)
