"""Closings: which usage of an account's periods was charged when, and the stamp on each usage event, once.

A closing takes what nobody has taken yet, in the order of settlement: first the allowance, then pay-as-you-go up to
its ceiling, tier after tier, the rest is written off. Whether one is due, and what it comes to in money, is for the
flows.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Subquery, case, cast, func, insert, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from gateway.books.splits import AMOUNTS, NOTHING, OpenUsage, Taken, place, split_events, sum_up, tier_part
from gateway.books.tables import closed_event_parts, closed_events, closed_usage, closings, invoices, usage_events
from gateway.domain.rating import UsageSplit


@dataclass(frozen=True, slots=True)
class Closed:
    """What all closings so far have made of a period. `unused_millicredits` None: nothing is given back for it.

    `number` is the newest invoice that charged any of it.
    """

    split: UsageSplit = NOTHING
    pay_as_you_go_cents: int = 0
    unused_millicredits: int | None = None
    unused_cents: int = 0
    number: str | None = None


@dataclass(frozen=True, slots=True)
class ClosedUsage:
    """What one closing makes of one period: differences to what was closed before."""

    period_start_ms: int
    split: UsageSplit
    pay_as_you_go_cents: int
    unused_millicredits: int | None
    unused_cents: int


async def of_periods(conn: AsyncConnection, account_id: str) -> dict[int, Closed]:
    """Everything closed so far, by the start of the period."""
    table = closed_usage.c
    number = func.max(invoices.c.number)
    sums = [cast(func.sum(table[name]), BigInteger) for name in (*AMOUNTS, "pay_as_you_go_cents")]
    unused = [cast(func.sum(table[name]), BigInteger) for name in ("unused_millicredits", "unused_cents")]
    query = (
        select(table.period_start_ms, *sums, *unused, number)
        .outerjoin(invoices, invoices.c.closing_id == table.closing_id)
        .where(table.account_id == account_id)
        .group_by(table.period_start_ms)
    )
    found = {}
    for start_ms, included, paid, written_off, cents, unused_mc, unused_cents, last in await conn.execute(query):
        found[start_ms] = Closed(UsageSplit(included, paid, written_off), cents, unused_mc, unused_cents, last)
    return found


async def take(conn: AsyncConnection, usage: OpenUsage, ids: tuple[str, str], position: int) -> Taken:
    """Stamp the events with the closing, and with the line where they are pay-as-you-go; what was taken.

    `ids` are those of closing and invoice, `position` is that of the first line there: each tier that was used has one.
    """
    closing_id, invoice_id = ids
    split = place(split_events(usage), usage)
    names = ["event_id", "closing_id", "line_id", *AMOUNTS]
    line = case((split.c.pay_as_you_go_millicredits > 0, _line(split, usage, invoice_id, position)), else_=None)
    chosen = select(split.c.id, literal(closing_id), line, *(split.c[name] for name in AMOUNTS))
    await conn.execute(insert(closed_events).from_select(names, chosen))
    # What was stamped is what is charged: an event that is booked meanwhile waits for the next closing.
    stamped = (
        select(
            *(usage_events.c[name] for name in ("id", "seq", "product", "mode")),
            *(closed_events.c[name] for name in AMOUNTS),
        )
        .join(usage_events, usage_events.c.id == closed_events.c.event_id)
        .where(closed_events.c.closing_id == closing_id, usage_events.c.period_start_ms == usage.period_start_ms)
        .subquery()
    )
    placed = place(stamped, usage)
    taken = await sum_up(conn, placed, usage)
    for tier in sorted(taken.tier_parts)[1:]:
        line_id = f"{invoice_id}.{position + tier - min(taken.tier_parts)}"
        await _stamp_further(conn, placed, usage, tier, line_id)
    return taken


async def _stamp_further(conn: AsyncConnection, placed: Subquery, usage: OpenUsage, tier: int, line_id: str) -> None:
    """Note the parts of events that began in a tier before this one."""
    part = tier_part(placed, usage, tier)
    names = ["event_id", "line_id", "account_id", "millicredits"]
    reaching = select(placed.c.id, literal(line_id), literal(usage.account_id), part).where(
        placed.c.paid_before < usage.tier_ends[tier - 1], part > 0
    )
    await conn.execute(insert(closed_event_parts).from_select(names, reaching))


async def add(conn: AsyncConnection, closing_id: str, account_id: str, *, boundary_ms: int, at_ms: int) -> None:
    """Book the closing itself."""
    row = {"id": closing_id, "account_id": account_id, "boundary_ms": boundary_ms, "at_ms": at_ms}
    await conn.execute(insert(closings), [row])


async def stamped(conn: AsyncConnection, account_id: str) -> dict[int, tuple[int, ...]]:
    """Included, pay-as-you-go and written-off millicredits as events are stamped with, by the start of the period."""
    table = usage_events.c
    sums = [cast(func.sum(closed_events.c[name]), BigInteger) for name in AMOUNTS]
    query = (
        select(table.period_start_ms, *sums)
        .join(closed_events, closed_events.c.event_id == table.id)
        .where(table.account_id == account_id)
        .group_by(table.period_start_ms)
    )
    return {row[0]: tuple(row)[1:] for row in await conn.execute(query)}


async def on_lines(conn: AsyncConnection, closing_id: str) -> dict[str, int]:
    """How much pay-as-you-go the stamps put on each line, in millicredits."""
    whole, part = closed_events.c, closed_event_parts.c
    of_closing = select(whole.event_id).where(whole.closing_id == closing_id)
    first = select(whole.line_id, whole.pay_as_you_go_millicredits.label("amount")).where(
        whole.closing_id == closing_id, whole.line_id.is_not(None)
    )
    further = select(part.line_id, part.millicredits.label("amount")).where(part.event_id.in_(of_closing))
    # What lies on a further line is in the whole of the event as well.
    twice = (
        select(whole.line_id, (-part.millicredits).label("amount"))
        .join(closed_event_parts, part.event_id == whole.event_id)
        .where(whole.closing_id == closing_id)
    )
    stamps = union_all(first, further, twice).subquery()
    query = select(stamps.c.line_id, cast(func.sum(stamps.c.amount), BigInteger)).group_by(stamps.c.line_id)
    return {row[0]: row[1] for row in await conn.execute(query)}


async def rate_cards(conn: AsyncConnection, closing_id: str) -> list[str]:
    """The versions of the rate card by which what the closing took was priced."""
    query = (
        select(usage_events.c.rate_card_version)
        .join(closed_events, closed_events.c.event_id == usage_events.c.id)
        .where(closed_events.c.closing_id == closing_id)
        .distinct()
    )
    return sorted((await conn.execute(query)).scalars())


async def add_usage(conn: AsyncConnection, closing_id: str, account_id: str, usages: Sequence[ClosedUsage]) -> None:
    """Book what the closing made of each period."""
    rows = [
        {
            "closing_id": closing_id,
            "account_id": account_id,
            "period_start_ms": one.period_start_ms,
            "included_millicredits": one.split.included_millicredits,
            "pay_as_you_go_millicredits": one.split.pay_as_you_go_millicredits,
            "written_off_millicredits": one.split.written_off_millicredits,
            "pay_as_you_go_cents": one.pay_as_you_go_cents,
            "unused_millicredits": one.unused_millicredits,
            "unused_cents": one.unused_cents,
        }
        for one in usages
    ]
    if rows:
        await conn.execute(insert(closed_usage), rows)


def _line(split: Subquery, usage: OpenUsage, invoice_id: str, position: int) -> ColumnElement[str]:
    """The line on which an event's pay-as-you-go begins: one for each tier, from the first that is used."""
    if not usage.tier_ends:
        return literal(f"{invoice_id}.{position}")
    first = bisect_right(usage.tier_ends, usage.before_paid_millicredits)
    lines = [f"{invoice_id}.{position + max(0, tier - first)}" for tier in range(len(usage.tier_ends) + 1)]
    whens = [(split.c.paid_before < end, literal(line)) for end, line in zip(usage.tier_ends, lines, strict=False)]
    return case(*whens, else_=literal(lines[-1]))
