"""Billing periods as booked: `[start_ms, end_ms)`, the plan and what it gave. Which ones are due is for the flows."""

from dataclasses import dataclass

from sqlalchemy import BigInteger, Update, cast, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import grants, periods
from gateway.domain.terms import PeriodTerms


@dataclass(frozen=True, slots=True)
class BookedPeriod:
    """One row. `allowance_millicredits` is the plan's part of what was granted."""

    account_id: str
    start_ms: int
    end_ms: int
    subscription_id: str
    plan_id: str
    allowance_millicredits: int
    overage_millicredits: int


async def add(conn: AsyncConnection, period: BookedPeriod) -> bool:
    """Book the period; False where it was booked before."""
    statement = (
        upsert(conn, periods)
        .values(
            account_id=period.account_id,
            start_ms=period.start_ms,
            end_ms=period.end_ms,
            subscription_id=period.subscription_id,
            plan_id=period.plan_id,
            allowance_millicredits=period.allowance_millicredits,
            overage_millicredits=period.overage_millicredits,
        )
        .on_conflict_do_nothing()
        .returning(periods.c.start_ms)
    )
    return (await conn.execute(statement)).scalar_one_or_none() is not None


async def of_account(conn: AsyncConnection, account_id: str, *, since_ms: int = 0) -> list[BookedPeriod]:
    """The periods that end after `since_ms`, in order."""
    query = (
        select(periods)
        .where(periods.c.account_id == account_id, periods.c.end_ms > since_ms)
        .order_by(periods.c.start_ms)
    )
    return [BookedPeriod(*row) for row in await conn.execute(query)]


async def latest(conn: AsyncConnection, account_id: str) -> BookedPeriod | None:
    """The last one booked, which may lie ahead."""
    query = select(periods).where(periods.c.account_id == account_id).order_by(periods.c.start_ms.desc()).limit(1)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else BookedPeriod(*row)


async def close(conn: AsyncConnection, period: BookedPeriod, end_ms: int) -> None:
    """End a running period early."""
    await conn.execute(_one(period).values(end_ms=end_ms))


async def revise(conn: AsyncConnection, period: BookedPeriod) -> None:
    """Give a period that has not begun another plan; the difference in its grant is booked by the caller."""
    await conn.execute(
        _one(period).values(
            subscription_id=period.subscription_id,
            plan_id=period.plan_id,
            allowance_millicredits=period.allowance_millicredits,
            overage_millicredits=period.overage_millicredits,
        )
    )


async def withdraw(conn: AsyncConnection, period: BookedPeriod) -> None:
    """Remove a period that will never begin; the grant taken back is booked by the caller."""
    await conn.execute(
        delete(periods).where(periods.c.account_id == period.account_id, periods.c.start_ms == period.start_ms)
    )


async def terms(conn: AsyncConnection, account_id: str, at_ms: int) -> tuple[PeriodTerms, ...]:
    """The booked periods that have not ended at `at_ms`, with everything granted for them, in order."""
    table = periods
    granted = (
        select(cast(func.coalesce(func.sum(grants.c.amount_millicredits), 0), BigInteger))
        .where(grants.c.account_id == table.c.account_id, grants.c.period_start_ms == table.c.start_ms)
        .scalar_subquery()
    )
    query = (
        select(table.c.start_ms, table.c.end_ms, table.c.plan_id, granted, table.c.overage_millicredits)
        .where(table.c.account_id == account_id, table.c.end_ms > at_ms)
        .order_by(table.c.start_ms)
    )
    return tuple(PeriodTerms(*row) for row in await conn.execute(query))


def _one(period: BookedPeriod) -> Update:
    return update(periods).where(periods.c.account_id == period.account_id, periods.c.start_ms == period.start_ms)
