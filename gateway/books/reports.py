"""Usage in numbers: calls, units and credits of an account, by product, mode, day, project or key.

A call counts at the time it was admitted, which also decides its period. Whole days and hours come from the rollups,
the ragged ends of a range from the events, so any range is exact. Captures only: what was released was no usage.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, ColumnElement, Select, cast, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.tables import usage_events
from gateway.books.tables.usage import SUMS, rollups
from gateway.books.usage import CAPTURES
from gateway.domain.instant import DAY_MS, HOUR_MS, from_epoch_ms


class By(StrEnum):
    """What usage can be told apart by."""

    PRODUCT = "product"
    MODE = "mode"
    DAY = "day"
    PROJECT = "project"
    KEY = "key"


class Bucket(NamedTuple):
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
    return await _buckets(conn, _parts(account_id, from_ms, to_ms, _columns(by)), by)


async def calls(
    conn: AsyncConnection, account_id: str, times: Sequence[tuple[int, int]] | None, only: Mapping[str, str]
) -> int:
    """How many captures there are of calls admitted in any of these ranges, which do not touch; None: ever.

    `only` says what stands in `product`, `mode`, `project_id` or `key_id`.
    """
    told = tuple(only)
    if times is None:
        parts = [_of_rollup(account_id, rollups(told)[1].c.day_ms, told)]
    else:
        parts = [part for from_ms, to_ms in times for part in _parts(account_id, from_ms, to_ms, told)]
    if not parts:
        return 0
    rows = union_all(*parts).subquery().c
    query = select(cast(func.coalesce(func.sum(rows.calls), 0), BigInteger))
    query = query.where(*(rows[name] == value for name, value in only.items()))
    found: int = (await conn.execute(query)).scalar_one()
    return found


def _parts(account_id: str, from_ms: int, to_ms: int, told: Sequence[str]) -> list[Select[Any]]:
    """Where the usage of a range is found."""
    hourly, daily = rollups(told)
    starts = {DAY_MS: daily.c.day_ms, HOUR_MS: hourly.c.hour_ms}
    parts = []
    for length_ms, start_ms, end_ms in _stretches(from_ms, to_ms):
        at_ms = starts.get(length_ms, usage_events.c.admitted_at_ms)
        part = _of_rollup(account_id, at_ms, told) if length_ms in starts else _events(account_id, told)
        parts.append(part.where(at_ms >= start_ms, at_ms < end_ms))
    return parts


def _stretches(from_ms: int, to_ms: int, lengths_ms: Sequence[int] = (DAY_MS, HOUR_MS)) -> list[tuple[int, int, int]]:
    """A range in stretches of full days, of full hours and of what is left: the length of one, start and end."""
    if from_ms >= to_ms:
        return []
    if not lengths_ms:
        return [(1, from_ms, to_ms)]
    length_ms, *finer = lengths_ms
    first_ms, last_ms = -(-from_ms // length_ms) * length_ms, to_ms // length_ms * length_ms
    if first_ms >= last_ms:
        return _stretches(from_ms, to_ms, finer)
    return [*_stretches(from_ms, first_ms, finer), (length_ms, first_ms, last_ms), *_stretches(last_ms, to_ms, finer)]


async def usage_of_period(
    conn: AsyncConnection, account_id: str, period_start_ms: int, by: Sequence[str] = (By.PRODUCT, By.MODE)
) -> list[Bucket]:
    """Usage that belongs to one billing period, whenever it was settled: what the period's invoice is made of."""
    told = _columns(by)
    _, daily = rollups(told)
    part = _of_rollup(account_id, daily.c.day_ms, told).where(daily.c.period_start_ms == period_start_ms)
    return await _buckets(conn, [part], by)


async def usage_of_period_after(
    conn: AsyncConnection, account_id: str, period_start_ms: int, by: Sequence[str], *, seq: int
) -> list[Bucket]:
    """The part of `usage_of_period` that was settled after the account's sequence number `seq`: what is newest."""
    event = usage_events.c
    part = _events(account_id, _columns(by)).where(event.period_start_ms == period_start_ms, event.seq > seq)
    return await _buckets(conn, [part], by)


def _columns(by: Sequence[str]) -> tuple[str, ...]:
    return tuple(_DIMENSIONS[By(name)] for name in by)


def _of_rollup(account_id: str, start: Column[Any], told: Sequence[str]) -> Select[Any]:
    """What a rollup counts, by when its rows start."""
    table = start.table.c
    sums = (table[name] for name in SUMS)
    return select(*_told(start, told), *sums).where(table.account_id == account_id)


def _events(account_id: str, told: Sequence[str]) -> Select[Any]:
    table = usage_events.c
    units = func.coalesce(table.units, 0).label("units")
    sums = (literal(1, BigInteger).label("calls"), units, table.captured_millicredits)
    return select(*_told(table.admitted_at_ms, told), *sums).where(
        table.account_id == account_id, table.ending.in_(sorted(CAPTURES))
    )


def _told(at_ms: Column[Any], told: Sequence[str]) -> list[ColumnElement[Any]]:
    """What tells a table's rows apart. `at_ms` is its column of times."""
    day = (at_ms // literal(DAY_MS, BigInteger)).label("day")
    return [day if name == "day" else at_ms.table.c[name] for name in told]


async def _buckets(conn: AsyncConnection, parts: Sequence[Select[Any]], by: Sequence[str]) -> list[Bucket]:
    if not parts:
        return []
    chosen = [By(name) for name in by]
    rows = union_all(*parts).subquery()
    dimensions = [rows.c[name] for name in _columns(chosen)]
    sums = [cast(func.sum(rows.c[name]), BigInteger) for name in SUMS]
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
