"""Sandbox accounts: a clock of their own, and the way to those that have one."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("clock_offset_ms", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_accounts_with_a_clock",
        "accounts",
        ["id"],
        sqlite_where=sa.text("clock_offset_ms IS NOT NULL"),
        postgresql_where=sa.text("clock_offset_ms IS NOT NULL"),
    )
