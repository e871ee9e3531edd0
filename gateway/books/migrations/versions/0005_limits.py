"""What an account limits itself to, and what an operator raised for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spend_limits",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("pay_as_you_go", sa.Boolean(), nullable=False),
        sa.Column("max_cents", sa.BigInteger(), nullable=True),
        sa.Column("alert_percents", sa.Text(), nullable=False),
        sa.Column("alert_cents", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_spend_limits_account_id")),
        sa.PrimaryKeyConstraint("account_id", "from_ms", name=op.f("pk_spend_limits")),
    )
    op.create_table(
        "spend_raises",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("max_cents", sa.BigInteger(), nullable=True),
        sa.Column("max_millicredits", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_spend_raises_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spend_raises")),
    )
    op.create_index(op.f("ix_spend_raises_account_id"), "spend_raises", ["account_id"], unique=False)
    op.create_table(
        "budgets",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("millicredits", sa.BigInteger(), nullable=False),
        sa.Column("set_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_budgets_account_id")),
        sa.PrimaryKeyConstraint("account_id", "subject_id", name=op.f("pk_budgets")),
    )
