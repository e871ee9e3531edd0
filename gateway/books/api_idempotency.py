"""Claims on Idempotency-Keys of the API, and the sealed replies that are given again. Rows go once they have expired.

What is digested, sealed and answered is for the flow.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import api_idempotency

_SWEPT_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class BookedClaim:
    """Who came first with a key. `reply` None: it has not ended, or ended without an answer that could be kept."""

    digest: bytes
    claim_id: str
    claimed_ms: int
    reply: bytes | None


async def claim(
    conn: AsyncConnection, scope: str, key: str, *, digest: bytes, claim_id: str, at_ms: int, expires_ms: int
) -> BookedClaim:
    """The claim that holds: this one where nobody had come first."""
    table = api_idempotency
    ended = (table.c.scope == scope, table.c.key == key, table.c.expires_ms <= at_ms)
    await conn.execute(delete(table).where(*ended))
    await _sweep(conn, at_ms)
    await conn.execute(
        upsert(conn, table)
        .values(
            scope=scope,
            key=key,
            digest=digest,
            claim_id=claim_id,
            claimed_ms=at_ms,
            expires_ms=expires_ms,
            reply=None,
        )
        .on_conflict_do_nothing()
    )
    query = select(table.c.digest, table.c.claim_id, table.c.claimed_ms, table.c.reply).where(
        table.c.scope == scope, table.c.key == key
    )
    return BookedClaim(*(await conn.execute(query)).one())


async def keep(conn: AsyncConnection, scope: str, key: str, *, claim_id: str, reply: bytes) -> None:
    """The answer that the holder of the claim gave."""
    table = api_idempotency.c
    mine = (table.scope == scope, table.key == key, table.claim_id == claim_id)
    await conn.execute(update(api_idempotency).where(*mine).values(reply=reply))


async def forget(conn: AsyncConnection, scope: str, key: str, *, claim_id: str) -> None:
    """Nothing was done under the claim: the next with this key is the first."""
    table = api_idempotency.c
    mine = (table.scope == scope, table.key == key, table.claim_id == claim_id)
    await conn.execute(delete(api_idempotency).where(*mine))


async def _sweep(conn: AsyncConnection, at_ms: int) -> None:
    """A few of those that have expired: each claim takes away more than it adds, so the table stays small."""
    table = api_idempotency.c
    old = select(table.scope, table.key).where(table.expires_ms <= at_ms).limit(_SWEPT_AT_ONCE)
    await conn.execute(delete(api_idempotency).where(tuple_(table.scope, table.key).in_(old)))
