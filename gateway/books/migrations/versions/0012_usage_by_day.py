"""Usage by day, so that months and whole billing periods are read from few rows however much was used."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage_daily",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("day_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("captured_millicredits", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id",
            "day_ms",
            "period_start_ms",
            "project_id",
            "key_id",
            "product",
            "mode",
            name=op.f("pk_usage_daily"),
        ),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO usage_daily "
        "SELECT account_id, hour_ms / 86400000 * 86400000, period_start_ms, project_id, key_id, product, mode, "
        "CAST(sum(calls) AS BIGINT), CAST(sum(units) AS BIGINT), CAST(sum(captured_millicredits) AS BIGINT) "
        "FROM usage_hourly GROUP BY 1, 2, 3, 4, 5, 6, 7"
    )
    op.create_index(
        op.f("ix_usage_daily_account_id_period_start_ms"),
        "usage_daily",
        ["account_id", "period_start_ms"],
        unique=False,
    )
    # Whole periods are read from the days from now on.
    op.drop_index(op.f("ix_usage_hourly_account_id_period_start_ms"), table_name="usage_hourly")
