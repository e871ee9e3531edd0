"""What an account limits itself to, what an operator raised for a while, and budgets of projects and keys."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, PrimaryKeyConstraint, Table, Text

from gateway.books.tables.columns import account_column, metadata, text_column, whole_column

# In force from from_ms until the account's next row: what was charged under which ceiling stays to be seen.
spend_limits: Final = Table(
    "spend_limits",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("from_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("pay_as_you_go", Boolean, nullable=False),
    whole_column("max_cents", nullable=True),
    text_column("alert_percents"),  # a JSON list, as is the next
    text_column("alert_cents"),
)

# One of the two amounts is set. ended_ms: an operator ended it early.
spend_raises: Final = Table(
    "spend_raises",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    whole_column("from_ms"),
    whole_column("until_ms"),
    whole_column("max_cents", nullable=True),
    whole_column("max_millicredits", nullable=True),
    text_column("reason"),
    whole_column("ended_ms", nullable=True),
    Index(None, "account_id"),
)

# subject_id is a project's or an API key's.
budgets: Final = Table(
    "budgets",
    metadata,
    account_column(),
    text_column("subject_id"),
    whole_column("millicredits"),
    whole_column("set_ms"),
    PrimaryKeyConstraint("account_id", "subject_id"),
)
