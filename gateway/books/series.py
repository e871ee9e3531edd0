"""Usage by windows of time, exact for windows that begin and end at any millisecond.

Full days (of UTC) come from the days' rollup, full hours from the hours', what is cut off of an hour from the events.
A window that begins at another zone's midnight is the nearest days of UTC, with the few hours between the two midnights
added or taken away: so the days of Berlin read one hour in 24 and not all of them. A call counts at the time it was
admitted. Captures only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from sqlalchemy import CTE, BigInteger, Column, ColumnElement, Select, Table, cast, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.pieces import Piece, of_account, pieces_table
from gateway.books.reports import Bucket, By
from gateway.books.tables import usage_daily, usage_events, usage_hourly
from gateway.books.usage import CAPTURES
from gateway.domain.instant import DAY_MS, HOUR_MS

BY: Final = {By.PRODUCT: "product", By.MODE: "mode", By.PROJECT: "project_id", By.KEY: "key_id"}
_SUMS: Final = ("calls", "units", "captured_millicredits")


class _Pieces(NamedTuple):
    """Stretches of full days, of full hours, and what is left."""

    days: list[Piece]
    hours: list[Piece]
    cuts: list[Piece]

    def add(self, number: int, start_ms: int, end_ms: int, sign: int) -> None:
        """A stretch, as the full hours in it and what is cut off of others."""
        if start_ms >= end_ms:
            return
        first_ms, last_ms = -(-start_ms // HOUR_MS) * HOUR_MS, end_ms // HOUR_MS * HOUR_MS
        if first_ms > last_ms:
            self.cuts.append(Piece(number, start_ms, end_ms, sign))
            return
        stretches = ((self.cuts, start_ms, first_ms), (self.hours, first_ms, last_ms), (self.cuts, last_ms, end_ms))
        for pieces, begin_ms, until_ms in stretches:
            if begin_ms < until_ms:
                pieces.append(Piece(number, begin_ms, until_ms, sign))


@dataclass(frozen=True, slots=True)
class WindowBucket:
    """The usage of one window (by its number) that is told apart by nothing else than the bucket says."""

    window: int
    bucket: Bucket


async def usage(
    conn: AsyncConnection,
    account_id: str,
    edges: Sequence[int],
    by: Sequence[By],
    *,
    project_id: str | None = None,
    limit: int,
) -> list[WindowBucket]:
    """Usage of each `[edges[n], edges[n + 1])`, in order; windows without any are left out. At most `limit` rows."""
    pieces = _pieces(edges)
    parts = []
    for name, rollup, start, stretches in (
        ("days", usage_daily, usage_daily.c.day_ms, pieces.days),
        ("hours", usage_hourly, usage_hourly.c.hour_ms, pieces.hours),
    ):
        if stretches:
            table = pieces_table(conn, name, account_id, stretches)
            own = of_account(conn, account_id, rollup.c, table)
            parts.append(_of_rollup(rollup, start, table, own, project_id))
    if pieces.cuts:
        table = pieces_table(conn, "cuts", account_id, pieces.cuts)
        parts.append(_of_events(table, of_account(conn, account_id, usage_events.c, table), project_id))
    rows = union_all(*parts).subquery()
    told = [rows.c.number, *(rows.c[BY[name]] for name in by)]
    sums = [cast(func.sum(rows.c[name]), BigInteger) for name in _SUMS]
    # What was added and taken away again was not there.
    query = select(*told, *sums).group_by(*told).having(func.sum(rows.c.calls) > 0).order_by(*told).limit(limit)
    names = [name.value for name in by]
    found = []
    for number, *values in await conn.execute(query):
        apart = dict(zip(names, values[: len(names)], strict=True))
        found.append(WindowBucket(number, Bucket(*values[len(names) :], **apart)))
    return found


def _pieces(edges: Sequence[int]) -> _Pieces:
    """All windows in pieces, each window in the way that reads fewer hours."""
    pieces = _Pieces([], [], [])
    for number, (start_ms, end_ms) in enumerate(pairwise(edges)):
        first_ms, last_ms = -(-start_ms // DAY_MS) * DAY_MS, end_ms // DAY_MS * DAY_MS
        within = end_ms - start_ms if first_ms >= last_ms else first_ms - start_ms + end_ms - last_ms
        near_first_ms, near_last_ms = _nearest_day(start_ms), _nearest_day(end_ms)
        around = abs(near_first_ms - start_ms) + abs(near_last_ms - end_ms)
        if around < within:
            first_ms, last_ms = near_first_ms, near_last_ms
        elif first_ms >= last_ms:
            pieces.add(number, start_ms, end_ms, 1)
            continue
        if first_ms < last_ms:
            pieces.days.append(Piece(number, first_ms, last_ms, 1))
        pieces.add(number, start_ms, first_ms, 1)
        pieces.add(number, first_ms, start_ms, -1)
        pieces.add(number, last_ms, end_ms, 1)
        pieces.add(number, end_ms, last_ms, -1)
    return pieces


def _nearest_day(at_ms: int) -> int:
    return (at_ms + DAY_MS // 2) // DAY_MS * DAY_MS


def _of_rollup(
    rollup: Table, start: Column[Any], pieces: CTE, of_account: ColumnElement[bool], project_id: str | None
) -> Select[Any]:
    table, told = rollup.c, BY.values()
    within = (start >= pieces.c.start_ms) & (start < pieces.c.end_ms)
    query = select(
        pieces.c.number,
        *(table[name] for name in told),
        *((table[name] * pieces.c.sign).label(name) for name in _SUMS),
    ).select_from(pieces.join(rollup, of_account & within))
    return query if project_id is None else query.where(table.project_id == project_id)


def _of_events(pieces: CTE, of_account: ColumnElement[bool], project_id: str | None) -> Select[Any]:
    table, sign = usage_events.c, pieces.c.sign
    within = (table.admitted_at_ms >= pieces.c.start_ms) & (table.admitted_at_ms < pieces.c.end_ms)
    sums = (sign.label("calls"), func.coalesce(table.units, 0) * sign, table.captured_millicredits * sign)
    query = (
        select(
            pieces.c.number,
            *(table[name] for name in BY.values()),
            *(each.label(name) for name, each in zip(_SUMS, sums, strict=True)),
        )
        .select_from(pieces.join(usage_events, of_account & within))
        .where(table.ending.in_(sorted(CAPTURES)))
    )
    return query if project_id is None else query.where(table.project_id == project_id)
