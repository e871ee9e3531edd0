"""Usage by windows of time, exact for windows that begin and end at any millisecond.

The full hours (of UTC) within a window come from the rollups; what its ends cut off of an hour comes from the events.
A call counts at the time it was admitted. Captures only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import orjson
from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    Select,
    bindparam,
    cast,
    column,
    func,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.reports import Bucket, By
from gateway.books.tables import usage_events, usage_hourly
from gateway.books.usage import CAPTURES
from gateway.domain.instant import HOUR_MS

BY: Final = {By.PRODUCT: "product", By.MODE: "mode", By.PROJECT: "project_id", By.KEY: "key_id"}
_SUMS: Final = ("calls", "units", "captured_millicredits")
# However many pieces there are, they are one parameter.
_PIECES: Final = {
    "sqlite": (
        "SELECT json_extract(value, '$[0]') AS number, json_extract(value, '$[1]') AS start_ms, "
        "json_extract(value, '$[2]') AS end_ms FROM json_each(:pieces)"
    ),
    "postgresql": (
        "SELECT CAST(value->>0 AS bigint) AS number, CAST(value->>1 AS bigint) AS start_ms, "
        "CAST(value->>2 AS bigint) AS end_ms "
        "FROM jsonb_array_elements(CAST(CAST(:pieces AS text) AS jsonb))"
    ),
}

_Piece = tuple[int, int, int]


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
    hours, cuts = _pieces(edges)
    parts = []
    if hours:
        parts.append(_of_hours(account_id, _table(conn, "hours", hours), project_id))
    if cuts:
        parts.append(_of_events(account_id, _table(conn, "cuts", cuts), project_id))
    rows = union_all(*parts).subquery()
    told = [rows.c.number, *(rows.c[BY[name]] for name in by)]
    sums = [cast(func.sum(rows.c[name]), BigInteger) for name in _SUMS]
    query = select(*told, *sums).group_by(*told).order_by(*told).limit(limit)
    names = [name.value for name in by]
    found = []
    for number, *values in await conn.execute(query):
        apart = dict(zip(names, values[: len(names)], strict=True))
        found.append(WindowBucket(number, Bucket(*values[len(names) :], **apart)))
    return found


def _pieces(edges: Sequence[int]) -> tuple[list[_Piece], list[_Piece]]:
    """Of each window the run of its full hours, and what is left of it at its ends."""
    hours: list[_Piece] = []
    cuts: list[_Piece] = []
    for number, (start_ms, end_ms) in enumerate(pairwise(edges)):
        first_ms, last_ms = -(-start_ms // HOUR_MS) * HOUR_MS, end_ms // HOUR_MS * HOUR_MS
        if first_ms >= last_ms:
            cuts.append((number, start_ms, end_ms))
            continue
        hours.append((number, first_ms, last_ms))
        if start_ms < first_ms:
            cuts.append((number, start_ms, first_ms))
        if last_ms < end_ms:
            cuts.append((number, last_ms, end_ms))
    return hours, cuts


def _table(conn: AsyncConnection, name: str, pieces: Sequence[_Piece]) -> CTE:
    columns = (column(each, BigInteger) for each in ("number", "start_ms", "end_ms"))
    given: BindParameter[str] = bindparam("pieces", orjson.dumps(pieces).decode(), unique=True)
    return text(_PIECES[conn.dialect.name]).bindparams(given).columns(*columns).cte(name)


def _of_hours(account_id: str, pieces: CTE, project_id: str | None) -> Select[Any]:
    table = usage_hourly.c
    within = (table.hour_ms >= pieces.c.start_ms) & (table.hour_ms < pieces.c.end_ms)
    query = (
        select(pieces.c.number, *(table[name] for name in (*BY.values(), *_SUMS)))
        .select_from(pieces.join(usage_hourly, within))
        .where(table.account_id == account_id)
    )
    return query if project_id is None else query.where(table.project_id == project_id)


def _of_events(account_id: str, pieces: CTE, project_id: str | None) -> Select[Any]:
    table = usage_events.c
    within = (table.admitted_at_ms >= pieces.c.start_ms) & (table.admitted_at_ms < pieces.c.end_ms)
    sums = (literal(1, BigInteger).label("calls"), func.coalesce(table.units, 0).label("units"))
    query = (
        select(pieces.c.number, *(table[name] for name in BY.values()), *sums, table.captured_millicredits)
        .select_from(pieces.join(usage_events, within))
        .where(table.account_id == account_id, table.ending.in_(sorted(CAPTURES)))
    )
    return query if project_id is None else query.where(table.project_id == project_id)
