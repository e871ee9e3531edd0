"""Accounts and their projects: who pays, and the version of what they may do.

Every change that an admission must know of raises the terms version in its own transaction: that is how each gateway
process finds out.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import grants, periods, subscriptions
from gateway.books.grants import GrantKind
from gateway.books.ids import new_id
from gateway.books.periods import BookedPeriod
from gateway.books.tables import account_seq, accounts, projects
from gateway.books.tables import subscriptions as subscriptions_table
from gateway.domain.instant import epoch_ms, from_epoch_ms
from gateway.domain.period import period_at
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus

DEFAULT_PROJECT = "default"

_COLUMNS: Final = tuple(
    accounts.c[name] for name in ("id", "name", "status", "terms_version", "created_ms", "clock_offset_ms")
)
# What is added to an instant of the world for the account's own clock, within a query.
own_clock: Final = func.coalesce(accounts.c.clock_offset_ms, 0)


@dataclass(frozen=True, slots=True)
class Account:
    """One account as booked. `clock_offset_ms` is how far a sandbox's own clock is ahead; None: a real account."""

    id: str
    name: str
    status: AccountStatus
    terms_version: int
    created_ms: int
    clock_offset_ms: int | None = None

    @property
    def sandbox(self) -> bool:
        """Whether it has a clock of its own, to be walked through time."""
        return self.clock_offset_ms is not None

    def own_ms(self, at_ms: int) -> int:
        """An instant of the world by the account's own clock."""
        return at_ms + (self.clock_offset_ms or 0)


@dataclass(frozen=True, slots=True)
class Project:
    """A part of an account that usage is booked under."""

    id: str
    account_id: str
    name: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class CreatedAccount:
    """What came into being."""

    id: str
    project_id: str


async def create(conn: AsyncConnection, name: str, plan: Plan, at_ms: int, *, sandbox: bool = False) -> CreatedAccount:
    """An account on a plan from now on: its default project, subscription, first period and grant, terms version 1.

    With `sandbox` it has a clock of its own, which shows the world's time so far.
    """
    account_id = new_id("acc")
    await conn.execute(
        insert(accounts).values(
            id=account_id,
            name=name,
            status=AccountStatus.ACTIVE,
            terms_version=1,
            created_ms=at_ms,
            closed_ms=None,
            clock_offset_ms=0 if sandbox else None,
        )
    )
    project = await add_project(conn, account_id, DEFAULT_PROJECT, at_ms)
    await start_plan(conn, account_id, plan, start_ms=at_ms, at_ms=at_ms)
    return CreatedAccount(account_id, project.id)


async def start_plan(conn: AsyncConnection, account_id: str, plan: Plan, *, start_ms: int, at_ms: int) -> None:
    """A new subscription whose anchor is `start_ms`, its first period and that period's grant."""
    subscription = await subscriptions.add(
        conn, account_id=account_id, plan_id=plan.id, anchor_ms=start_ms, started_ms=start_ms, at_ms=at_ms
    )
    anchor = from_epoch_ms(start_ms)
    end_ms = epoch_ms(period_at(anchor, anchor, months=plan.months).end)
    first = BookedPeriod(account_id, start_ms, end_ms, subscription.id, plan.id, 0, 0).sold_as(plan)
    await open_period(conn, first, at_ms)


async def open_period(conn: AsyncConnection, period: BookedPeriod, at_ms: int) -> bool:
    """Book a period and grant its allowance, once; False where another process has."""
    if not await periods.add(conn, period):
        return False
    await grants.add(
        conn,
        account_id=period.account_id,
        subscription_id=period.subscription_id,
        period_start_ms=period.start_ms,
        kind=GrantKind.ALLOWANCE,
        amount_millicredits=period.allowance_millicredits,
        reason=f"plan {period.plan_id}",
        at_ms=at_ms,
    )
    return True


async def get(conn: AsyncConnection, account_id: str, *, lock: bool = False) -> Account | None:
    """The account. With `lock`, every other change of it waits for this transaction's end."""
    query = select(*_COLUMNS).where(accounts.c.id == account_id)
    # SQLite leaves the words out: its writing transactions are alone anyway.
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    return None if row is None else _account(row)


