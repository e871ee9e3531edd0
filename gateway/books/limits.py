"""Limits as booked: what accounts limit themselves to and since when, raises for a while, budgets.

Whoever changes any of them raises the account's terms version in the same transaction; what is allowed at all is for
the flow that does.
"""

import json
from collections.abc import Sequence

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.contracts import contract_of
from gateway.books.dialect import upsert
from gateway.books.ids import new_id
from gateway.books.periods import BookedPeriod
from gateway.books.tables import budgets, contracts, periods, spend_limits, spend_raises
from gateway.domain.limits import Agreed, Budget, Raise, Sold, SpendLimits, Step, ceiling, charged_steps
from gateway.domain.terms import CeilingChange, PeriodTerms


async def own(conn: AsyncConnection, account_id: str) -> SpendLimits:
    """The account's own limits and alert thresholds as they are now; the defaults where none were set."""
    table = spend_limits
    query = select(table).where(table.c.account_id == account_id).order_by(table.c.from_ms.desc()).limit(1)
    row = (await conn.execute(query)).one_or_none()
    return SpendLimits() if row is None else _agreed(tuple(row)).own


async def own_of(conn: AsyncConnection, account_ids: Sequence[str]) -> dict[str, SpendLimits]:
    """The own limits of several accounts as they are now; those that set none are left out."""
    table = spend_limits
    newest = (
        select(table.c.account_id, func.max(table.c.from_ms).label("from_ms"))
        .where(table.c.account_id.in_(account_ids))
        .group_by(table.c.account_id)
        .subquery()
    )
    same = (table.c.account_id == newest.c.account_id) & (table.c.from_ms == newest.c.from_ms)
    rows = await conn.execute(select(table).join(newest, same))
    return {row[0]: _agreed(tuple(row)).own for row in rows}


async def own_since(conn: AsyncConnection, account_id: str) -> list[Agreed]:
    """All own limits the account ever had, in order, each until the next."""
    table = spend_limits
    query = select(table).where(table.c.account_id == account_id).order_by(table.c.from_ms)
    return [_agreed(tuple(row)) for row in await conn.execute(query)]


async def changes_since(conn: AsyncConnection, account_id: str, since_ms: int) -> int:
    """How often own limits and raises were set since an instant."""
    counts = [
        select(func.count()).where(table.c.account_id == account_id, table.c.from_ms >= since_ms).scalar_subquery()
        for table in (spend_limits, spend_raises)
    ]
    changes: int = (await conn.execute(select(counts[0] + counts[1]))).scalar_one()
    return changes


async def set_own(conn: AsyncConnection, account_id: str, limits: SpendLimits, at_ms: int) -> None:
    """From now on these. Two changes within a millisecond follow each other all the same."""
    last = select(func.max(spend_limits.c.from_ms)).where(spend_limits.c.account_id == account_id)
    latest_ms = (await conn.execute(last)).scalar_one()
    await conn.execute(
        insert(spend_limits).values(
            account_id=account_id,
            from_ms=at_ms if latest_ms is None else max(at_ms, latest_ms + 1),
            pay_as_you_go=limits.pay_as_you_go,
            max_cents=limits.max_cents,
            alert_percents=json.dumps(limits.alert_percents),
            alert_cents=json.dumps(limits.alert_cents),
        )
    )


async def raises(conn: AsyncConnection, account_id: str, *, since_ms: int = 0) -> list[Raise]:
    """Raises that ended, or were to end, after `since_ms`, in order."""
    table = spend_raises
    names = ("id", "from_ms", "until_ms", "max_cents", "max_millicredits", "reason", "ended_ms")
    query = (
        select(*(table.c[name] for name in names))
        .where(table.c.account_id == account_id, table.c.until_ms > since_ms)
        .order_by(table.c.from_ms, table.c.id)
    )
    return [Raise(*row) for row in await conn.execute(query)]


async def add_raise(
    conn: AsyncConnection,
    account_id: str,
    *,
    from_ms: int,
    until_ms: int,
    max_cents: int | None,
    max_millicredits: int | None,
    reason: str,
) -> Raise:
    """A raise from now on; the caller has ended the one before."""
    made = Raise(new_id("rai"), from_ms, until_ms, max_cents, max_millicredits, reason)
    await conn.execute(
        insert(spend_raises).values(
            id=made.id,
            account_id=account_id,
            from_ms=from_ms,
            until_ms=until_ms,
            max_cents=max_cents,
            max_millicredits=max_millicredits,
            reason=reason,
        )
    )
    return made


