"""Sums of what was captured by stretches of the account's sequence numbers, which is the order of settlement.

Of a stretch that lies wholly between two ends of a grant, a tier or a ceiling, nobody needs the events. Kept by
`usage.book` in the transaction that books the events, so they are what the events come to.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.bulk import Bulk, rows_of
from gateway.books.dialect import Upsert
from gateway.books.tables import usage_stretches
from gateway.domain.usage import UsageEvent

# The rows that are there were made with this: another length needs a migration.
STRETCH_SEQS: Final = 1_024


class Stretch(NamedTuple):
    """What a period has of one stretch, of all products and modes, and between which instants its calls were admitted.

    `number` is of the stretch: its sequence numbers are from `number * STRETCH_SEQS` on.
    """

    number: int
    captured_millicredits: int
    first_admitted_ms: int
    last_admitted_ms: int


async def add(conn: AsyncConnection, events: Iterable[UsageEvent]) -> None:
    """Add captures to their stretches. In the order of the keys: two relays never wait in a circle."""
    sums: dict[tuple[str, int, int, str, str], list[int]] = {}
    for event in events:
        captured, at_ms, facts = event.captured_millicredits, event.admitted_at_ms, event.facts
        if captured <= 0:
            continue
        key = (facts.account_id, event.period_start_ms, event.seq // STRETCH_SEQS, facts.product, facts.mode)
        known = sums.setdefault(key, [0, at_ms, at_ms])
        known[:] = known[0] + captured, min(known[1], at_ms), max(known[2], at_ms)
    await _STRETCHES.write(conn, rows_of(sums))


def _widened(insert: Upsert) -> Upsert:
    """A stretch that is there already grows by what is new, and by when that was admitted."""
    table, new = usage_stretches.c, insert.excluded
    first = case(
        (new.first_admitted_ms < table.first_admitted_ms, new.first_admitted_ms), else_=table.first_admitted_ms
    )
    last = case((new.last_admitted_ms > table.last_admitted_ms, new.last_admitted_ms), else_=table.last_admitted_ms)
    return insert.on_conflict_do_update(
        index_elements=list(usage_stretches.primary_key.columns),
        set_={
            "captured_millicredits": table.captured_millicredits + new.captured_millicredits,
            "first_admitted_ms": first,
            "last_admitted_ms": last,
        },
    )


_STRETCHES: Final = Bulk(usage_stretches, settled=_widened)


async def of_period(conn: AsyncConnection, account_id: str, period_start_ms: int) -> list[Stretch]:
    """Those in which anything was captured, in order."""
    table = usage_stretches.c
    query = (
        select(
            table.stretch,
            cast(func.sum(table.captured_millicredits), BigInteger),
            func.min(table.first_admitted_ms),
            func.max(table.last_admitted_ms),
        )
        .where(table.account_id == account_id, table.period_start_ms == period_start_ms)
        .group_by(table.stretch)
        .order_by(table.stretch)
    )
    return [Stretch(*row) for row in await conn.execute(query)]


async def by_mode(
    conn: AsyncConnection, account_id: str, period_start_ms: int, first: int, last: int
) -> dict[tuple[str, str], int]:
    """What was captured from the first stretch to the last, in millicredits by product and mode."""
    table = usage_stretches.c
    query = (
        select(table.product, table.mode, cast(func.sum(table.captured_millicredits), BigInteger))
        .where(
            table.account_id == account_id,
            table.period_start_ms == period_start_ms,
            table.stretch >= first,
            table.stretch <= last,
        )
        .group_by(table.product, table.mode)
    )
    return {(product, mode): captured for product, mode, captured in await conn.execute(query)}
