"""What was charged: closings, and the documents they were put on."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from gateway.books.tables.columns import account_column, metadata, text_column, whole_column

# What was charged at one boundary of an account's periods, once. Without an invoice where there was nothing to charge.
closings: Final = Table(
    "closings",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    whole_column("boundary_ms"),
    whole_column("at_ms"),
    Index(None, "account_id", "boundary_ms"),
)

# What a closing made of the usage of one period. Several closings of one period add up: what is settled late is
# charged by a later one. `unused_millicredits` null: nothing is given back for unused allowance.
closed_usage: Final = Table(
    "closed_usage",
    metadata,
    Column("closing_id", Text, ForeignKey("closings.id"), primary_key=True),
    Column("period_start_ms", BigInteger, primary_key=True, autoincrement=False),
    account_column(),
    whole_column("included_millicredits"),
    whole_column("pay_as_you_go_millicredits"),
    whole_column("written_off_millicredits"),
    whole_column("pay_as_you_go_cents"),
    whole_column("unused_millicredits", nullable=True),
    whole_column("unused_cents"),
    Index(None, "account_id", "period_start_ms"),
    sqlite_with_rowid=False,
)

# The stamp on a usage event, once: the closing, and the line where any of it was pay-as-you-go.
closed_events: Final = Table(
    "closed_events",
    metadata,
    Column("event_id", Text, ForeignKey("usage_events.id"), primary_key=True),
    Column("closing_id", Text, ForeignKey("closings.id"), nullable=False),
    text_column("line_id", nullable=True),
    whole_column("included_millicredits"),
    whole_column("pay_as_you_go_millicredits"),
    whole_column("written_off_millicredits"),
    Index(None, "closing_id", "event_id"),
    sqlite_with_rowid=False,
)

# `document` is the invoice as issued, to the byte; only status, payment and credits change afterwards.
invoices: Final = Table(
    "invoices",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    Column("closing_id", Text, ForeignKey("closings.id"), nullable=False, unique=True),
    Column("number", Text, nullable=False, unique=True),
    text_column("status"),
    whole_column("period_start_ms"),
    whole_column("period_end_ms"),
    whole_column("issued_ms"),
    whole_column("total_cents"),
    whole_column("paid_cents"),
    whole_column("credited_cents"),
    whole_column("settled_ms", nullable=True),
    text_column("document"),
    text_column("content_hash"),
    Column("due_ms", BigInteger, nullable=False, server_default=text("0")),
    Index(None, "account_id", "issued_ms"),
    # The operator's list is of all accounts.
    Index(None, "issued_ms", "id"),
    # Whoever collects asks again and again for the few that are not paid.
    Index(None, "status", "id"),
)

invoice_lines: Final = Table(
    "invoice_lines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("invoice_id", Text, ForeignKey("invoices.id"), nullable=False),
    Column("position", Integer, nullable=False),
    text_column("kind"),
    text_column("plan_id"),
    whole_column("service_start_ms"),
    whole_column("service_end_ms"),
    whole_column("millicredits"),
    whole_column("amount_cents"),
    text_column("corrects", nullable=True),
    UniqueConstraint("invoice_id", "position"),
)

invoice_sub_lines: Final = Table(
    "invoice_sub_lines",
    metadata,
    Column("line_id", Text, ForeignKey("invoice_lines.id"), primary_key=True),
    Column("product", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    whole_column("millicredits"),
    whole_column("amount_cents"),
    sqlite_with_rowid=False,
)

credit_notes: Final = Table(
    "credit_notes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("invoice_id", Text, ForeignKey("invoices.id"), nullable=False),
    Column("number", Text, nullable=False, unique=True),
    whole_column("amount_cents"),
    text_column("reason"),
    whole_column("issued_ms"),
    Index(None, "invoice_id"),
)

# The last number given in each series and year: raised in the transaction that uses it, so there are no gaps.
document_numbers: Final = Table(
    "document_numbers",
    metadata,
    Column("series", Text, primary_key=True),
    Column("year", Integer, primary_key=True, autoincrement=False),
    whole_column("last"),
    sqlite_with_rowid=False,
)

# Who stands on invoices: `seller`, or an account's id.
billing_details: Final = Table(
    "billing_details",
    metadata,
    Column("party", Text, primary_key=True),
    text_column("name"),
    text_column("address"),
    text_column("email"),
    text_column("tax_id"),
    text_column("tax_name"),
    Column("tax_parts_per_million", Integer, nullable=False),
    sqlite_with_rowid=False,
)
