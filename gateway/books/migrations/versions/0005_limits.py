"""What an account limits itself to, and what an operator raised for a while."""

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
