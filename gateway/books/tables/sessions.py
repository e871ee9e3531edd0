"""Who is signed in to the dashboard."""

from typing import Final

from sqlalchemy import Column, Index, LargeBinary, Table, Text

from gateway.books.tables.columns import metadata, text_column, whole_column

# A session is found by the hash of what the browser's cookie holds. The one before it is known for a moment more: a
# page's requests run side by side, and only one of them brings the new cookie.
sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("previous_digest", LargeBinary, nullable=True),
    text_column("role"),
    text_column("account_id", nullable=True),  # null: an operator's
    text_column("bound_to"),  # the key's id, or what tells one admin token from another
    whole_column("created_ms"),
    whole_column("seen_ms"),
    whole_column("renewed_ms"),
    Index(None, "previous_digest"),
    Index(None, "account_id"),
    Index(None, "seen_ms"),
)
