"""Sessions as booked: the hash of what a browser holds, never that itself. Decides nothing about how long one lasts."""

from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.ids import new_id
from gateway.books.tables import sessions


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session. `account_id` None: an operator's. `is_previous`: found by the hash that was replaced last."""

    id: str
    role: str
    account_id: str | None
    bound_to: str
    created_ms: int
    seen_ms: int
    renewed_ms: int
    is_previous: bool = False


async def add(
    conn: AsyncConnection, *, digest: bytes, role: str, account_id: str | None, bound_to: str, at_ms: int
) -> SessionRecord:
    """A new session."""
    session_id = new_id("ses")
    await conn.execute(
        insert(sessions).values(
            id=session_id,
            digest=digest,
            previous_digest=None,
            role=role,
            account_id=account_id,
            bound_to=bound_to,
            created_ms=at_ms,
            seen_ms=at_ms,
            renewed_ms=at_ms,
        )
    )
    return SessionRecord(session_id, role, account_id, bound_to, at_ms, at_ms, at_ms)


async def find(conn: AsyncConnection, digest: bytes) -> SessionRecord | None:
    """The session with this hash, or with this one until it was last renewed."""
    table = sessions
    query = select(
        table.c.id,
        table.c.role,
        table.c.account_id,
        table.c.bound_to,
        table.c.created_ms,
        table.c.seen_ms,
        table.c.renewed_ms,
        table.c.digest != digest,
    ).where((table.c.digest == digest) | (table.c.previous_digest == digest))
    row = (await conn.execute(query)).first()
    return None if row is None else SessionRecord(*row)


async def renew(conn: AsyncConnection, session_id: str, *, old: bytes, new: bytes, at_ms: int) -> bool:
    """Replace the hash. False where another request did so meanwhile."""
    done = await conn.execute(
        update(sessions)
        .where(sessions.c.id == session_id, sessions.c.digest == old)
        .values(digest=new, previous_digest=old, seen_ms=at_ms, renewed_ms=at_ms)
    )
    return done.rowcount == 1


async def seen(conn: AsyncConnection, session_id: str, at_ms: int) -> None:
    """Note that it was used."""
    await conn.execute(update(sessions).where(sessions.c.id == session_id).values(seen_ms=at_ms))


async def end(conn: AsyncConnection, session_id: str) -> None:
    """End one."""
    await conn.execute(delete(sessions).where(sessions.c.id == session_id))


async def end_all(conn: AsyncConnection, account_id: str | None, *, bound_to: str | None = None) -> int:
    """End every session of the account (only those of one key), or every operator's; how many they were."""
    of = sessions.c.account_id.is_(None) if account_id is None else sessions.c.account_id == account_id
    if bound_to is not None:
        of &= sessions.c.bound_to == bound_to
    return (await conn.execute(delete(sessions).where(of))).rowcount


async def end_old(conn: AsyncConnection, *, unseen_since_ms: int, created_before_ms: int) -> None:
    """Forget those that nobody can use any more."""
    await conn.execute(
        delete(sessions).where((sessions.c.seen_ms < unseen_since_ms) | (sessions.c.created_ms < created_before_ms))
    )


async def keep_newest(conn: AsyncConnection, bound_to: str, most: int) -> None:
    """End all but the newest `most` sessions of one key, so that signing in fills no disk."""
    kept = (
        select(sessions.c.id)
        .where(sessions.c.bound_to == bound_to)
        .order_by(sessions.c.created_ms.desc(), sessions.c.id.desc())
        .limit(most)
    )
    await conn.execute(delete(sessions).where(sessions.c.bound_to == bound_to, sessions.c.id.not_in(kept)))


async def count(conn: AsyncConnection, account_id: str | None) -> int:
    """How many sessions the account, or all operators, have."""
    of = sessions.c.account_id.is_(None) if account_id is None else sessions.c.account_id == account_id
    return int((await conn.execute(select(func.count()).select_from(sessions).where(of))).scalar_one())
