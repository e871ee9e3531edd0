"""What each hour had come to by each quarter of it: zones at half past and at a quarter to read no events either.

The hours are put together anew, from the events they were made of.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

KEY = ("account_id", "hour_ms", "period_start_ms", "project_id", "key_id", "product", "mode")
SUMS = {
    "calls": "1",
    "units": "coalesce(units, 0)",
    "captured_millicredits": "captured_millicredits",
}
QUARTERS = (15, 30, 45)
HOUR_MS = 3_600_000
# A statement that reads all events there are would take longer than the books wait for one.
AT_A_TIME_MS = 30 * 24 * HOUR_MS


def upgrade() -> None:
    op.drop_table("usage_hourly")
    names = [*SUMS, *(f"{name}_to_{minute}" for minute in QUARTERS for name in SUMS)]
    op.create_table(
        "usage_hourly",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in KEY[3:]),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in names),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_usage_hourly")),
        sqlite_with_rowid=False,
    )
    conn = op.get_bind()
    copied = sa.text(_copy(names))
    ends = sa.text("SELECT min(admitted_at_ms), max(admitted_at_ms) FROM usage_events WHERE account_id = :account_id")
    for (account_id,) in conn.execute(sa.text("SELECT account_id FROM account_seq ORDER BY account_id")).all():
        first_ms, last_ms = conn.execute(ends, {"account_id": account_id}).one()
        if first_ms is None:
            continue
        for start_ms in range(first_ms // HOUR_MS * HOUR_MS, last_ms + 1, AT_A_TIME_MS):
            conn.execute(copied, {"account_id": account_id, "start_ms": start_ms, "end_ms": start_ms + AT_A_TIME_MS})


def _copy(names: Sequence[str]) -> str:
    """The hours of one account's stretch of time."""
    hour = f"admitted_at_ms / {HOUR_MS} * {HOUR_MS}"
    sums = [f"sum({value})" for value in SUMS.values()]
    sums += [
        f"sum(CASE WHEN admitted_at_ms - {hour} < {minute} * 60000 THEN {value} ELSE 0 END)"
        for minute in QUARTERS
        for value in SUMS.values()
    ]
    whole = ", ".join(f"CAST({each} AS BIGINT)" for each in sums)
    return (
        f"INSERT INTO usage_hourly ({', '.join((*KEY, *names))}) "  # noqa: S608 - nothing of it comes from outside
        f"SELECT account_id, {hour}, period_start_ms, project_id, key_id, product, mode, {whole} FROM usage_events "
        "WHERE account_id = :account_id AND admitted_at_ms >= :start_ms AND admitted_at_ms < :end_ms "
        "AND ending IN ('captured', 'late', 'recovered') GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7"
    )
