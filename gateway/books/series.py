"""Usage by windows of time, exact for windows that begin and end at any millisecond.

Full days (of UTC) come from the days' rollup, full hours from the hours', quarters from what an hour had come to by
then, and only what is cut off of a quarter from the events. Every edge between two windows has an anchor: the nearest
midnight of UTC, or its hour where windows are shorter than a day. Windows are read from anchor to anchor; what lies
between an edge and its anchor is read once, added to the window that ends there and taken away from the one that begins
there. So the days of Berlin read one hour in 24, and not all of them. A call counts at the time it was admitted.
Captures only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Select,
    and_,
    cast,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.pieces import Piece, of_account, pieces_table
from gateway.books.reports import Bucket, By
from gateway.books.tables import usage_daily, usage_events, usage_hourly
from gateway.books.tables.usage import QUARTERS, SUMS, up_to
from gateway.books.usage import CAPTURES
from gateway.domain.instant import DAY_MS, HOUR_MS, MINUTE_MS

BY: Final = {By.PRODUCT: "product", By.MODE: "mode", By.PROJECT: "project_id", By.KEY: "key_id"}
_QUARTER_MS: Final = 15 * MINUTE_MS
_NOTHING: Final[Mapping[By, str]] = {}


class _Pieces(NamedTuple):
    """Stretches of full days, of full hours, of hours up to a quarter (by its minute), and what is left."""

    days: list[Piece]
    hours: list[Piece]
    quarters: dict[int, list[Piece]]
    cuts: list[Piece]


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
    only: Mapping[By, str] = _NOTHING,
    limit: int,
) -> list[WindowBucket]:
    """Usage of each `[edges[n], edges[n + 1])`, in order; windows without any are left out. At most `limit` rows.

    `only` leaves out all other products, modes, projects or keys.
    """
    reading = _Reading(conn, account_id, by, only)
    windows, around = _windows(edges)
    parts = [select(*rows.c) for rows in reading.parts("", windows)]
    if shared := reading.parts("edge_", around):
        # Read by edge, and counted for the windows on both sides of it.
        rows = union_all(*(select(*part.c) for part in shared)).subquery().c
        told = [rows.number, *(rows[BY[name]] for name in by)]
        summed = [cast(func.sum(rows[name]), BigInteger).label(name) for name in SUMS]
        edge = select(*told, *summed).group_by(*told).cte("edges").prefix_with("MATERIALIZED").c
        apart = [edge[BY[name]] for name in by]
        before = select((edge.number - 1).label("number"), *apart, *(edge[name] for name in SUMS))
        after = select(edge.number, *apart, *((-edge[name]).label(name) for name in SUMS))
        parts += [before.where(edge.number > 0), after.where(edge.number < len(edges) - 1)]
    if not parts:
        return []
    rows = union_all(*parts).subquery().c
    told = [rows.number, *(rows[BY[name]] for name in by)]
    sums = [cast(func.sum(rows[name]), BigInteger) for name in SUMS]
    # What was added and taken away again was not there.
    query = select(*told, *sums).group_by(*told).having(func.sum(rows.calls) > 0).order_by(*told).limit(limit)
    names = [name.value for name in by]
    found = []
    for number, *values in await conn.execute(query):
        apart_by = dict(zip(names, values[: len(names)], strict=True))
        found.append(WindowBucket(number, Bucket(*values[len(names) :], **apart_by)))
    return found


def _windows(edges: Sequence[int]) -> tuple[_Pieces, _Pieces]:
    """The windows from anchor to anchor, by their numbers; and what is between the anchors and the edges, by theirs."""
    long = [False, *(end_ms - start_ms >= DAY_MS for start_ms, end_ms in pairwise(edges)), False]
    anchors = [
        (edge_ms + DAY_MS // 2) // DAY_MS * DAY_MS if before or after else edge_ms // HOUR_MS * HOUR_MS
        for edge_ms, (before, after) in zip(edges, pairwise(long), strict=True)
    ]
    windows, around = (_Pieces([], [], {minute: [] for minute in QUARTERS}, []) for _ in range(2))
    for number, (start_ms, end_ms) in enumerate(pairwise(anchors)):
        _add(windows, number, start_ms, end_ms)
    for number, (anchor_ms, edge_ms) in enumerate(zip(anchors, edges, strict=True)):
        hour_ms, quarter_ms = (edge_ms // length_ms * length_ms for length_ms in (HOUR_MS, _QUARTER_MS))
        _add(around, number, anchor_ms, hour_ms)
        if hour_ms < quarter_ms:
            minute = (quarter_ms - hour_ms) // MINUTE_MS
            around.quarters[minute].append(Piece(number, hour_ms, hour_ms + HOUR_MS, 1))
        if quarter_ms < edge_ms:
            around.cuts.append(Piece(number, quarter_ms, edge_ms, 1))
    return windows, around


def _add(pieces: _Pieces, number: int, start_ms: int, end_ms: int) -> None:
    """Full hours, as the full days in them and the other hours; against the window where they end before they start."""
    sign = 1 if start_ms <= end_ms else -1
    start_ms, end_ms = sorted((start_ms, end_ms))
    first_ms, last_ms = -(-start_ms // DAY_MS) * DAY_MS, end_ms // DAY_MS * DAY_MS
    if first_ms >= last_ms:
        first_ms = last_ms = end_ms
    for stretches, begin_ms, until_ms in (
        (pieces.hours, start_ms, first_ms),
        (pieces.days, first_ms, last_ms),
        (pieces.hours, last_ms, end_ms),
    ):
        if begin_ms < until_ms:
            stretches.append(Piece(number, begin_ms, until_ms, sign))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is asked of every table alike."""

    conn: AsyncConnection
    account_id: str
    by: Sequence[By]
    only: Mapping[By, str]

    def parts(self, prefix: str, pieces: _Pieces) -> list[Any]:
        """The rows that the pieces find, each with the number of its piece."""
        hours, quarters = usage_hourly.c, pieces.quarters.items()
        sums = {minute: [hours[up_to(name, minute)] for name in SUMS] for minute in QUARTERS}
        found = [
            self._rows(f"{prefix}days", pieces.days, usage_daily.c.day_ms, [usage_daily.c[name] for name in SUMS]),
            self._rows(f"{prefix}hours", pieces.hours, hours.hour_ms, [hours[name] for name in SUMS]),
            *(self._rows(f"{prefix}to_{minute}", each, hours.hour_ms, sums[minute]) for minute, each in quarters),
            self._captures(f"{prefix}cuts", pieces.cuts),
        ]
        return [each.subquery() for each in found if each is not None]

    def _captures(self, name: str, pieces: Sequence[Piece]) -> Select[Any] | None:
        event = usage_events.c
        sums = [literal(1, BigInteger), func.coalesce(event.units, 0), event.captured_millicredits]
        rows = self._rows(name, pieces, event.admitted_at_ms, sums)
        return None if rows is None else rows.where(event.ending.in_(sorted(CAPTURES)))

    def _rows(
        self, name: str, pieces: Sequence[Piece], start: Column[Any], sums: Sequence[ColumnElement[Any]]
    ) -> Select[Any] | None:
        if not pieces:
            return None
        table: CTE = pieces_table(self.conn, name, self.account_id, pieces)
        rows = start.table
        own = of_account(self.conn, self.account_id, rows.c, table)
        within = (start >= table.c.start_ms) & (start < table.c.end_ms)
        return (
            select(
                table.c.number,
                *(rows.c[BY[each]] for each in self.by),
                *((each * table.c.sign).label(told) for told, each in zip(SUMS, sums, strict=True)),
            )
            .select_from(table.join(rows, own & within))
            .where(and_(true(), *(rows.c[BY[each]] == value for each, value in self.only.items())))
        )
