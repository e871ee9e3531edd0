"""What was captured in each period, as a running sum: one row to read, for any number of events.

Kept by `usage.book` in the transaction that books the events, so it is what the hourly sums come to.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.bulk import Bulk, adding_up
from gateway.books.tables import period_usage

_SUMS: Final = Bulk(period_usage, settled=adding_up("captured_millicredits"))


async def add(conn: AsyncConnection, captured: Mapping[tuple[str, int], int]) -> None:
    """Add millicredits by account and start of period. In the order of the keys: two relays never wait in a circle."""
    await _SUMS.write(conn, [(*key, captured[key]) for key in sorted(captured)])


async def of_period(conn: AsyncConnection, account_id: str, period_start_ms: int) -> int:
    """What was captured in one period, in millicredits."""
    table = period_usage.c
    query = select(table.captured_millicredits).where(
        table.account_id == account_id, table.period_start_ms == period_start_ms
    )
    return (await conn.execute(query)).scalar_one_or_none() or 0


async def of_account(conn: AsyncConnection, account_id: str) -> dict[int, int]:
    """What was captured in each of the account's periods, in millicredits, by the start of the period."""
    table = period_usage.c
    query = select(table.period_start_ms, table.captured_millicredits).where(table.account_id == account_id)
    return {row[0]: row[1] for row in await conn.execute(query)}
