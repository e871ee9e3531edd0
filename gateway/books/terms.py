"""What the books say an account may do, in one question: whoever calls for the first time waits for it.

The periods booked so far, under the limits that count; and the versions by which an older answer is known to hold
still. Which periods are due is for the flows.
"""

from collections.abc import Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, and_, bindparam, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import limits, meta
from gateway.books.contracts import contract_of
from gateway.books.tables import account_seq, accounts, budgets, contracts, grants, periods, spend_limits, spend_raises
from gateway.domain.limits import Sold
from gateway.domain.terms import AccountStatus, OwnLimits, PeriodTerms, Terms

_OWN_CLOCK: Final = func.coalesce(accounts.c.clock_offset_ms, 0)
_AT: Final = bindparam("at_ms", type_=BigInteger) + _OWN_CLOCK
_SEQ: Final = func.coalesce(
    select(account_seq.c.seq).where(account_seq.c.account_id == accounts.c.id).scalar_subquery(), 0
)
# Everything granted for a period, within a query of periods.
granted: Final = (
    select(cast(func.coalesce(func.sum(grants.c.amount_millicredits), 0), BigInteger))
    .where(grants.c.account_id == periods.c.account_id, grants.c.period_start_ms == periods.c.start_ms)
    .scalar_subquery()
)
_ALL_OWN: Final = spend_limits.alias()
_OWN_SINCE: Final = select(func.max(_ALL_OWN.c.from_ms)).where(_ALL_OWN.c.account_id == accounts.c.id).scalar_subquery()
_RAISED: Final = (
    select(spend_raises.c.id)
    .where(spend_raises.c.account_id == accounts.c.id, spend_raises.c.until_ms > _AT)
    .correlate(accounts)
    .exists()
)
_BUDGETED: Final = (
    select(budgets.c.subject_id).where(budgets.c.account_id == accounts.c.id).correlate(accounts).exists()
)
# Built once: to build it takes as long as to ask it. A row for each period, one without where there is none.
_BOOKED: Final = (
    select(
        accounts.c.terms_version,
        accounts.c.status,
        _OWN_CLOCK.label("clock_offset_ms"),
        meta.epoch().label("epoch"),
        _SEQ.label("seq"),
        _RAISED.label("raised"),
        _BUDGETED.label("budgeted"),
        periods.c.start_ms,
        periods.c.end_ms,
        periods.c.plan_id,
        granted.label("granted"),
        periods.c.overage_millicredits,
        periods.c.nanodollars_per_millicredit,
        contracts.c.terms.label("contract"),
        *(spend_limits.c[name] for name in ("pay_as_you_go", "max_cents", "alert_percents", "alert_cents")),
    )
    .outerjoin(periods, and_(periods.c.account_id == accounts.c.id, periods.c.end_ms > _AT))
    .outerjoin(
        contracts,
        and_(contracts.c.account_id == periods.c.account_id, contracts.c.version == periods.c.contract_version),
    )
    .outerjoin(spend_limits, and_(spend_limits.c.account_id == accounts.c.id, spend_limits.c.from_ms == _OWN_SINCE))
    .where(accounts.c.id == bindparam("account_id"))
    .order_by(periods.c.start_ms)
)
_VERSIONS: Final = select(accounts.c.id, accounts.c.terms_version, meta.epoch(), _SEQ).where(
    accounts.c.id.in_(bindparam("account_ids", expanding=True))
)


class Versions(NamedTuple):
    """What grows with whatever changes an account's terms, beside the time."""

    version: int
    epoch: int
    booked_seq: int


async def of_account(conn: AsyncConnection, account_id: str, at_ms: int) -> Terms | None:
    """The terms with the periods booked so far that have not ended; None for an unknown account.

    The periods are under the limits that count at `at_ms`, and beyond, as far as that is known: an instant of the
    world, which is looked at by the account's own clock.
    """
    rows = (await conn.execute(_BOOKED, {"account_id": account_id, "at_ms": at_ms})).all()
    if not rows:
        return None
    version, status, offset_ms, epoch, booked_seq, raised, budgeted, *_, own, own_cents, percents, cents = rows[0]
    own_ms = at_ms + offset_ms
    lifted = await limits.raises(conn, account_id, since_ms=own_ms) if raised else []
    running = [one for one in lifted if one.over_ms > own_ms]
    mine = limits.own_of_row(own, own_cents, percents, cents)
    booked = tuple(
        limits.limited(_period(row), _sold(row), mine, running[-1] if running else None)
        for row in rows
        if row.start_ms is not None
    )
    allotted = await limits.budgets_of(conn, account_id) if budgeted else ()
    return Terms(account_id, version, AccountStatus(status), booked, epoch, booked_seq, allotted, offset_ms)


async def versions_of(conn: AsyncConnection, account_ids: Collection[str]) -> dict[str, Versions]:
    """The versions as they are now; accounts that are unknown are left out."""
    rows = await conn.execute(_VERSIONS, {"account_ids": list(account_ids)})
    return {account_id: Versions(*versions) for account_id, *versions in rows}


def _period(row: Any) -> PeriodTerms:
    own = None
    if row.contract is not None:
        contract = contract_of(row.contract)
        own = OwnLimits(contract.rate_limits, contract.concurrent_calls)
    return PeriodTerms(row.start_ms, row.end_ms, row.plan_id, row.granted, row.overage_millicredits, limits=own)


def _sold(row: Any) -> Sold:
    return limits.sold_for(row.overage_millicredits, row.nanodollars_per_millicredit, row.contract)
