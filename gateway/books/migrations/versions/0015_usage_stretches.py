"""Usage by stretches of sequence numbers, so that a draft beyond the grant is drawn up without reading every event."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "usage_stretches",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stretch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("captured_millicredits", sa.BigInteger(), nullable=False),
        sa.Column("first_admitted_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_admitted_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "period_start_ms", "stretch", "product", "mode", name=op.f("pk_usage_stretches")
        ),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO usage_stretches "
        "SELECT account_id, period_start_ms, seq / 1024, product, mode, CAST(sum(captured_millicredits) AS BIGINT), "
        "min(admitted_at_ms), max(admitted_at_ms) FROM usage_events WHERE captured_millicredits > 0 "
        "GROUP BY 1, 2, 3, 4, 5"
    )
