"""Booked usage events one by one: those of one call, and pages of an account's captures, newest first.

Sums are for `reports`; writing is for `usage`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, cast, collate, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import reports
from gateway.books.pieces import Piece, of_account, pieces_table, pieces_text
from gateway.books.places import latest
from gateway.books.tables import jobs, ledger_entries, usage_events
from gateway.books.usage import CAPTURES
from gateway.domain.hold import Ending
from gateway.domain.usage import CallFacts, Settlement, UsageEvent
from gateway.domain.usage_metric import OF_A_JOB, OF_A_REQUEST

# SQLite puts at most 500 queries together; each range is up to five.
_MOST_RANGES: Final = 50
_EVER: Final = (0, 1 << 52)
_FEW_PLACES: Final = 2
_FACTS: Final = tuple(field.name for field in fields(CallFacts))


@dataclass(frozen=True, slots=True)
class BookedEvent:
    """One ending as booked. `transaction_id` is its ledger transaction's, None where no credits moved."""

    event: UsageEvent
    booked_at_ms: int
    transaction_id: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order of captures: after it come those admitted earlier."""

    admitted_at_ms: int
    event_id: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which captures are wanted; None: whatever they say there.

    `times` are half-open ranges of the admission, `request_ids` calls by id, `names` what an event must be called by
    the list of names handed in with it, `aggregation` `request` or the product's `…_job`; the others are exact.
    """

    project_id: str | None = None
    times: tuple[tuple[int, int], ...] | None = None
    request_ids: tuple[str, ...] | None = None
    names: frozenset[str] | None = None
    aggregation: str | None = None
    product: str | None = None
    mode: str | None = None
    key_id: str | None = None


# (product, unit) → name; the product's name for all its other units under (product, "").
Names = Mapping[tuple[str, str], str]


async def of_request(conn: AsyncConnection, request_id: str) -> list[BookedEvent]:
    """Every booked ending of one call, in the order they happened."""
    table = usage_events
    query = (
        select(table, ledger_entries.c.transaction_id)
        .outerjoin(ledger_entries, and_(ledger_entries.c.transaction_id == table.c.id, ledger_entries.c.leg == 0))
        .where(table.c.id.in_(_endings([request_id])))
        .order_by(table.c.seq, table.c.id)
    )
    return [
        BookedEvent(_event(row), row["booked_at_ms"], row["transaction_id"])
        for row in (await conn.execute(query)).mappings()
    ]


async def requests_of_job(conn: AsyncConnection, account_id: str, job_id: str) -> list[str]:
    """The calls of the account that started a job of this id, at whatever upstream."""
    query = select(jobs.c.request_id).where(jobs.c.job_id == job_id, jobs.c.account_id == account_id)
    return list((await conn.execute(query)).scalars())


async def captures(
    conn: AsyncConnection, account_id: str, chosen: Chosen, names: Names, *, after: Position | None, limit: int
) -> list[UsageEvent]:
    """A page of captures, the latest admitted first. A capture booked meanwhile moves none of the others."""
    table = usage_events.c
    event_id = collate(table.id, "C" if conn.dialect.name == "postgresql" else "BINARY")
    query = _captures(select(usage_events), account_id, chosen, names)
    if (rolled_up := _rolled_up(chosen)) and chosen.request_ids is None and len(chosen.times or ()) <= 1:
        ((from_ms, to_ms),) = chosen.times or (_EVER,)
        to_ms = to_ms if after is None else min(to_ms, after.admitted_at_ms + 1)
        places = await latest(conn, account_id, rolled_up, from_ms=from_ms, to_ms=to_ms, calls=limit)
        if not places:
            return []
        query = _at(conn, query, account_id, places)
    if after is not None:
        earlier = and_(table.admitted_at_ms == after.admitted_at_ms, event_id < after.event_id)
        # The first condition alone is what an index can do.
        query = query.where(
            table.admitted_at_ms <= after.admitted_at_ms, or_(table.admitted_at_ms < after.admitted_at_ms, earlier)
        )
    query = query.order_by(table.admitted_at_ms.desc(), event_id.desc()).limit(limit)
    return [_event(row) for row in (await conn.execute(query)).mappings()]


