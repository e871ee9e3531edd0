"""What was used of each period at a glance, the alerts that came of it, and the webhooks that tell of them."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from gateway.books.tables.columns import account_column, metadata, text_column, whole_column

# Running sums of captures, kept in the transaction that books them: whoever wants to know need not add up a month.
period_usage: Final = Table(
    "period_usage",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("period_start_ms", BigInteger, primary_key=True, autoincrement=False),
    whole_column("captured_millicredits"),
    sqlite_with_rowid=False,
)

# One row for each threshold crossed in a period. `threshold` is in percent or cents, as the kind says.
alerts: Final = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    whole_column("period_start_ms"),
    whole_column("period_end_ms"),
    text_column("kind"),
    whole_column("threshold"),
    whole_column("used_millicredits"),
    whole_column("included_millicredits"),
    whole_column("spend_cents"),
    whole_column("raised_ms"),
    UniqueConstraint("account_id", "period_start_ms", "kind", "threshold"),
)

# Signing secrets are made of a seed and the pepper, which is not in here. The previous one signs too until it ends.
webhook_endpoints: Final = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    text_column("url"),
    text_column("description"),
    text_column("event_types", nullable=True),  # a JSON list; null: all
    text_column("seed"),
    text_column("previous_seed", nullable=True),
    whole_column("previous_until_ms", nullable=True),
    whole_column("created_ms"),
    whole_column("disabled_ms", nullable=True),
    text_column("disabled_reason"),
    # Since when nothing was delivered; null: the last delivery succeeded, or there was none.
    whole_column("failing_since_ms", nullable=True),
    Index(None, "account_id"),
)

# What happened, in the bytes that are sent, however often and to however many.
webhook_messages: Final = Table(
    "webhook_messages",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    text_column("type"),
    text_column("body"),
    whole_column("created_ms"),
    Index(None, "created_ms"),
)

# `next_ms` is when it is due, null once it has ended. Whoever delivers it writes a lease and moves `next_ms` ahead.
webhook_deliveries: Final = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("message_id", Text, ForeignKey("webhook_messages.id"), nullable=False),
    Column("endpoint_id", Text, ForeignKey("webhook_endpoints.id"), nullable=False),
    text_column("status"),
    Column("attempts", Integer, nullable=False),
    # Those since it was first due or last replayed: they count for the pauses in between.
    Column("tries", Integer, nullable=False),
    whole_column("next_ms", nullable=True),
    text_column("lease", nullable=True),
    whole_column("created_ms"),
    whole_column("ended_ms", nullable=True),
    UniqueConstraint("message_id", "endpoint_id"),
    Index(None, "endpoint_id", "created_ms"),
    Index(
        "ix_webhook_deliveries_due",
        "endpoint_id",
        "next_ms",
        sqlite_where=text("next_ms IS NOT NULL"),
        postgresql_where=text("next_ms IS NOT NULL"),
    ),
)

webhook_attempts: Final = Table(
    "webhook_attempts",
    metadata,
    Column("delivery_id", Text, ForeignKey("webhook_deliveries.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    whole_column("at_ms"),
    Column("status", Integer, nullable=True),
    whole_column("duration_ms"),
    text_column("fault"),
    text_column("reply"),
    sqlite_with_rowid=False,
)
