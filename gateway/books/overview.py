"""Sums over all accounts for operators: who is on what, what was used and refused of late, what is owed.

Read from rollups and short tables, never from usage events. Changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ScalarSelect, case, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.accounts import own_clock
from gateway.books.tables import (
    accounts,
    invoices,
    jobs,
    period_usage,
    periods,
    refusals,
    running_jobs,
    subscriptions,
    usage_daily,
)
from gateway.books.terms import granted
from gateway.domain.instant import DAY_MS
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.terms import AccountStatus

# What an issued invoice still asks for.
_DUE = invoices.c.total_cents - invoices.c.paid_cents - invoices.c.credited_cents


@dataclass(frozen=True, slots=True)
class Owed:
    """Issued invoices that nobody has paid: all of them, and those that should have been by now."""

    open: int
    open_cents: int
    overdue: int
    overdue_cents: int


@dataclass(frozen=True, slots=True)
class RunningPeriod:
    """What an account was granted for the period that runs, and what the books have as captured in it."""

    start_ms: int
    granted_millicredits: int
    captured_millicredits: int


@dataclass(frozen=True, slots=True)
class RunningJobs:
    """Jobs whose end is not booked. `oldest_ms` None: there are none."""

    count: int
    held_millicredits: int
    oldest_ms: int | None


async def accounts_by_plan(conn: AsyncConnection, at_ms: int) -> list[tuple[str | None, AccountStatus, int]]:
    """How many accounts there are by plan (None: on none) and status, each at what its own clock shows."""
    agreed, table = subscriptions.c, accounts.c
    own_ms = at_ms + func.coalesce(table.clock_offset_ms, 0)
    in_force = (agreed.started_ms <= own_ms) & (agreed.ended_ms.is_(None) | (agreed.ended_ms > own_ms))
    query = (
        select(agreed.plan_id, table.status, func.count())
        .select_from(accounts.outerjoin(subscriptions, (agreed.account_id == table.id) & in_force))
        .group_by(agreed.plan_id, table.status)
        .order_by(func.count().desc(), agreed.plan_id, table.status)
    )
    return [(plan_id, AccountStatus(status), count) for plan_id, status, count in await conn.execute(query)]


async def captured(conn: AsyncConnection, today_ms: int, *, days: int) -> tuple[int, int]:
    """Millicredits captured of calls admitted since `today_ms` (a day's start, UTC), and in `days` with that one."""
    table = usage_daily.c

    def since(day_ms: int) -> ScalarSelect[int]:
        # Asked of each account by itself: that is how the rollup is kept, so each answer is one short read of it.
        own = select(func.sum(table.captured_millicredits)).where(
            table.account_id == accounts.c.id, table.day_ms >= day_ms
        )
        return own.correlate(accounts).scalar_subquery()

    of_each = (since(today_ms), since(today_ms - (days - 1) * DAY_MS))
    query = select(*(func.coalesce(func.sum(amount), 0) for amount in of_each)).select_from(accounts)
    row = (await conn.execute(query)).one()
    return int(row[0]), int(row[1])


async def refused(conn: AsyncConnection, since_ms: int) -> list[tuple[str, int]]:
    """How many calls were refused since then, by code, the most frequent first; as far as they are kept."""
    count = func.count()
    query = (
        select(refusals.c.code, count)
        .where(refusals.c.at_ms >= since_ms)
        .group_by(refusals.c.code)
        .order_by(count.desc(), refusals.c.code)
    )
    return [(code, number) for code, number in await conn.execute(query)]


async def owed(conn: AsyncConnection, at_ms: int) -> Owed:
    """What all accounts owe together."""
    late = invoices.c.due_ms < at_ms
    query = select(
        func.count(),
        func.coalesce(func.sum(_DUE), 0),
        func.coalesce(func.sum(case((late, 1), else_=0)), 0),
        func.coalesce(func.sum(case((late, _DUE), else_=0)), 0),
    ).where(invoices.c.status == InvoiceStatus.ISSUED, _DUE > 0)
    return Owed(*map(int, (await conn.execute(query)).one()))


async def due_by_account(conn: AsyncConnection, account_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """How many invoices each of these has to pay, and cents; accounts that owe nothing are left out."""
    query = (
        select(invoices.c.account_id, func.count(), func.sum(_DUE))
        .where(invoices.c.account_id.in_(account_ids), invoices.c.status == InvoiceStatus.ISSUED, _DUE > 0)
        .group_by(invoices.c.account_id)
    )
    return {account_id: (count, int(cents)) for account_id, count, cents in await conn.execute(query)}


async def running_periods(conn: AsyncConnection, account_ids: Sequence[str], at_ms: int) -> dict[str, RunningPeriod]:
    """The period of each of these that runs by its own clock; accounts of which it is not booked yet are left out."""
    table, used, own_ms = periods.c, period_usage.c, at_ms + own_clock
    query = (
        select(table.account_id, table.start_ms, granted, func.coalesce(used.captured_millicredits, 0))
        .join(accounts, accounts.c.id == table.account_id)
        .outerjoin(period_usage, (used.account_id == table.account_id) & (used.period_start_ms == table.start_ms))
        .where(table.account_id.in_(account_ids), table.start_ms <= own_ms, table.end_ms > own_ms)
    )
    return {account_id: RunningPeriod(*row) for account_id, *row in await conn.execute(query)}


async def jobs_running(conn: AsyncConnection) -> RunningJobs:
    """As far as they are booked."""
    table = running_jobs.c
    query = select(func.count(), func.coalesce(func.sum(table.held_millicredits), 0), func.min(table.attached_at_ms))
    count, held, oldest_ms = (await conn.execute(query)).one()
    return RunningJobs(count, int(held), oldest_ms)


async def requests_of_job(conn: AsyncConnection, job_id: str, *, limit: int) -> list[str]:
    """The calls that started jobs of this id, at whatever service."""
    query = select(jobs.c.request_id).where(jobs.c.job_id == job_id).order_by(jobs.c.upstream).limit(limit)
    return list((await conn.execute(query)).scalars())


async def store_version(conn: AsyncConnection) -> str:
    """As in "SQLite 3.46.1" or "PostgreSQL 16.4"."""
    if conn.dialect.name == "sqlite":
        return f"SQLite {(await conn.execute(text('SELECT sqlite_version()'))).scalar_one()}"
    return f"PostgreSQL {(await conn.execute(text('SHOW server_version'))).scalar_one()}"
