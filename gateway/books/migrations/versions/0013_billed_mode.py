"""The mode that a call was billed in, beside the one that was asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("usage_events", sa.Column("billed_mode", sa.Text(), nullable=True))
