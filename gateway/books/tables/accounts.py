"""Who there is: accounts, projects, API keys, and what was changed by whom."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text

from gateway.books.tables.columns import account_column, metadata, text_column, whole_column

meta: Final = Table("meta", metadata, Column("key", Text, primary_key=True), text_column("value"))

accounts: Final = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("name"),
    text_column("status"),
    whole_column("terms_version"),
    whole_column("created_ms"),
    whole_column("closed_ms", nullable=True),
    # How far its own clock is ahead of the world's; null: a real account, which has none.
    whole_column("clock_offset_ms", nullable=True),
    Index(
        "ix_accounts_with_a_clock",
        "id",
        sqlite_where=text("clock_offset_ms IS NOT NULL"),
        postgresql_where=text("clock_offset_ms IS NOT NULL"),
    ),
)

projects: Final = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    text_column("name"),
    whole_column("created_ms"),
    UniqueConstraint("account_id", "name"),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    account_column(),
    Column("project_id", Text, ForeignKey("projects.id"), nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("pepper_version", Integer, nullable=False),
    text_column("name"),
    text_column("products", nullable=True),  # a JSON list; null: all
    whole_column("created_ms"),
    whole_column("expires_ms", nullable=True),
    whole_column("revoked_ms", nullable=True),
    Column("replaced_by", Text, ForeignKey("api_keys.id"), nullable=True),
    Index(None, "account_id"),
)

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", Text, primary_key=True),
    whole_column("at_ms"),
    text_column("actor"),
    text_column("action"),
    text_column("account_id"),
    text_column("subject_id"),
    text_column("detail"),  # a JSON object
    Index(None, "account_id", "at_ms"),
)
