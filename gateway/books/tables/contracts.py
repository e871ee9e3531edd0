"""What single accounts agreed to in place of their plan's terms."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text

from gateway.books.tables.columns import account_column, metadata, text_column, whole_column

# Each version as it was agreed, never changed: the highest one whose start has come is in force. It belongs to one
# subscription, so that whoever leaves the plan and comes back agrees anew.
contracts: Final = Table(
    "contracts",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("subscription_id", Text, ForeignKey("subscriptions.id"), nullable=False),
    whole_column("effective_ms"),
    text_column("terms"),  # a JSON object
    whole_column("agreed_ms"),
    text_column("actor"),
    text_column("reason"),
    sqlite_with_rowid=False,
)

# Where an event's pay-as-you-go reaches into further tiers: its part on each further line. The first is its stamp's.
closed_event_parts: Final = Table(
    "closed_event_parts",
    metadata,
    Column("event_id", Text, ForeignKey("usage_events.id"), primary_key=True),
    Column("line_id", Text, primary_key=True),
    account_column(),
    whole_column("millicredits"),
    sqlite_with_rowid=False,
)
