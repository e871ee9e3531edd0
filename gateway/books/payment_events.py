"""Which webhooks of payment providers were heeded, and what the fake provider did. Both by somebody else's id, once."""

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import fake_payments, payment_events


async def seen(conn: AsyncConnection, event_id: str) -> bool:
    """Whether this one was heeded already."""
    query = select(payment_events.c.id).where(payment_events.c.id == event_id)
    return (await conn.execute(query)).scalar_one_or_none() is not None


async def note(conn: AsyncConnection, event_id: str, *, provider: str, kind: str, at_ms: int) -> None:
    """It was heeded; a repeat changes nothing."""
    adding = upsert(conn, payment_events).values(id=event_id, provider=provider, type=kind, at_ms=at_ms)
    await conn.execute(adding.on_conflict_do_nothing())


async def trim(conn: AsyncConnection, *, before_ms: int, limit: int = 1_000) -> int:
    """Forget what was heeded before then, the oldest first; how many that was."""
    table = payment_events.c
    old = select(table.id).where(table.at_ms < before_ms).order_by(table.at_ms).limit(limit)
    return int((await conn.execute(delete(payment_events).where(table.id.in_(old)))).rowcount)


async def fake_answer(conn: AsyncConnection, key: str) -> str | None:
    """What the fake provider did for a key."""
    query = select(fake_payments.c.answer).where(fake_payments.c.id == key)
    found: str | None = (await conn.execute(query)).scalar_one_or_none()
    return found


async def begin_fake(conn: AsyncConnection, key: str, answer: str) -> None:
    """Its first answer; a repeat changes nothing."""
    adding = upsert(conn, fake_payments).values(id=key, answer=answer)
    await conn.execute(adding.on_conflict_do_nothing())


async def change_fake(conn: AsyncConnection, key: str, old: tuple[str, ...], new: str) -> None:
    """Another answer, where it is one of the old ones."""
    table = fake_payments.c
    await conn.execute(update(fake_payments).where(table.id == key, table.answer.in_(old)).values(answer=new))
