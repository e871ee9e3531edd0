"""Payment methods, and what was tried to be paid."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

HOLDS_THE_INVOICE = "invoice_id IS NOT NULL AND state IN ('started', 'pending', 'action_required', 'succeeded')"
DEFAULT = "is_default AND removed_ms IS NULL"


def upgrade() -> None:
    _methods()
    _plan_changes()
    _attempts()
    _collections()
    _events()


def _whole(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=nullable)


def _foreign(table: str, column: str, there: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{there}.id"], name=op.f(f"fk_{table}_{column}"))


def _some(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(name, table, columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _methods() -> None:
    op.create_table(
        "payment_customers",
        _text("account_id"),
        _text("provider"),
        _text("ref"),
        _whole("adding_since_ms", nullable=True),
        _foreign("payment_customers", "account_id", "accounts"),
        sa.PrimaryKeyConstraint("account_id", "provider", name=op.f("pk_payment_customers")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_payment_customers_provider_ref"), "payment_customers", ["provider", "ref"])
    op.create_table(
        "payment_methods",
        _text("id"),
        _text("account_id"),
        _text("provider"),
        _text("ref"),
        _text("kind"),
        _text("brand"),
        _text("last4"),
        sa.Column("exp_month", sa.Integer(), nullable=True),
        sa.Column("exp_year", sa.Integer(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        _whole("added_ms"),
        _whole("removed_ms", nullable=True),
        _foreign("payment_methods", "account_id", "accounts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_methods")),
        sa.UniqueConstraint("provider", "ref", name=op.f("uq_payment_methods_provider_ref")),
    )
    op.create_index(op.f("ix_payment_methods_account_id"), "payment_methods", ["account_id"])
    _some("uq_payment_methods_one_default", "payment_methods", ["account_id", "provider"], DEFAULT, unique=True)


def _plan_changes() -> None:
    op.create_table(
        "plan_change_payments",
        _text("id"),
        _text("account_id"),
        _text("plan_id"),
        _whole("period_start_ms"),
        _whole("up_to_seq"),
        _whole("held_millicredits"),
        _whole("price_cents"),
        _whole("total_cents"),
        _whole("told_ms"),
        _text("state"),
        _text("actor"),
        _text("reason"),
        _text("fault", nullable=True),
        _whole("started_ms"),
        _whole("ended_ms", nullable=True),
        _foreign("plan_change_payments", "account_id", "accounts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_change_payments")),
    )
    one = "uq_plan_change_payments_one_at_a_time"
    _some(one, "plan_change_payments", ["account_id"], "state = 'paying'", unique=True)


def _attempts() -> None:
    op.create_table(
        "payment_attempts",
        _text("id"),
        _text("account_id"),
        _text("invoice_id", nullable=True),
        _text("change_id", nullable=True),
        _text("provider"),
        _text("customer_ref"),
        _text("method_id"),
        _text("method_ref"),
        _whole("amount_cents"),
        _text("description"),
        _text("trigger"),
        sa.Column("on_session", sa.Boolean(), nullable=False),
        _text("return_url", nullable=True),
        _text("state"),
        _text("provider_ref", nullable=True),
        _text("reason", nullable=True),
        _text("action_url", nullable=True),
        _whole("started_ms"),
        _whole("look_ms"),
        sa.Column("looks", sa.Integer(), nullable=False),
        _whole("ended_ms", nullable=True),
        _foreign("payment_attempts", "account_id", "accounts"),
        _foreign("payment_attempts", "invoice_id", "invoices"),
        _foreign("payment_attempts", "change_id", "plan_change_payments"),
        _foreign("payment_attempts", "method_id", "payment_methods"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_attempts")),
    )
    index = op.f("ix_payment_attempts_account_id_started_ms")
    op.create_index(index, "payment_attempts", ["account_id", "started_ms"])
    _some("uq_payment_attempts_one_per_invoice", "payment_attempts", ["invoice_id"], HOLDS_THE_INVOICE, unique=True)
    for columns in (["invoice_id"], ["change_id"], ["state", "look_ms"]):
        op.create_index(op.f(f"ix_payment_attempts_{'_'.join(columns)}"), "payment_attempts", columns)


def _collections() -> None:
    op.create_table(
        "invoice_collections",
        _text("invoice_id"),
        _text("account_id"),
        _text("state"),
        sa.Column("failures", sa.Integer(), nullable=False),
        _whole("first_failed_ms"),
        _whole("next_try_ms", nullable=True),
        _whole("asked_ms", nullable=True),
        _text("reason"),
        _foreign("invoice_collections", "invoice_id", "invoices"),
        _foreign("invoice_collections", "account_id", "accounts"),
        sa.PrimaryKeyConstraint("invoice_id", name=op.f("pk_invoice_collections")),
    )
    op.create_index(op.f("ix_invoice_collections_account_id"), "invoice_collections", ["account_id"])
    op.create_index(op.f("ix_invoice_collections_state"), "invoice_collections", ["state"])
    op.create_index(op.f("ix_invoices_status_id"), "invoices", ["status", "id"])


def _events() -> None:
    op.create_table(
        "payment_events",
        _text("id"),
        _text("provider"),
        _text("type"),
        _whole("at_ms"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_events")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_payment_events_at_ms"), "payment_events", ["at_ms"])
    op.create_table(
        "fake_payments",
        _text("id"),
        _text("answer"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fake_payments")),
        sqlite_with_rowid=False,
    )
