"""Hours and days for all projects and keys together, so that a chart by product or mode reads no row for every key."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SUMS = ("calls", "units", "captured_millicredits")
QUARTERS = (15, 30, 45)
TO_QUARTERS = tuple(f"{name}_to_{minute}" for minute in QUARTERS for name in SUMS)


def upgrade() -> None:
    accounts = sa.text("SELECT account_id FROM account_seq ORDER BY account_id")
    account_ids = list(op.get_bind().execute(accounts).scalars())
    for rollup, start, sums in (("usage_hourly", "hour_ms", (*SUMS, *TO_QUARTERS)), ("usage_daily", "day_ms", SUMS)):
        key = ("account_id", start, "period_start_ms", "product", "mode")
        together = f"{rollup}_by_mode"
        op.create_table(
            together,
            sa.Column("account_id", sa.Text(), nullable=False),
            sa.Column(start, sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("period_start_ms", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("product", sa.Text(), nullable=False),
            sa.Column("mode", sa.Text(), nullable=False),
            *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sums),
            sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{together}")),
            sqlite_with_rowid=False,
        )
        added = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in sums)
        copied = sa.text(
            f"INSERT INTO {together} ({', '.join((*key, *sums))}) "  # noqa: S608 - nothing of it comes from outside
            f"SELECT {', '.join(key)}, {added} FROM {rollup} WHERE account_id = :account_id "
            "GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
        )
        # A statement for all of them would take longer than the books wait for one.
        for account_id in account_ids:
            op.get_bind().execute(copied, {"account_id": account_id})
