"""Grants: credits given for one billing period, and corrections of them. Added to, never changed."""

from enum import StrEnum

from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import ledger_entries
from gateway.books.dialect import upsert
from gateway.books.ids import new_id
from gateway.books.tables import grants


class GrantKind(StrEnum):
    """Why credits were given or taken back."""

    ALLOWANCE = "allowance"  # the plan's, once per subscription and period
    PLAN_CHANGE = "plan_change"  # the next period was already granted when its plan was changed
    ADJUSTMENT = "adjustment"  # by an operator, with a reason
    ROLLOVER = "rollover"  # a part of what the period before left unused, once per period


async def add(
    conn: AsyncConnection,
    *,
    account_id: str,
    subscription_id: str,
    period_start_ms: int,
    kind: GrantKind,
    amount_millicredits: int,
    reason: str,
    at_ms: int,
) -> str | None:
    """Book a grant and its ledger entry; its id, or None where this allowance or rollover was granted before."""
    grant_id = new_id("grt")
    statement = (
        upsert(conn, grants)
        .values(
            id=grant_id,
            account_id=account_id,
            subscription_id=subscription_id,
            period_start_ms=period_start_ms,
            kind=kind,
            amount_millicredits=amount_millicredits,
            reason=reason,
            created_ms=at_ms,
        )
        .on_conflict_do_nothing()
        .returning(grants.c.id)
    )
    if (await conn.execute(statement)).scalar_one_or_none() is None:
        return None
    await ledger_entries.book(conn, ledger_entries.granted(grant_id, account_id, period_start_ms, amount_millicredits))
    return grant_id


async def granted(conn: AsyncConnection, account_id: str, period_start_ms: int) -> int:
    """Everything granted for a period, corrections included, in millicredits."""
    query = select(cast(func.coalesce(func.sum(grants.c.amount_millicredits), 0), BigInteger)).where(
        grants.c.account_id == account_id, grants.c.period_start_ms == period_start_ms
    )
    return (await conn.execute(query)).scalar_one()
