"""Subscriptions: from when to when an account is on which plan. A pending plan is a row that starts later.

Which change is allowed, and when it takes effect, is for the flows.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.ids import new_id
from gateway.books.tables import accounts, subscriptions
from gateway.domain.terms import AccountStatus


@dataclass(frozen=True, slots=True)
class Subscription:
    """In force where `started_ms <= t < ended_ms`; its periods are counted from the anchor."""

    id: str
    account_id: str
    plan_id: str
    anchor_ms: int
    started_ms: int
    ended_ms: int | None

    def in_force(self, at_ms: int) -> bool:
        """Whether this one decides at that instant."""
        return self.started_ms <= at_ms and (self.ended_ms is None or at_ms < self.ended_ms)

    def pending(self, at_ms: int) -> bool:
        """Whether it is yet to start and was not taken back."""
        return self.started_ms > at_ms and (self.ended_ms is None or self.ended_ms > self.started_ms)


async def of_account(conn: AsyncConnection, account_id: str) -> list[Subscription]:
    """All of them, oldest first."""
    table = subscriptions
    columns = (table.c.id, table.c.account_id, table.c.plan_id, table.c.anchor_ms, table.c.started_ms, table.c.ended_ms)
    query = select(*columns).where(table.c.account_id == account_id).order_by(table.c.started_ms, table.c.id)
    return [Subscription(*row) for row in await conn.execute(query)]


async def plans_in_force(conn: AsyncConnection, at_ms: int) -> dict[str, str]:
    """The plan of every account that is on one by its own clock, by account id."""
    table = subscriptions
    own_ms = at_ms + func.coalesce(accounts.c.clock_offset_ms, 0)
    query = (
        select(table.c.account_id, table.c.plan_id)
        .join(accounts, accounts.c.id == table.c.account_id)
        .where(table.c.started_ms <= own_ms, (table.c.ended_ms.is_(None)) | (table.c.ended_ms > own_ms))
    )
    return {row[0]: row[1] for row in await conn.execute(query)}


async def on_other_plans(conn: AsyncConnection, sold: Collection[str], at_ms: int) -> dict[str, int]:
    """Plans that are not `sold`, by how many open accounts are on each, or will be when their period ends."""
    table = subscriptions
    own_ms = at_ms + func.coalesce(accounts.c.clock_offset_ms, 0)
    not_over = or_(table.c.ended_ms.is_(None), (table.c.ended_ms > own_ms) & (table.c.ended_ms > table.c.started_ms))
    query = (
        select(table.c.plan_id, func.count(table.c.account_id.distinct()))
        .join(accounts, accounts.c.id == table.c.account_id)
        .where(table.c.plan_id.not_in(sold), accounts.c.status != AccountStatus.CLOSED, not_over)
        .group_by(table.c.plan_id)
        .order_by(table.c.plan_id)
    )
    return {row[0]: row[1] for row in await conn.execute(query)}


async def add(
    conn: AsyncConnection, *, account_id: str, plan_id: str, anchor_ms: int, started_ms: int, at_ms: int
) -> Subscription:
    """A new one, in force from `started_ms` on."""
    new = Subscription(new_id("sub"), account_id, plan_id, anchor_ms, started_ms, None)
    await conn.execute(
        insert(subscriptions).values(
            id=new.id,
            account_id=account_id,
            plan_id=plan_id,
            anchor_ms=anchor_ms,
            started_ms=started_ms,
            ended_ms=None,
            requested_ms=at_ms,
        )
    )
    return new


async def end(conn: AsyncConnection, subscription_id: str, ended_ms: int | None) -> None:
    """End it at an instant, or (None) let it go on. One that ends where it starts is taken back."""
    await conn.execute(update(subscriptions).where(subscriptions.c.id == subscription_id).values(ended_ms=ended_ms))
