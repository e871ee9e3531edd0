"""Facts about the whole installation, decided once: the number of shards, the epoch of the counters."""

from typing import Final

from sqlalchemy import BigInteger, ScalarSelect, cast, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import meta

EPOCH: Final = "epoch"
SHARDS: Final = "shards"


async def get(conn: AsyncConnection, key: str) -> str | None:
    """The value, None where nothing was decided yet."""
    return (await conn.execute(select(meta.c.value).where(meta.c.key == key))).scalar_one_or_none()


async def decide(conn: AsyncConnection, key: str, value: str) -> str:
    """Write the value unless another process has decided before; returns what holds."""
    await conn.execute(upsert(conn, meta).values(key=key, value=value).on_conflict_do_nothing())
    decided: str = (await conn.execute(select(meta.c.value).where(meta.c.key == key))).scalar_one()
    return decided


async def decide_shards(conn: AsyncConnection, shards: int) -> int:
    """The number of shards this installation began with: `shards` if this is its first start."""
    return int(await decide(conn, SHARDS, str(shards)))


async def raise_epoch(conn: AsyncConnection) -> int:
    """Fence every counter in Redis: each account is rebuilt from the books before its next call. The new epoch."""
    current = int(await decide(conn, EPOCH, "1"))
    await conn.execute(update(meta).where(meta.c.key == EPOCH).values(value=str(current + 1)))
    return current + 1


def epoch() -> ScalarSelect[int]:
    """The epoch as a subquery: 1 until it is first raised."""
    stored = select(cast(meta.c.value, BigInteger)).where(meta.c.key == EPOCH).scalar_subquery()
    return select(func.coalesce(stored, literal(1, BigInteger))).scalar_subquery()
