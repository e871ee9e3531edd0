"""What accounts agreed to: subscriptions, the periods they make, what was granted for each."""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Table, Text, text

from gateway.books.tables.columns import account_column, metadata, text_column, whole_column

# In force where started_ms <= t < ended_ms (null: open). A pending plan is a row that starts later; a plan change that
# was taken back ends where it starts, so it is never in force. Periods are counted from the anchor.
subscriptions: Final = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    text_column("plan_id"),
    whole_column("anchor_ms"),
    whole_column("started_ms"),
    whole_column("ended_ms", nullable=True),
    whole_column("requested_ms"),
    Index(None, "account_id", "started_ms"),
)

periods: Final = Table(
    "periods",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    whole_column("end_ms"),
    Column("subscription_id", Text, ForeignKey("subscriptions.id"), nullable=False),
    text_column("plan_id"),
    whole_column("allowance_millicredits"),
    whole_column("overage_millicredits"),
    # What it was sold at; null: booked before prices were kept, so the plan's as it is now.
    whole_column("price_cents", nullable=True),
    whole_column("nanodollars_per_millicredit", nullable=True),
    # The closings that charged its fee and its usage; null: still to come.
    text_column("opened_by", nullable=True),
    text_column("closed_by", nullable=True),
    # Null: sold at the plan's terms.
    whole_column("contract_version", nullable=True),
    Column("rollover_parts_per_million", BigInteger, nullable=False, server_default=text("0")),
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
    account_column(),
    Column("subscription_id", Text, ForeignKey("subscriptions.id"), nullable=False),
    whole_column("period_start_ms"),
    text_column("kind"),
    whole_column("amount_millicredits"),
    text_column("reason"),
    whole_column("created_ms"),
    Index(None, "account_id", "period_start_ms"),
    Index(
        "uq_grants_one_allowance",
        "subscription_id",
        "period_start_ms",
        unique=True,
        sqlite_where=text("kind = 'allowance'"),
        postgresql_where=text("kind = 'allowance'"),
    ),
    Index(
        "uq_grants_one_rollover",
        "account_id",
        "period_start_ms",
        unique=True,
        sqlite_where=text("kind = 'rollover'"),
        postgresql_where=text("kind = 'rollover'"),
    ),
)

# What an upgrade was said to cost, and what that assumed: honoured for a while.
plan_previews: Final = Table(
    "plan_previews",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    text_column("plan_id"),
    whole_column("period_start_ms"),
    whole_column("up_to_seq"),
    whole_column("held_millicredits"),
    whole_column("price_cents"),
    whole_column("total_cents"),
    whole_column("made_ms"),
    Index(None, "account_id", "made_ms"),
)
