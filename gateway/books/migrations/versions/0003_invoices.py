"""Invoices, what they are made of, and the prices that periods were sold at."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APPEND_ONLY = ("closings", "closed_usage", "closed_events", "invoice_lines", "invoice_sub_lines", "credit_notes")
FROZEN = (
    "id, account_id, closing_id, number, period_start_ms, period_end_ms, issued_ms, total_cents, document, content_hash"
)


def upgrade() -> None:
    _periods()
    _closings()
    _invoices()
    _details()
    if op.get_bind().dialect.name == "postgresql":
        _postgresql_frozen()
    else:
        _sqlite_frozen()


def _whole(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=nullable)


def _account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f(f"fk_{table}_account_id"))


def _periods() -> None:
    """What a period was sold at, and whether that was charged."""
    for name in ("price_cents", "nanodollars_per_millicredit"):
        op.add_column("periods", _whole(name, nullable=True))
    for name in ("opened_by", "closed_by"):
        op.add_column("periods", _text(name, nullable=True))
    for name, column, marked in (
        ("ix_periods_to_open", "start_ms", "opened_by"),
        ("ix_periods_to_close", "end_ms", "closed_by"),
    ):
        unmarked = sa.text(f"{marked} IS NULL")
        op.create_index(name, "periods", [column], sqlite_where=unmarked, postgresql_where=unmarked)


def _closings() -> None:
    """What was charged at a boundary, and which usage events that were."""
    op.create_table(
        "closings",
        _text("id"),
        _text("account_id"),
        _whole("boundary_ms"),
        _whole("at_ms"),
        _account("closings"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closings")),
    )
    op.create_index(op.f("ix_closings_account_id_boundary_ms"), "closings", ["account_id", "boundary_ms"])
    op.create_table(
        "closed_usage",
        _text("closing_id"),
        sa.Column("period_start_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("account_id"),
        _whole("included_millicredits"),
        _whole("pay_as_you_go_millicredits"),
        _whole("written_off_millicredits"),
        _whole("pay_as_you_go_cents"),
        _whole("unused_millicredits", nullable=True),
        _whole("unused_cents"),
        sa.ForeignKeyConstraint(["closing_id"], ["closings.id"], name=op.f("fk_closed_usage_closing_id")),
        _account("closed_usage"),
        sa.PrimaryKeyConstraint("closing_id", "period_start_ms", name=op.f("pk_closed_usage")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_closed_usage_account_id_period_start_ms"), "closed_usage", ["account_id", "period_start_ms"]
    )
    op.create_table(
        "closed_events",
        _text("event_id"),
        _text("closing_id"),
        _text("line_id", nullable=True),
        _whole("included_millicredits"),
        _whole("pay_as_you_go_millicredits"),
        _whole("written_off_millicredits"),
        sa.ForeignKeyConstraint(["event_id"], ["usage_events.id"], name=op.f("fk_closed_events_event_id")),
        sa.ForeignKeyConstraint(["closing_id"], ["closings.id"], name=op.f("fk_closed_events_closing_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_closed_events")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_closed_events_closing_id"), "closed_events", ["closing_id"])


def _invoices() -> None:
    """What was issued."""
    op.create_table(
        "invoices",
        _text("id"),
        _text("account_id"),
        _text("closing_id"),
        _text("number"),
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
        _account("invoices"),
        sa.ForeignKeyConstraint(["closing_id"], ["closings.id"], name=op.f("fk_invoices_closing_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("closing_id", name=op.f("uq_invoices_closing_id")),
        sa.UniqueConstraint("number", name=op.f("uq_invoices_number")),
    )
    op.create_index(op.f("ix_invoices_account_id_issued_ms"), "invoices", ["account_id", "issued_ms"])
    op.create_table(
        "invoice_lines",
        _text("id"),
        _text("invoice_id"),
        sa.Column("position", sa.Integer(), nullable=False),
        _text("kind"),
        _text("plan_id"),
        _whole("service_start_ms"),
        _whole("service_end_ms"),
        _whole("millicredits"),
        _whole("amount_cents"),
        _text("corrects", nullable=True),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_invoice_lines_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_lines")),
        sa.UniqueConstraint("invoice_id", "position", name=op.f("uq_invoice_lines_invoice_id_position")),
    )
    op.create_table(
        "invoice_sub_lines",
        _text("line_id"),
        _text("product"),
        _text("mode"),
        _whole("millicredits"),
        _whole("amount_cents"),
        sa.ForeignKeyConstraint(["line_id"], ["invoice_lines.id"], name=op.f("fk_invoice_sub_lines_line_id")),
        sa.PrimaryKeyConstraint("line_id", "product", "mode", name=op.f("pk_invoice_sub_lines")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "credit_notes",
        _text("id"),
        _text("invoice_id"),
        _text("number"),
        _whole("amount_cents"),
        _text("reason"),
        _whole("issued_ms"),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_credit_notes_invoice_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_notes")),
        sa.UniqueConstraint("number", name=op.f("uq_credit_notes_number")),
    )
    op.create_index(op.f("ix_credit_notes_invoice_id"), "credit_notes", ["invoice_id"])


def _details() -> None:
    """Numbers, addresses, and what upgrades were said to cost."""
    op.create_table(
        "document_numbers",
        _text("series"),
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        _whole("last"),
        sa.PrimaryKeyConstraint("series", "year", name=op.f("pk_document_numbers")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "billing_details",
        _text("party"),
        _text("name"),
        _text("address"),
        _text("email"),
        _text("tax_id"),
        _text("tax_name"),
        sa.Column("tax_parts_per_million", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("party", name=op.f("pk_billing_details")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "plan_previews",
        _text("id"),
        _text("account_id"),
        _text("plan_id"),
        _whole("period_start_ms"),
        _whole("up_to_seq"),
        _whole("held_millicredits"),
        _whole("price_cents"),
        _whole("total_cents"),
        _whole("made_ms"),
        _account("plan_previews"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_previews")),
    )
    op.create_index(op.f("ix_plan_previews_account_id_made_ms"), "plan_previews", ["account_id", "made_ms"])


def _sqlite_frozen() -> None:
    """Nobody changes or removes what was issued."""
    for table in APPEND_ONLY:
        for verb in ("update", "delete"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
            )
    for verb in (f"UPDATE OF {FROZEN}", "DELETE"):
        op.execute(
            f"CREATE TRIGGER invoices_frozen_{verb[:6].lower()} BEFORE {verb} ON invoices "
            "BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END"
        )


def _postgresql_frozen() -> None:
    """Nobody changes or removes what was issued."""
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION only_ever_added_to()"
        )
    op.execute(
        f"CREATE TRIGGER invoices_frozen BEFORE UPDATE OF {FROZEN} OR DELETE ON invoices "
        "FOR EACH ROW EXECUTE FUNCTION only_ever_added_to()"
    )
