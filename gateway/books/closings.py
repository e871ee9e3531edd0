"""Closings: which usage of an account's periods was charged when, and the stamp on each usage event, once.

A closing takes what nobody has taken yet, in the order of settlement: first the allowance, then pay-as-you-go up to
its ceiling, the rest is written off. Whether one is due, and what it comes to in money, is for the flows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import BigInteger, Subquery, case, cast, exists, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from gateway.books.tables import closed_events, closed_usage, closings, invoices, usage_events
from gateway.domain.rating import UsageSplit

NOTHING: Final = UsageSplit(0, 0, 0)
_AMOUNTS: Final = ("included_millicredits", "pay_as_you_go_millicredits", "written_off_millicredits")


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
class Taken:
    """Usage that a closing takes: the split, and the pay-as-you-go part by product and mode."""

    split: UsageSplit = NOTHING
    parts: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClosedUsage:
    """What one closing makes of one period: differences to what was closed before."""

    period_start_ms: int
    split: UsageSplit
    pay_as_you_go_cents: int
    unused_millicredits: int | None
    unused_cents: int


@dataclass(frozen=True, slots=True)
class OpenUsage:
    """Which events are to be taken: those of a period that no closing has, up to a sequence number (None: all).

    `before_millicredits` is what earlier closings took of it.
    """

    account_id: str
    period_start_ms: int
    granted_millicredits: int
    overage_millicredits: int
    before_millicredits: int
    up_to_seq: int | None = None


async def of_periods(conn: AsyncConnection, account_id: str) -> dict[int, Closed]:
    """Everything closed so far, by the start of the period."""
    table = closed_usage.c
    number = func.max(invoices.c.number)
    sums = [cast(func.sum(table[name]), BigInteger) for name in (*_AMOUNTS, "pay_as_you_go_cents")]
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


async def foresee(conn: AsyncConnection, usage: OpenUsage) -> Taken:
    """What a closing would take now. Changes nothing."""
    return await _sums(conn, _split(usage))


async def take(conn: AsyncConnection, usage: OpenUsage, closing_id: str, line_id: str) -> Taken:
    """Stamp the events with the closing, and with the line where they are pay-as-you-go; what was taken."""
    split = _split(usage)
    line = case((split.c.pay_as_you_go_millicredits > 0, literal(line_id)), else_=None)
    names = ["event_id", "closing_id", "line_id", *_AMOUNTS]
    chosen = select(split.c.id, literal(closing_id), line, *(split.c[name] for name in _AMOUNTS))
    await conn.execute(insert(closed_events).from_select(names, chosen))
    # What was stamped is what is charged: an event that is booked meanwhile waits for the next closing.
    stamped = (
        select(usage_events.c.product, usage_events.c.mode, *(closed_events.c[name] for name in _AMOUNTS))
        .join(usage_events, usage_events.c.id == closed_events.c.event_id)
        .where(closed_events.c.closing_id == closing_id, usage_events.c.period_start_ms == usage.period_start_ms)
        .subquery()
    )
    return await _sums(conn, stamped)


async def add(conn: AsyncConnection, closing_id: str, account_id: str, *, boundary_ms: int, at_ms: int) -> None:
    """Book the closing itself."""
    row = {"id": closing_id, "account_id": account_id, "boundary_ms": boundary_ms, "at_ms": at_ms}
    await conn.execute(insert(closings), [row])


async def stamped(conn: AsyncConnection, account_id: str) -> dict[int, tuple[int, ...]]:
    """Included, pay-as-you-go and written-off millicredits as events are stamped with, by the start of the period."""
    table = usage_events.c
    sums = [cast(func.sum(closed_events.c[name]), BigInteger) for name in _AMOUNTS]
    query = (
        select(table.period_start_ms, *sums)
        .join(closed_events, closed_events.c.event_id == table.id)
        .where(table.account_id == account_id)
        .group_by(table.period_start_ms)
    )
    return {row[0]: tuple(row)[1:] for row in await conn.execute(query)}


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


def _split(usage: OpenUsage) -> Subquery:
    """The open events, each with its three parts."""
    table = usage_events.c
    taken = exists().where(closed_events.c.event_id == table.id)
    running = func.sum(table.captured_millicredits).over(order_by=(table.seq, table.id))
    chosen = select(
        table.id,
        table.product,
        table.mode,
        table.captured_millicredits.label("captured"),
        (cast(running, BigInteger) + usage.before_millicredits).label("after"),
    ).where(
        table.account_id == usage.account_id,
        table.period_start_ms == usage.period_start_ms,
        table.captured_millicredits > 0,
        ~taken,
    )
    if usage.up_to_seq is not None:
        chosen = chosen.where(table.seq <= usage.up_to_seq)
    events = chosen.subquery()
    granted = max(0, usage.granted_millicredits)
    included = _part_below(events, granted)
    charged = _part_below(events, granted + usage.overage_millicredits)
    return select(
        events.c.id,
        events.c.product,
        events.c.mode,
        included.label(_AMOUNTS[0]),
        (charged - included).label(_AMOUNTS[1]),
        (events.c.captured - charged).label(_AMOUNTS[2]),
    ).subquery()


def _part_below(events: Subquery, limit: int) -> ColumnElement[int]:
    """The part of an event's credits that lies below a limit of the running total."""
    below = literal(limit, BigInteger) - (events.c.after - events.c.captured)
    return case((below <= 0, 0), (below >= events.c.captured, events.c.captured), else_=below)


async def _sums(conn: AsyncConnection, split: Subquery) -> Taken:
    sums = [cast(func.sum(split.c[name]), BigInteger) for name in _AMOUNTS]
    query = select(split.c.product, split.c.mode, *sums).group_by(split.c.product, split.c.mode)
    included = paid = written_off = 0
    parts = {}
    for row in await conn.execute(query):
        product, mode, *amounts = tuple(row)
        included, paid, written_off = included + amounts[0], paid + amounts[1], written_off + amounts[2]
        if amounts[1]:
            parts[product, mode] = amounts[1]
    return Taken(UsageSplit(included, paid, written_off), parts)
