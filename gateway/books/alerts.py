"""Alerts as raised, each once for its account, period, kind and threshold, and what decides about them.

Judges nothing: `domain.alert` does. Sends nothing: whoever raises one tells of it in the same transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.contracts import contract_of
from gateway.books.dialect import one_of, upsert
from gateway.books.ids import new_id
from gateway.books.tables import accounts, alerts, contracts, period_usage, periods
from gateway.books.terms import granted
from gateway.domain.alert import Alert, AlertKind
from gateway.domain.plan import Tier

_BATCH: Final = 500
PeriodKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class PeriodStanding:
    """A period with what was granted for it and what of that was used, both in millicredits.

    `clock_offset_ms` is how far the account's own clock is ahead of the world's.
    """

    account_id: str
    start_ms: int
    end_ms: int
    plan_id: str
    overage_millicredits: int
    nanodollars_per_millicredit: int | None
    granted_millicredits: int
    captured_millicredits: int
    clock_offset_ms: int = 0
    contract: bool = False
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True)
class RaisedAlert:
    """One alert, and how the account stood when it was raised."""

    id: str
    account_id: str
    period_start_ms: int
    period_end_ms: int
    kind: AlertKind
    threshold: int
    used_millicredits: int
    included_millicredits: int
    spend_cents: int
    raised_ms: int


_STANDINGS: Final = (
    select(
        periods.c.account_id,
        periods.c.start_ms,
        periods.c.end_ms,
        periods.c.plan_id,
        periods.c.overage_millicredits,
        periods.c.nanodollars_per_millicredit,
        granted,
        func.coalesce(period_usage.c.captured_millicredits, 0),
        func.coalesce(accounts.c.clock_offset_ms, 0),
        contracts.c.terms,
    )
    .join(accounts, accounts.c.id == periods.c.account_id)
    .outerjoin(
        contracts,
        (contracts.c.account_id == periods.c.account_id) & (contracts.c.version == periods.c.contract_version),
    )
    .outerjoin(
        period_usage,
        (period_usage.c.account_id == periods.c.account_id) & (period_usage.c.period_start_ms == periods.c.start_ms),
    )
)


async def standings(conn: AsyncConnection, keys: Collection[PeriodKey]) -> list[PeriodStanding]:
    """How these periods stand; those that are not booked are left out."""
    wanted = set(keys)
    found: list[PeriodStanding] = []
    for batch in _batches(keys):
        rows = await conn.execute(_STANDINGS.where(_about(conn, periods.c.account_id, periods.c.start_ms, batch)))
        found += [_standing(*row) for row in rows if (row[0], row[1]) in wanted]
    return found


async def standing(conn: AsyncConnection, key: PeriodKey) -> PeriodStanding | None:
    """How one period stands; None where it is not booked."""
    return next(iter(await standings(conn, [key])), None)


async def raised(conn: AsyncConnection, keys: Collection[PeriodKey]) -> Mapping[PeriodKey, frozenset[Alert]]:
    """What was raised in these periods so far."""
    wanted = set(keys)
    found: dict[PeriodKey, set[Alert]] = {}
    for batch in _batches(keys):
        query = select(alerts.c.account_id, alerts.c.period_start_ms, alerts.c.kind, alerts.c.threshold)
        for account_id, start_ms, kind, threshold in await conn.execute(
            query.where(_about(conn, alerts.c.account_id, alerts.c.period_start_ms, batch))
        ):
            if (account_id, start_ms) in wanted:
                found.setdefault((account_id, start_ms), set()).add(Alert(AlertKind(kind), threshold))
    return {key: frozenset(known) for key, known in found.items()}


async def add(conn: AsyncConnection, alert: RaisedAlert) -> bool:
    """Raise it; False where another process has, for which this transaction has waited."""
    statement = (
        upsert(conn, alerts)
        .values(
            id=alert.id,
            account_id=alert.account_id,
            period_start_ms=alert.period_start_ms,
            period_end_ms=alert.period_end_ms,
            kind=alert.kind,
            threshold=alert.threshold,
            used_millicredits=alert.used_millicredits,
            included_millicredits=alert.included_millicredits,
            spend_cents=alert.spend_cents,
            raised_ms=alert.raised_ms,
        )
        .on_conflict_do_nothing(index_elements=["account_id", "period_start_ms", "kind", "threshold"])
        .returning(alerts.c.id)
    )
    return (await conn.execute(statement)).scalar_one_or_none() is not None


async def of_account(
    conn: AsyncConnection, account_id: str, *, period_start_ms: int | None = None, limit: int = 100
) -> list[RaisedAlert]:
    """The account's alerts, newest first: of one period, or of all."""
    query = select(alerts).where(alerts.c.account_id == account_id)
    if period_start_ms is not None:
        query = query.where(alerts.c.period_start_ms == period_start_ms)
    rows = await conn.execute(query.order_by(alerts.c.raised_ms.desc(), alerts.c.id.desc()).limit(limit))
    return [RaisedAlert(row[0], row[1], row[2], row[3], AlertKind(row[4]), *row[5:]) for row in rows]


def _standing(*row: Any) -> PeriodStanding:
    *values, terms = row
    tiers = () if terms is None else contract_of(terms).tiers
    return replace(PeriodStanding(*values), contract=terms is not None, tiers=tiers if len(tiers) > 1 else ())


def new_alert_id() -> str:
    """The id of an alert about to be raised."""
    return new_id("alt")


def _about(
    conn: AsyncConnection, account: Column[str], start: Column[int], keys: Sequence[PeriodKey]
) -> ColumnElement[bool]:
    """These periods and few others of the same accounts: a list of pairs takes longer to write than to answer."""
    starts = [start_ms for _, start_ms in keys]
    return one_of(conn, account, {account_id for account_id, _ in keys}) & start.between(min(starts), max(starts))


def _batches(keys: Collection[PeriodKey]) -> list[Sequence[PeriodKey]]:
    ordered = sorted(keys)
    return [ordered[first : first + _BATCH] for first in range(0, len(ordered), _BATCH)]
