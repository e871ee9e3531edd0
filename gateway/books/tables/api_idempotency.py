"""Changes asked for through the API with an Idempotency-Key, and the edits of one thing that wait for each other."""

from typing import Final

from sqlalchemy import Column, Index, LargeBinary, Table, Text

from gateway.books.tables.columns import metadata, text_column, whole_column

api_idempotency: Final = Table(
    "api_idempotency",
    metadata,
    Column("scope", Text, primary_key=True),  # an account's id, or `admin`
    Column("key", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    text_column("claim_id"),
    whole_column("claimed_ms"),
    whole_column("expires_ms"),
    Column("reply", LargeBinary, nullable=True),  # sealed: it may hold a new secret
    Index(None, "expires_ms"),
    sqlite_with_rowid=False,
)
