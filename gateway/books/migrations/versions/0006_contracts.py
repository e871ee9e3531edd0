"""Contracts, in versions that each take effect at an instant; credits rolled over; when invoices are due."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

APPEND_ONLY = ("contracts", "closed_event_parts")


def upgrade() -> None:
    _contracts()
    _periods()
    _invoices()
    if op.get_bind().dialect.name == "postgresql":
        _postgresql_frozen()
    else:
        _sqlite_frozen()


def _contracts() -> None:
    """What was agreed, and parts of events on the lines of further tiers."""
    op.create_table(
        "contracts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("effective_ms", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("agreed_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_contracts_account_id")),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("fk_contracts_subscription_id")),
        sa.PrimaryKeyConstraint("account_id", "version", name=op.f("pk_contracts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "closed_event_parts",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("millicredits", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["usage_events.id"], name=op.f("fk_closed_event_parts_event_id")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_closed_event_parts_account_id")),
        sa.PrimaryKeyConstraint("event_id", "line_id", name=op.f("pk_closed_event_parts")),
        sqlite_with_rowid=False,
    )


def _periods() -> None:
    """Under which version a period was sold, and what of it rolls over."""
    op.add_column("periods", sa.Column("contract_version", sa.BigInteger(), nullable=True))
    op.add_column(
        "periods",
        sa.Column("rollover_parts_per_million", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    rollover = sa.text("kind = 'rollover'")
    op.create_index(
        "uq_grants_one_rollover",
        "grants",
        ["account_id", "period_start_ms"],
        unique=True,
        sqlite_where=rollover,
        postgresql_where=rollover,
    )


def _invoices() -> None:
    """Those issued before were due at once."""
    op.add_column("invoices", sa.Column("due_ms", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.execute("UPDATE invoices SET due_ms = issued_ms")


def _sqlite_frozen() -> None:
    for table in APPEND_ONLY:
        for verb in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
            )
    op.execute(
        "CREATE TRIGGER invoices_frozen_due BEFORE UPDATE OF due_ms ON invoices "
        "BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END"
    )


def _postgresql_frozen() -> None:
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION only_ever_added_to()"
        )
    op.execute(
        "CREATE TRIGGER invoices_frozen_due BEFORE UPDATE OF due_ms ON invoices "
        "FOR EACH ROW EXECUTE FUNCTION only_ever_added_to()"
    )
