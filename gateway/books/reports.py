"""Usage in numbers: calls, units and credits of an account, by product, mode, day, project or key.

A call counts at the time it was admitted, which also decides its period. Whole hours come from the rollups, the ragged
ends of a range from the events, so any range is exact. Captures only: what was released was no usage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Select, cast, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.tables import usage_events, usage_hourly
from gateway.books.usage import CAPTURES
from gateway.domain.instant import DAY_MS, HOUR_MS, from_epoch_ms


class By(StrEnum):
    """What usage can be told apart by."""

    PRODUCT = "product"
    MODE = "mode"
    DAY = "day"
    PROJECT = "project"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Bucket:
    """One row of a report; what it was not told apart by is None. `day` is `2026-11-23`, in UTC."""

    calls: int
    units: int
    captured_millicredits: int
    product: str | None = None
    mode: str | None = None
    day: str | None = None
    project: str | None = None
    key: str | None = None


_DIMENSIONS = {By.PRODUCT: "product", By.MODE: "mode", By.DAY: "day", By.PROJECT: "project_id", By.KEY: "key_id"}


async def usage(
    conn: AsyncConnection,
    account_id: str,
    from_ms: int,
    to_ms: int,
    by: Sequence[str] = (By.PRODUCT, By.MODE),
) -> list[Bucket]:
    """Usage of calls admitted in `[from_ms, to_ms)`, in the order of `by`. ValueError for what is no `By`."""
    first_ms, last_ms = -(-from_ms // HOUR_MS) * HOUR_MS, to_ms // HOUR_MS * HOUR_MS
    hourly, event = usage_hourly.c, usage_events.c
    parts = []
    if first_ms < last_ms:
        parts.append(_hours(account_id).where(hourly.hour_ms >= first_ms, hourly.hour_ms < last_ms))
        edges = [(from_ms, first_ms), (last_ms, to_ms)]
    else:
        edges = [(from_ms, to_ms)]
    parts += [
        _events(account_id).where(event.admitted_at_ms >= start_ms, event.admitted_at_ms < end_ms)
        for start_ms, end_ms in edges
        if start_ms < end_ms
    ]
    return await _buckets(conn, parts, by)


async def usage_of_period(
    conn: AsyncConnection, account_id: str, period_start_ms: int, by: Sequence[str] = (By.PRODUCT, By.MODE)
) -> list[Bucket]:
    """Usage that belongs to one billing period, whenever it was settled: what the period's invoice is made of."""
    part = _hours(account_id).where(usage_hourly.c.period_start_ms == period_start_ms)
    return await _buckets(conn, [part], by)


async def usage_of_period_after(
    conn: AsyncConnection, account_id: str, period_start_ms: int, by: Sequence[str], *, seq: int
) -> list[Bucket]:
    """The part of `usage_of_period` that was settled after the account's sequence number `seq`: what is newest."""
    event = usage_events.c
    part = _events(account_id).where(event.period_start_ms == period_start_ms, event.seq > seq)
    return await _buckets(conn, [part], by)


def _hours(account_id: str) -> Select[Any]:
    table = usage_hourly.c
    day = (table.hour_ms // literal(DAY_MS, BigInteger)).label("day")
    dimensions = (table.product, table.mode, day, table.project_id, table.key_id)
    return select(*dimensions, table.calls, table.units, table.captured_millicredits).where(
        table.account_id == account_id
    )


def _events(account_id: str) -> Select[Any]:
    table = usage_events.c
    day = (table.admitted_at_ms // literal(DAY_MS, BigInteger)).label("day")
    dimensions = (table.product, table.mode, day, table.project_id, table.key_id)
    units = func.coalesce(table.units, 0).label("units")
    return select(*dimensions, literal(1, BigInteger).label("calls"), units, table.captured_millicredits).where(
        table.account_id == account_id, table.ending.in_(sorted(CAPTURES))
    )


async def _buckets(conn: AsyncConnection, parts: Sequence[Select[Any]], by: Sequence[str]) -> list[Bucket]:
    if not parts:
        return []
    chosen = [By(name) for name in by]
    rows = union_all(*parts).subquery()
    dimensions = [rows.c[_DIMENSIONS[name]] for name in chosen]
    sums = [cast(func.sum(rows.c[name]), BigInteger) for name in ("calls", "units", "captured_millicredits")]
    query = select(*dimensions, *sums).group_by(*dimensions).order_by(*dimensions)
    found = (await conn.execute(query)).all()
    if not chosen:
        # Without groups SQL answers one row, of nulls where there was nothing.
        found = [row for row in found if row[0] is not None]
    return [_bucket(chosen, tuple(row)) for row in found]


def _bucket(chosen: Sequence[By], row: tuple[Any, ...]) -> Bucket:
    told_apart = {name.value: value for name, value in zip(chosen, row, strict=False)}
    if By.DAY in chosen:
        told_apart["day"] = from_epoch_ms(told_apart["day"] * DAY_MS).date().isoformat()
    return Bucket(*row[len(chosen) :], **told_apart)
