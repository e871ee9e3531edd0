"""Usage events split at the ends of the grant, of each tier and of the ceiling, in the order of settlement.

Expressions for the store to work out, event by event. Chooses no events of its own, and writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import BigInteger, Subquery, case, cast, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from gateway.books.tables import closed_events, usage_events
from gateway.domain.limits import Step
from gateway.domain.rating import UsageSplit

NOTHING: Final = UsageSplit(0, 0, 0)
AMOUNTS: Final = ("included_millicredits", "pay_as_you_go_millicredits", "written_off_millicredits")


@dataclass(frozen=True, slots=True)
class OpenUsage:
    """Which events are to be taken: those of a period that no closing has, up to a sequence number (None: all).

    `before_millicredits` is what earlier closings took of it, `before_paid_millicredits` the pay-as-you-go part.
    `tier_ends` are where each tier of the period's pay-as-you-go ends but the last, in order; empty: there is one.
    `overage` is the ceiling of what is charged beyond the grant, by when a call was admitted: steps in order.
    `from_seq` leaves out what came before; the caller knows what that made of the period. `untouched`: no closing has
    any of it, so none is asked for.
    """

    account_id: str
    period_start_ms: int
    granted_millicredits: int
    overage: tuple[Step, ...]
    before_millicredits: int
    before_paid_millicredits: int = 0
    tier_ends: tuple[int, ...] = ()
    up_to_seq: int | None = None
    from_seq: int | None = None
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """Usage that a closing takes: the split, and the pay-as-you-go part by tier, then by product and mode."""

    split: UsageSplit = NOTHING
    tier_parts: Mapping[int, Mapping[tuple[str, str], int]] = field(default_factory=dict)


def split_events(usage: OpenUsage) -> Subquery:
    """The open events, each with its three parts."""
    table = usage_events.c
    running = func.sum(table.captured_millicredits).over(order_by=(table.seq, table.id))
    chosen = select(
        table.id,
        table.seq,
        table.product,
        table.mode,
        table.captured_millicredits.label("captured"),
        table.admitted_at_ms,
        (cast(running, BigInteger) + usage.before_millicredits).label("after"),
    ).where(
        table.account_id == usage.account_id,
        table.period_start_ms == usage.period_start_ms,
        table.captured_millicredits > 0,
    )
    if not usage.untouched:
        chosen = chosen.where(~exists().where(closed_events.c.event_id == table.id))
    if usage.from_seq is not None:
        chosen = chosen.where(table.seq >= usage.from_seq)
    if usage.up_to_seq is not None:
        chosen = chosen.where(table.seq <= usage.up_to_seq)
    events = chosen.subquery()
    granted = max(0, usage.granted_millicredits)
    included = _part_below(events, literal(granted, BigInteger))
    charged = _part_below(events, granted + _ceiling(events, usage.overage))
    return select(
        *(events.c[name] for name in ("id", "seq", "product", "mode")),
        included.label(AMOUNTS[0]),
        (charged - included).label(AMOUNTS[1]),
        (events.c.captured - charged).label(AMOUNTS[2]),
    ).subquery()


def _ceiling(events: Subquery, steps: Sequence[Step]) -> ColumnElement[int]:
    """The overage ceiling under which each event is charged."""
    *earlier, last = steps
    amount = literal(last.millicredits, BigInteger)
    if not earlier:
        return amount
    whens = [(events.c.admitted_at_ms < step.before_ms, literal(step.millicredits, BigInteger)) for step in earlier]
    return case(*whens, else_=amount)


def _part_below(events: Subquery, limit: ColumnElement[int]) -> ColumnElement[int]:
    """The part of an event's credits that lies below a limit of the running total."""
    below = limit - (events.c.after - events.c.captured)
    return case((below <= 0, 0), (below >= events.c.captured, events.c.captured), else_=below)


def place(split: Subquery, usage: OpenUsage) -> Subquery:
    """The events with where in the period's pay-as-you-go each begins, which matters where there are tiers."""
    if not usage.tier_ends:
        return split
    paid = split.c.pay_as_you_go_millicredits
    running = cast(func.sum(paid).over(order_by=(split.c.seq, split.c.id)), BigInteger)
    return select(split, (running - paid + usage.before_paid_millicredits).label("paid_before")).subquery()


def tier_part(placed: Subquery, usage: OpenUsage, tier: int) -> ColumnElement[int]:
    """The part of an event's pay-as-you-go that lies in a tier."""
    paid = placed.c.pay_as_you_go_millicredits
    if not usage.tier_ends:
        return paid
    part: ColumnElement[int] = paid
    if tier < len(usage.tier_ends):
        part = _up_to(placed, usage.tier_ends[tier])
    return part - _up_to(placed, usage.tier_ends[tier - 1]) if tier else part


def _up_to(placed: Subquery, end: int) -> ColumnElement[int]:
    """The part of an event's pay-as-you-go that lies below where a tier ends."""
    paid, below = placed.c.pay_as_you_go_millicredits, literal(end, BigInteger) - placed.c.paid_before
    return case((below <= 0, 0), (below >= paid, paid), else_=below)


async def sum_up(conn: AsyncConnection, placed: Subquery, usage: OpenUsage) -> Taken:
    """What the events come to."""
    tiers = range(len(usage.tier_ends) + 1)
    columns = [placed.c[AMOUNTS[0]], placed.c[AMOUNTS[2]], *(tier_part(placed, usage, tier) for tier in tiers)]
    sums = [cast(func.sum(column), BigInteger) for column in columns]
    query = select(placed.c.product, placed.c.mode, *sums).group_by(placed.c.product, placed.c.mode)
    included = written_off = 0
    parts: dict[int, dict[tuple[str, str], int]] = {}
    for product, mode, inside, beyond, *paid in await conn.execute(query):
        included, written_off = included + inside, written_off + beyond
        for tier, amount in enumerate(paid):
            if amount:
                parts.setdefault(tier, {})[product, mode] = amount
    paid_for = sum(sum(part.values()) for part in parts.values())
    return Taken(UsageSplit(included, paid_for, written_off), parts)