async def every(conn: AsyncConnection) -> list[Account]:
    """All accounts, oldest first."""
    table = accounts
    query = select(*_COLUMNS)
    return [_account(row) for row in await conn.execute(query.order_by(table.c.created_ms, table.c.id))]


async def count(conn: AsyncConnection) -> int:
    """How many there are, closed ones too."""
    return (await conn.execute(select(func.count()).select_from(accounts))).scalar_one()


async def page(
    conn: AsyncConnection,
    *,
    at_ms: int,
    name: str | None,
    plan_id: str | None,
    status: AccountStatus | None,
    after: tuple[int, str] | None,
    limit: int,
) -> list[tuple[Account, str | None]]:
    """Accounts behind `after` with the plan each is on, oldest first. `name`: a part of the name, or the whole id."""
    table, agreed = accounts, subscriptions_table
    on = (
        select(agreed.c.plan_id)
        .where(agreed.c.account_id == table.c.id, agreed.c.started_ms <= at_ms + own_clock)
        .where((agreed.c.ended_ms.is_(None)) | (agreed.c.ended_ms > at_ms + own_clock))
        .order_by(agreed.c.started_ms.desc(), agreed.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(*_COLUMNS, on)
    if name is not None:
        query = query.where((table.c.id == name) | func.lower(table.c.name).contains(name.lower(), autoescape=True))
    if plan_id is not None:
        query = query.where(on == plan_id)
    if status is not None:
        query = query.where(table.c.status == status)
    if after is not None:
        query = query.where(tuple_(table.c.created_ms, table.c.id) > after)
    rows = await conn.execute(query.order_by(table.c.created_ms, table.c.id).limit(limit))
    return [(_account(row[:-1]), row[-1]) for row in rows]


async def raise_terms_version(conn: AsyncConnection, account_id: str) -> int:
    """Tell every process to look again, at the account's next call. The new version."""
    raised = (
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(terms_version=accounts.c.terms_version + 1)
        .returning(accounts.c.terms_version)
    )
    version: int = (await conn.execute(raised)).scalar_one()
    return version


async def own_ms(conn: AsyncConnection, account_id: str, at_ms: int) -> int:
    """An instant of the world by the account's own clock: the same, but for a sandbox.

    Whoever is about to write what depends on it has locked the account before, so that nobody advances its clock.
    """
    query = select(accounts.c.clock_offset_ms).where(accounts.c.id == account_id)
    return at_ms + ((await conn.execute(query)).scalar_one_or_none() or 0)


async def set_clock(conn: AsyncConnection, account_id: str, offset_ms: int) -> None:
    """Advance a sandbox's clock; the caller raises the terms version."""
    await conn.execute(update(accounts).where(accounts.c.id == account_id).values(clock_offset_ms=offset_ms))


async def set_status(conn: AsyncConnection, account_id: str, status: AccountStatus, at_ms: int) -> None:
    """Another status; the caller raises the terms version."""
    closed_ms = at_ms if status is AccountStatus.CLOSED else None
    await conn.execute(update(accounts).where(accounts.c.id == account_id).values(status=status, closed_ms=closed_ms))


async def booked_seq(conn: AsyncConnection, account_id: str) -> int:
    """The highest sequence number of Redis that the books have seen of the account; 0 for none."""
    query = select(account_seq.c.seq).where(account_seq.c.account_id == account_id)
    return (await conn.execute(query)).scalar_one_or_none() or 0


async def add_project(conn: AsyncConnection, account_id: str, name: str, at_ms: int) -> Project:
    """A new project. IntegrityError where the account has one of that name."""
    project = Project(new_id("prj"), account_id, name, at_ms)
    await conn.execute(insert(projects).values(id=project.id, account_id=account_id, name=name, created_ms=at_ms))
    return project


async def projects_of(conn: AsyncConnection, account_id: str) -> list[Project]:
    """The account's projects, oldest first: the default one leads."""
    table = projects
    query = select(table).where(table.c.account_id == account_id).order_by(table.c.created_ms, table.c.id)
    return [Project(*row) for row in await conn.execute(query)]


def _account(row: Any) -> Account:
    account_id, name, status, *rest = row
    return Account(account_id, name, AccountStatus(status), *rest)
