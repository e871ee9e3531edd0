"""Billing periods as booked: `[start_ms, end_ms)`, the plan and what it gave. Which ones are due is for the flows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import Update, and_, delete, or_, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import accounts, periods
from gateway.domain.plan import Plan


@dataclass(frozen=True, slots=True)
class BookedPeriod:
    """One row. `allowance_millicredits` is the plan's part of what was granted.

    `price_cents` and the price of pay-as-you-go are what it is sold at: None where that was not kept, or where there is
    no pay-as-you-go. `opened_by` and `closed_by` are the closings that charged fee and usage, None until then.
    `contract_version` is what a contract agreed; None: the plan's own terms.
    """

    account_id: str
    start_ms: int
    end_ms: int
    subscription_id: str
    plan_id: str
    allowance_millicredits: int
    overage_millicredits: int
    price_cents: int | None = None
    nanodollars_per_millicredit: int | None = None
    opened_by: str | None = None
    closed_by: str | None = None
    contract_version: int | None = None
    rollover_parts_per_million: int = 0

    def sold_as(self, plan: Plan) -> Self:
        """The same period with what the plan gives, at the plan's prices. Its `plan_id` stays."""
        return replace(
            self,
            allowance_millicredits=plan.granted_millicredits,
            overage_millicredits=plan.overage_millicredits,
            price_cents=plan.price_cents,
            nanodollars_per_millicredit=plan.nanodollars_per_millicredit,
            contract_version=plan.contract_version,
            rollover_parts_per_million=plan.rollover_parts_per_million,
        )


async def add(conn: AsyncConnection, period: BookedPeriod) -> bool:
    """Book the period; False where it was booked before."""
    statement = (
        upsert(conn, periods)
        .values(account_id=period.account_id, start_ms=period.start_ms, **_sold(period))
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


async def starting_at(conn: AsyncConnection, account_id: str, starts_ms: Sequence[int]) -> list[BookedPeriod]:
    """The account's periods that begin at these instants, in order."""
    if not starts_ms:
        return []
    query = (
        select(periods)
        .where(periods.c.account_id == account_id, periods.c.start_ms.in_(starts_ms))
        .order_by(periods.c.start_ms)
    )
    return [BookedPeriod(*row) for row in await conn.execute(query)]


async def uncharged(conn: AsyncConnection, account_id: str) -> list[BookedPeriod]:
    """The periods whose fee or usage is not charged yet, in order: few, however old the account is."""
    table = periods.c
    query = (
        select(periods)
        .where(table.account_id == account_id, or_(table.opened_by.is_(None), table.closed_by.is_(None)))
        .order_by(table.start_ms)
    )
    return [BookedPeriod(*row) for row in await conn.execute(query)]


async def latest(conn: AsyncConnection, account_id: str) -> BookedPeriod | None:
    """The last one booked, which may lie ahead."""
    query = select(periods).where(periods.c.account_id == account_id).order_by(periods.c.start_ms.desc()).limit(1)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else BookedPeriod(*row)


async def first_open(conn: AsyncConnection, account_id: str, since_ms: int) -> BookedPeriod | None:
    """The first that begins then or later and whose usage is not charged yet."""
    table = periods.c
    query = (
        select(periods)
        .where(table.account_id == account_id, table.start_ms >= since_ms, table.closed_by.is_(None))
        .order_by(table.start_ms)
        .limit(1)
    )
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else BookedPeriod(*row)


async def close(conn: AsyncConnection, period: BookedPeriod, end_ms: int) -> None:
    """End a running period early."""
    await conn.execute(_one(period).values(end_ms=end_ms))


async def revise(conn: AsyncConnection, period: BookedPeriod) -> None:
    """Give a period that has not begun other terms; the difference in its grant is booked by the caller."""
    # Whatever was charged for it was the other plan's fee.
    await conn.execute(_one(period).values(**_sold(period), opened_by=None))


def _sold(period: BookedPeriod) -> dict[str, Any]:
    """Until when, and what it was sold as."""
    return {
        "end_ms": period.end_ms,
        "subscription_id": period.subscription_id,
        "plan_id": period.plan_id,
        "allowance_millicredits": period.allowance_millicredits,
        "overage_millicredits": period.overage_millicredits,
        "price_cents": period.price_cents,
        "nanodollars_per_millicredit": period.nanodollars_per_millicredit,
        "contract_version": period.contract_version,
        "rollover_parts_per_million": period.rollover_parts_per_million,
    }


async def withdraw(conn: AsyncConnection, period: BookedPeriod) -> None:
    """Remove a period that will never begin; the grant taken back is booked by the caller."""
    await conn.execute(
        delete(periods).where(periods.c.account_id == period.account_id, periods.c.start_ms == period.start_ms)
    )


async def mark_opened(conn: AsyncConnection, period: BookedPeriod, closing_id: str) -> None:
    """Its fee is charged."""
    await conn.execute(_one(period).values(opened_by=closing_id))


async def mark_closed(conn: AsyncConnection, period: BookedPeriod, closing_id: str) -> None:
    """Its usage is charged."""
    await conn.execute(_one(period).values(closed_by=closing_id))


async def accounts_to_close(
    conn: AsyncConnection, *, begun_ms: int, ended_ms: int, after: str = "", limit: int = 500
) -> list[str]:
    """Accounts with a period that began by `begun_ms` and is not charged, or ended by `ended_ms` and is not closed.

    In order of their ids, those beyond `after`.
    """
    table = periods.c
    begun = select(table.account_id).where(table.opened_by.is_(None), table.start_ms <= begun_ms)
    ended = select(table.account_id).where(table.closed_by.is_(None), table.end_ms <= ended_ms)
    # By their own clocks, which are ahead: there are few such accounts, and an index of them alone.
    own_ms = accounts.c.clock_offset_ms
    waiting = select(table.start_ms).where(
        table.account_id == accounts.c.id,
        or_(
            and_(table.opened_by.is_(None), table.start_ms <= begun_ms + own_ms),
            and_(table.closed_by.is_(None), table.end_ms <= ended_ms + own_ms),
        ),
    )
    ahead = select(accounts.c.id).where(own_ms.is_not(None), accounts.c.id > after, waiting.exists())
    both = union(begun, ended, ahead).subquery()
    query = select(both.c.account_id).where(both.c.account_id > after).order_by(both.c.account_id).limit(limit)
    return list((await conn.execute(query)).scalars())


def _one(period: BookedPeriod) -> Update:
    return update(periods).where(periods.c.account_id == period.account_id, periods.c.start_ms == period.start_ms)
