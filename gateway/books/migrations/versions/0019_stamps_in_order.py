"""The stamps of a closing in the order of their events: a page of an invoice's events reads none but its own."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_closed_events_closing_id_event_id"), "closed_events", ["closing_id", "event_id"])
    op.drop_index(op.f("ix_closed_events_closing_id"), "closed_events")