async def end_raise(conn: AsyncConnection, raised: Raise, at_ms: int) -> None:
    """End it before its time."""
    await conn.execute(update(spend_raises).where(spend_raises.c.id == raised.id).values(ended_ms=at_ms))


async def budgets_of(conn: AsyncConnection, account_id: str) -> tuple[Budget, ...]:
    """The budgets of the account's projects and keys, by their ids."""
    table = budgets.c
    query = select(table.subject_id, table.millicredits).where(table.account_id == account_id)
    return tuple(Budget(*row) for row in await conn.execute(query.order_by(table.subject_id)))


async def set_budget(conn: AsyncConnection, account_id: str, budget: Budget, at_ms: int) -> None:
    """From now on so much in a billing period, what was used in the running one included."""
    setting = upsert(conn, budgets).values(
        account_id=account_id, subject_id=budget.subject_id, millicredits=budget.millicredits, set_ms=at_ms
    )
    await conn.execute(
        setting.on_conflict_do_update(
            index_elements=["account_id", "subject_id"],
            set_={"millicredits": setting.excluded.millicredits, "set_ms": setting.excluded.set_ms},
        )
    )


async def remove_budget(conn: AsyncConnection, account_id: str, subject_id: str) -> None:
    """No limit for this project or key any more."""
    table = budgets.c
    await conn.execute(delete(budgets).where(table.account_id == account_id, table.subject_id == subject_id))


async def sold(conn: AsyncConnection, account_id: str, starts: Sequence[int]) -> dict[int, Sold]:
    """The ceilings and prices that periods were sold with, by their starts."""
    table = periods.c
    agreed = and_(contracts.c.account_id == table.account_id, contracts.c.version == table.contract_version)
    query = (
        select(table.start_ms, table.overage_millicredits, table.nanodollars_per_millicredit, contracts.c.terms)
        .outerjoin(contracts, agreed)
        .where(table.account_id == account_id, table.start_ms.in_(starts))
    )
    return {start_ms: sold_for(overage, price, terms) for start_ms, overage, price, terms in await conn.execute(query)}


def sold_for(overage_millicredits: int, nanodollars_per_millicredit: int | None, contract: str | None) -> Sold:
    """A period's ceiling and price as its row has them; `contract` is that of its contract, None without one."""
    tiers = () if contract is None else contract_of(contract).tiers
    return Sold(
        overage_millicredits, nanodollars_per_millicredit, tiers if len(tiers) > 1 else (), contract is not None
    )


def limited(period: PeriodTerms, priced: Sold, mine: SpendLimits, raised: Raise | None) -> PeriodTerms:
    """A period as it was sold, under the account's own limits and a raise that is not over."""
    plain = ceiling(priced, mine)
    lifted = plain if raised is None or raised.over_ms <= period.start_ms else ceiling(priced, mine, raised)
    change = None
    if raised is not None and lifted != plain and raised.over_ms < period.end_ms:
        change = CeilingChange(raised.over_ms, plain)
    return period.limited_to(lifted, change)


async def steps_of(conn: AsyncConnection, period: BookedPeriod) -> tuple[Step, ...]:
    """Up to where the period's usage is charged, by when its call was admitted."""
    if period.overage_millicredits == 0:
        return (Step(None, 0),)
    agreed = await own_since(conn, period.account_id)
    lifted = await raises(conn, period.account_id, since_ms=period.start_ms)
    if not agreed and not lifted:
        return (Step(None, period.overage_millicredits),)
    priced = (await sold(conn, period.account_id, [period.start_ms]))[period.start_ms]
    return charged_steps(priced, agreed, lifted, start_ms=period.start_ms, end_ms=period.end_ms)


def _agreed(row: tuple[object, ...]) -> Agreed:
    _, from_ms, *own = row
    return Agreed(int(str(from_ms)), own_of_row(*own))


def own_of_row(switched_on: object, max_cents: object, percents: object, cents: object) -> SpendLimits:
    """The account's own limits as their row has them; the defaults where there is none."""
    if switched_on is None:
        return SpendLimits()
    return SpendLimits(
        bool(switched_on),
        None if max_cents is None else int(str(max_cents)),
        tuple(json.loads(str(percents))),
        tuple(json.loads(str(cents))),
    )
