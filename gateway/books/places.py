"""Where among an account's captures those of one kind are, told by the rollups: a list of them need not look elsewhere.

A mode that was tried once, or a key that is long gone, has a few calls among millions; its days and hours are known.
Reads no events.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Table, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.pieces import Piece, of_account, pieces_table, pieces_text
from gateway.books.tables import usage_daily, usage_hourly
from gateway.domain.instant import DAY_MS, HOUR_MS

# So few days are read whole: to learn their hours would cost as much.
_FEW: Final = 2
# A rollup, its column of times, and how long each of them is.
_DAYS: Final = (usage_daily, usage_daily.c.day_ms, DAY_MS)
_HOURS: Final = (usage_hourly, usage_hourly.c.hour_ms, HOUR_MS)


async def latest(
    conn: AsyncConnection, account_id: str, only: Mapping[str, str], *, from_ms: int, to_ms: int, calls: int
) -> list[Piece]:
    """Stretches of `[from_ms, to_ms)` with the latest `calls` captures of that kind in them, or all; the latest first.

    `only` are columns of the rollups: `product`, `mode`, `project_id`, `key_id`.
    """
    whole = [Piece(0, from_ms, to_ms, 1)]
    days = await _with_calls(conn, account_id, only, whole, rollup=_DAYS, calls=calls)
    if len(days) <= _FEW:
        return days
    return await _with_calls(conn, account_id, only, days, rollup=_HOURS, calls=calls)


async def _with_calls(
    conn: AsyncConnection,
    account_id: str,
    only: Mapping[str, str],
    within: Sequence[Piece],
    *,
    rollup: tuple[Table, Column[Any], int],
    calls: int,
) -> list[Piece]:
    """The rollup's stretches in which there were calls, back to where these are enough."""
    rolled, start, length_ms = rollup
    table = pieces_table(conn.dialect.name, "within")
    inside = (start > table.c.start_ms - length_ms) & (start < table.c.end_ms)
    query = (
        select(start, cast(func.sum(rolled.c.calls), BigInteger))
        .select_from(table.join(rolled, of_account(conn.dialect.name, account_id, rolled.c, table) & inside))
        .where(*(rolled.c[name] == value for name, value in only.items()))
        .group_by(start)
        .order_by(start.desc())
        # Each has a call or more; of the first and the last not all may be wanted, so they are not counted on.
        .limit(calls + 2)
    )
    first_ms, end_ms = within[-1].start_ms, within[0].end_ms
    found: list[Piece] = []
    sure = 0
    for at_ms, count in await conn.execute(query, {"within": pieces_text(account_id, within)}):
        found.append(Piece(0, max(at_ms, first_ms), min(at_ms + length_ms, end_ms), 1))
        if at_ms >= first_ms and at_ms + length_ms < end_ms:
            sure += count
        if sure >= calls:
            break
    return found
