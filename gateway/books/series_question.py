"""The question that usage by windows of time asks the books, made once for every kind of view and not for every view.

What differs between two views of one kind are parameters: `account_id`, `windows` (how many there are), `most` buckets,
the pieces by the names of their parts, and what is looked for by the names of `only`. Cuts no time and asks nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Subquery,
    and_,
    bindparam,
    cast,
    func,
    literal,
    select,
    true,
    union_all,
)

from gateway.books.pieces import of_account, pieces_table
from gateway.books.reports import By
from gateway.books.tables import usage_events
from gateway.books.tables.usage import QUARTERS, SUMS, rollups, up_to
from gateway.books.usage import CAPTURES

# What can be read: windows of full days, of full hours; hours up to a quarter or from it on, by its minute; and what is
# left. The same between windows has EDGE before its name.
DAYS: Final = "days"
HOURS: Final = "hours"
TO: Final = "to_"
FROM: Final = "from_"
CUTS: Final = "cuts"
EDGE: Final = "edge_"
BY: Final = {By.PRODUCT: "product", By.MODE: "mode", By.PROJECT: "project_id", By.KEY: "key_id"}
# Kinds of views are few in practice; one that was dropped is made again.
_KINDS: Final = 200


@lru_cache(maxsize=_KINDS)
def question(dialect: str, parts: tuple[str, ...], by: tuple[By, ...], only: tuple[By, ...]) -> Select[Any]:
    """A row for each of what is told apart: lists of windows' numbers and of their sums, then what tells it apart.

    Of the parts that there are pieces of. A row for each bucket would cost more than all that is read for it.
    """
    rows = {part: _rows(dialect, part, by, only) for part in parts}
    found = [each for part, each in rows.items() if not part.startswith(EDGE)]
    if around := [each for part, each in rows.items() if part.startswith(EDGE)]:
        found += _on_both_sides(union_all(*around).subquery(), by)
    every = union_all(*found).subquery().c
    told = [every[BY[name]] for name in by]
    buckets = (
        select(every.number, *(cast(func.sum(every[name]), BigInteger).label(name) for name in SUMS), *told)
        .group_by(every.number, *told)
        # What was added and taken away again was not there.
        .having(func.sum(every.calls) > 0)
        .limit(bindparam("most", type_=BigInteger))
        .subquery()
        .c
    )
    listed = func.json_group_array if dialect == "sqlite" else func.array_agg
    return select(*(listed(buckets[name]) for name in ("number", *SUMS)), *(buckets[BY[name]] for name in by)).group_by(
        *(buckets[BY[name]] for name in by)
    )


def _on_both_sides(around: Subquery, by: Sequence[By]) -> list[Select[Any]]:
    """Read by edge, and counted for the windows on both sides of it."""
    told = [around.c.number, *(around.c[BY[name]] for name in by)]
    sums = [cast(func.sum(around.c[name]), BigInteger).label(name) for name in SUMS]
    edge = select(*told, *sums).group_by(*told).cte("edges").prefix_with("MATERIALIZED").c
    apart = [edge[BY[name]] for name in by]
    before = select((edge.number - 1).label("number"), *apart, *(edge[name] for name in SUMS))
    after = select(edge.number, *apart, *((-edge[name]).label(name) for name in SUMS))
    return [before.where(edge.number > 0), after.where(edge.number < bindparam("windows", type_=BigInteger))]


def _rows(dialect: str, part: str, by: Sequence[By], only: Sequence[By]) -> Select[Any]:
    """The rows that a part's pieces find, each with the number of its window or edge."""
    pieces = pieces_table(dialect, part)
    start, sums = _read(part.removeprefix(EDGE), [BY[name] for name in (*by, *only)])
    rows = start.table.c
    own = of_account(dialect, bindparam("account_id"), rows, pieces)
    within = (start >= pieces.c.start_ms) & (start < pieces.c.end_ms)
    query = (
        select(
            (pieces.c.number + (start - pieces.c.start_ms) // pieces.c.step_ms).label("number"),
            *(rows[BY[name]] for name in by),
            *((each * pieces.c.sign).label(name) for name, each in zip(SUMS, sums, strict=True)),
        )
        .select_from(pieces.join(start.table, own & within))
        .where(and_(true(), *(rows[BY[name]] == bindparam(name.value) for name in only)))
    )
    if start.table is usage_events:
        query = query.where(usage_events.c.ending.in_(sorted(CAPTURES)))
    return query


def _read(part: str, told: Sequence[str]) -> tuple[Column[Any], list[ColumnElement[Any]]]:
    """By which time a part's rows are found, and what they count. `told`: the columns they must have."""
    hours, days = (rollup.c for rollup in rollups(told))
    event = usage_events.c
    if part == DAYS:
        return days.day_ms, [days[name] for name in SUMS]
    if part == HOURS:
        return hours.hour_ms, [hours[name] for name in SUMS]
    if part == CUTS:
        sums = [literal(1, BigInteger), func.coalesce(event.units, 0), event.captured_millicredits]
        return event.admitted_at_ms, sums
    minute = next(minute for minute in QUARTERS if part in {f"{TO}{minute}", f"{FROM}{minute}"})
    to: list[ColumnElement[Any]] = [hours[up_to(name, minute)] for name in SUMS]
    if part.startswith(FROM):
        return hours.hour_ms, [hours[name] - before for name, before in zip(SUMS, to, strict=True)]
    return hours.hour_ms, to
