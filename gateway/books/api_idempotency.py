"""Claims on Idempotency-Keys of the API, and the sealed replies that are given again. Rows go once they have expired.

What is digested, sealed and answered is for the flow.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import api_idempotency

_SWEPT_AT_ONCE: Final = 100
# Stands for an answer that is not there yet.
COMMITTED: Final = b""


@dataclass(frozen=True, slots=True)
class BookedClaim:
    """Who came first with a key. `reply` None: nothing is committed; empty: something is, without an answer yet."""

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


async def made(conn: AsyncConnection, scope: str, key: str, *, claim_id: str) -> bool:
    """Note that something is committed under the claim, with that; False where it is another's by now."""
    table = api_idempotency.c
    this = (table.scope == scope, table.key == key)
    noted = update(api_idempotency).where(*this, table.claim_id == claim_id)
    done = await conn.execute(noted.values(reply=func.coalesce(table.reply, COMMITTED)))
    return done.rowcount == 1 or (await conn.execute(select(table.claim_id).where(*this))).first() is None


async def take_over(conn: AsyncConnection, scope: str, key: str, *, claim_id: str, of: str, at_ms: int) -> bool:
    """The claim of one that is dead and committed nothing; False where it is not like that any more."""
    table = api_idempotency.c
    dead = (table.scope == scope, table.key == key, table.claim_id == of, table.reply.is_(None))
    done = await conn.execute(update(api_idempotency).where(*dead).values(claim_id=claim_id, claimed_ms=at_ms))
    return done.rowcount == 1


async def fail(conn: AsyncConnection, scope: str, key: str, *, claim_id: str) -> None:
    """It broke: nothing committed, and the next with this key is the first; else there will be no answer."""
    table = api_idempotency.c
    mine = (table.scope == scope, table.key == key, table.claim_id == claim_id)
    await conn.execute(delete(api_idempotency).where(*mine, table.reply.is_(None)))
    await conn.execute(update(api_idempotency).where(*mine).values(claimed_ms=0))


async def _sweep(conn: AsyncConnection, at_ms: int) -> None:
    """A few of those that have expired: each claim takes away more than it adds, so the table stays small."""
    table = api_idempotency.c
    old = select(table.scope, table.key).where(table.expires_ms <= at_ms).limit(_SWEPT_AT_ONCE)
    await conn.execute(delete(api_idempotency).where(tuple_(table.scope, table.key).in_(old)))
