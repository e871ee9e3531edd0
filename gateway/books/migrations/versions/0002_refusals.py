"""Recent refusals, and jobs found by their id alone."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "refusals",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.Text(), nullable=False),
        sa.Column("rate_card_version", sa.Text(), nullable=False),
        sa.Column("expected_units", sa.BigInteger(), nullable=True),
        sa.Column("millicredits_per_unit", sa.BigInteger(), nullable=True),
        sa.Column("required_millicredits", sa.BigInteger(), nullable=True),
        sa.Column("available_millicredits", sa.BigInteger(), nullable=True),
        sa.Column("limit_name", sa.Text(), nullable=False),
        sa.Column("retry_in_ms", sa.BigInteger(), nullable=True),
        sa.Column("resets_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_refusals")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_refusals_at_ms"), "refusals", ["at_ms"], unique=False)
    op.create_index(op.f("ix_jobs_job_id"), "jobs", ["job_id"], unique=False)