async def count(conn: AsyncConnection, account_id: str, chosen: Chosen, names: Names) -> int:
    """How many captures `captures` would give on all its pages: by the rollups where those can tell."""
    told_apart = (chosen.request_ids, chosen.names, chosen.aggregation)
    if all(one is None for one in told_apart) and len(chosen.times or ()) <= _MOST_RANGES:
        return await reports.calls(conn, account_id, chosen.times, _rolled_up(chosen))
    query = _captures(select(cast(func.count(), BigInteger)).select_from(usage_events), account_id, chosen, names)
    found: int = (await conn.execute(query)).scalar_one()
    return found


def _rolled_up(chosen: Chosen) -> dict[str, str]:
    """What of it the rollups can tell."""
    asked = {name: getattr(chosen, name) for name in ("product", "mode", "project_id", "key_id")}
    return {name: value for name, value in asked.items() if value is not None}


def _at(conn: AsyncConnection, query: Select[Any], account_id: str, places: Sequence[Piece]) -> Select[Any]:
    """Only there. What is in a few long stretches is found on the way back from the end of the last."""
    table = usage_events.c
    if len(places) <= _FEW_PLACES:
        return query.where(table.admitted_at_ms >= places[-1].start_ms, table.admitted_at_ms < places[0].end_ms)
    pieces = pieces_table(conn.dialect.name, "places")
    there = (table.admitted_at_ms >= pieces.c.start_ms) & (table.admitted_at_ms < pieces.c.end_ms)
    found = query.join(pieces, of_account(conn.dialect.name, account_id, table, pieces) & there)
    return found.params(places=pieces_text(account_id, places))


def _captures(query: Select[Any], account_id: str, chosen: Chosen, names: Names) -> Select[Any]:
    table = usage_events.c
    query = query.where(table.account_id == account_id, table.ending.in_(sorted(CAPTURES)))
    exact = (
        (table.project_id, chosen.project_id),
        (table.product, chosen.product),
        (table.mode, chosen.mode),
        (table.key_id, chosen.key_id),
    )
    query = query.where(*(column == wanted for column, wanted in exact if wanted is not None))
    if chosen.request_ids is not None:
        query = query.where(table.id.in_(_endings(chosen.request_ids)))
    if chosen.times is not None:
        ranges = [
            and_(table.admitted_at_ms >= start_ms, table.admitted_at_ms < end_ms) for start_ms, end_ms in chosen.times
        ]
        if ranges:
            first_ms, last_ms = min(start for start, _ in chosen.times), max(end for _, end in chosen.times)
            query = query.where(table.admitted_at_ms >= first_ms, table.admitted_at_ms < last_ms)
        query = query.where(or_(false(), *ranges))
    if chosen.aggregation is not None:
        query = query.where(
            case((table.job_id.is_(None), OF_A_REQUEST), else_=table.product + OF_A_JOB) == chosen.aggregation
        )
    if chosen.names is not None:
        query = query.where(_name(names).in_(sorted(chosen.names)))
    return query


def _name(names: Names) -> ColumnElement[str]:
    """An event's name by the list, its product and unit where the list has none."""
    table = usage_events.c
    exact = [
        ((table.product == product) & (table.unit == unit), name) for (product, unit), name in names.items() if unit
    ]
    other = [(table.product == product, name) for (product, unit), name in names.items() if not unit]
    return case(*exact, *other, else_=table.product + "_" + table.unit)


def _endings(request_ids: Collection[str]) -> Sequence[str]:
    return [f"{request_id}.{ending}" for request_id in request_ids for ending in Ending]


def _event(row: Mapping[Any, Any]) -> UsageEvent:
    return UsageEvent(
        id=row["id"],
        ending=Ending(row["ending"]),
        facts=CallFacts(**{name: row[name] for name in _FACTS}),
        settlement=Settlement(row["units"], row["evidence"], row["billed_mode"]),
        held_millicredits=row["held_millicredits"],
        captured_millicredits=row["captured_millicredits"],
        period_start_ms=row["period_start_ms"],
        admitted_at_ms=row["admitted_at_ms"],
        happened_at_ms=row["happened_at_ms"],
        seq=row["seq"],
        job_id=row["job_id"],
    )
