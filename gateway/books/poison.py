"""Outbox records that could not be booked, put aside with the reason, so that the rest flows on. Repairs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import now_ms, upsert
from gateway.books.tables import poison_records


@dataclass(frozen=True, slots=True)
class PoisonRecord:
    """One record; `raw` is a JSON object of its fields, bytes that are no text written as escapes."""

    shard: int
    stream_id: str
    raw: str
    reason: str


async def put_aside(conn: AsyncConnection, records: Sequence[PoisonRecord]) -> None:
    """Keep the records; a repeat changes nothing."""
    if not records:
        return
    rows = [
        {"shard": record.shard, "stream_id": record.stream_id, "raw": record.raw, "reason": record.reason}
        for record in records
    ]
    await conn.execute(upsert(conn, poison_records).values(found_at_ms=now_ms()).on_conflict_do_nothing(), rows)


async def every(conn: AsyncConnection, *, limit: int = 100) -> list[PoisonRecord]:
    """The first of them, in the order of their streams."""
    table = poison_records.c
    query = select(table.shard, table.stream_id, table.raw, table.reason).order_by(table.shard, table.stream_id)
    return [PoisonRecord(*row) for row in await conn.execute(query.limit(limit))]


async def count(conn: AsyncConnection) -> int:
    """How many were ever put aside."""
    return (await conn.execute(select(func.count()).select_from(poison_records))).scalar_one()
