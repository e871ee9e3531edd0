"""Usage of whole billing periods as a replay under other prices reads it: periods with their terms, calls by price.

Only reads. What it comes to under other terms is for the flow.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.tables import accounts, closed_usage, grants, periods, usage_events
from gateway.books.usage import CAPTURES
from gateway.domain.replay import CallKind, SoldPeriod

# Rows that are fetched from the store at a time.
_FETCHED: Final = 1_000


@dataclass(frozen=True, slots=True)
class PastPeriod:
    """A booked period with the terms it was sold at, corrections included."""

    account_id: str
    account_name: str
    start_ms: int
    end_ms: int
    sold: SoldPeriod


@dataclass(frozen=True, slots=True)
class PastCalls:
    """Calls of one kind in one period; of those that were not settled by units, one group for each amount."""

    kind: CallKind
    by_units: bool
    calls: int
    units: int | None
    captured_millicredits: int


@dataclass(frozen=True, slots=True)
class PastCall:
    """One call."""

    kind: CallKind
    units: int | None
    captured_millicredits: int


async def accounts_between(conn: AsyncConnection, from_ms: int, to_ms: int, *, after: str, limit: int) -> list[str]:
    """Accounts with a period that overlaps `[from_ms, to_ms)`, by id, those beyond `after`."""
    table = periods.c
    query = (
        select(table.account_id)
        .where(table.account_id > after, table.end_ms > from_ms, table.start_ms < to_ms)
        .distinct()
        .order_by(table.account_id)
        .limit(limit)
    )
    return list((await conn.execute(query)).scalars())


async def periods_between(
    conn: AsyncConnection, account_ids: Sequence[str], from_ms: int, to_ms: int
) -> list[PastPeriod]:
    """Their periods that overlap `[from_ms, to_ms)`, by account and start."""
    table = periods.c
    granted = (
        select(cast(func.coalesce(func.sum(grants.c.amount_millicredits), 0), BigInteger))
        .where(grants.c.account_id == table.account_id, grants.c.period_start_ms == table.start_ms)
        .scalar_subquery()
    )
    gives_back = exists().where(
        closed_usage.c.account_id == table.account_id,
        closed_usage.c.period_start_ms == table.start_ms,
        closed_usage.c.unused_millicredits.is_not(None),
    )
    query = (
        select(
            table.account_id,
            accounts.c.name,
            table.start_ms,
            table.end_ms,
            table.plan_id,
            table.allowance_millicredits,
            granted,
            table.overage_millicredits,
            func.coalesce(table.price_cents, 0),
            table.nanodollars_per_millicredit,
            table.contract_version,
            gives_back,
        )
        .join(accounts, accounts.c.id == table.account_id)
        .where(table.account_id.in_(account_ids), table.end_ms > from_ms, table.start_ms < to_ms)
        .order_by(table.account_id, table.start_ms)
    )
    found = []
    for account_id, name, start_ms, end_ms, *terms, gives in await conn.execute(query):
        sold = SoldPeriod(*terms)
        found.append(PastPeriod(account_id, name, start_ms, end_ms, replace(sold, gives_back=bool(gives))))
    return found


async def by_kind(conn: AsyncConnection, period: PastPeriod) -> AsyncIterator[PastCalls]:
    """The period's captures, summed as far as prices allow."""
    table = usage_events.c
    by_units = and_(table.units.is_not(None), table.captured_millicredits == table.units * table.millicredits_per_unit)
    # Rounding is per call: of what was not settled by units each amount stays apart.
    amount = case((by_units, literal(-1, BigInteger)), else_=table.captured_millicredits)
    told = (*_kind(), case((by_units, 1), else_=0).label("by_units"), amount.label("amount"))
    calls = select(*told, table.units, table.captured_millicredits).where(*_captures(period)).subquery().c
    apart = [calls[column.name] for column in told]
    sums = [cast(func.sum(each), BigInteger) for each in (calls.units, calls.captured_millicredits)]
    query = select(*apart, func.count(), *sums).group_by(*apart).execution_options(yield_per=_FETCHED)
    async for row in await conn.stream(query):
        yield PastCalls(CallKind(*row[:5]), bool(row[5]), row[7], row[8], row[9])


async def one_by_one(conn: AsyncConnection, period: PastPeriod) -> AsyncIterator[PastCall]:
    """The period's captures in the order in which they were settled."""
    table = usage_events.c
    query = (
        select(*_kind(), table.units, table.captured_millicredits)
        .where(*_captures(period))
        .order_by(table.seq, table.id)
        .execution_options(yield_per=_FETCHED)
    )
    async for row in await conn.stream(query):
        yield PastCall(CallKind(*row[:5]), row[5], row[6])


def _kind() -> tuple[ColumnElement[Any], ...]:
    table = usage_events.c
    return table.product, table.mode, table.route, table.rate_card_version, table.millicredits_per_unit


def _captures(period: PastPeriod) -> tuple[ColumnElement[bool], ...]:
    table = usage_events.c
    return (
        table.account_id == period.account_id,
        table.period_start_ms == period.start_ms,
        table.ending.in_(sorted(CAPTURES)),
    )
