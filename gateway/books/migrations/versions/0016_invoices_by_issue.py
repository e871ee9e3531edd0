"""Invoices of all accounts by when they were issued: the newest are found without sorting all there ever were."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_invoices_issued_ms_id"), "invoices", ["issued_ms", "id"])
