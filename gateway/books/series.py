"""Usage by windows of time, exact for windows that begin and end at any millisecond.

Full days (of UTC) come from the days' rollup, full hours from the hours', quarters from what an hour had come to by
then, and only what is cut off of a quarter from the events. Every edge between two windows has an anchor: the nearest
midnight of UTC, or its hour where windows are shorter than a day. Windows are read from anchor to anchor; what lies
between an edge and its anchor is read once, added to the window that ends there and taken away from the one that begins
there. So the days of Berlin read one hour in 24, and not all of them. A call counts at the time it was admitted.
Captures only.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.pieces import Piece, in_runs, pieces_text
from gateway.books.reports import Bucket, By
from gateway.books.series_question import CUTS, DAYS, EDGE, FROM, HOURS, TO, question
from gateway.books.tables.usage import SUMS
from gateway.domain.instant import DAY_MS, HOUR_MS, MINUTE_MS

_QUARTER_MS: Final = 15 * MINUTE_MS
_NOTHING: Final[Mapping[By, str]] = {}
# The windows' numbers, and each sum.
_LISTS: Final = 1 + len(SUMS)

Key = tuple[str, ...]
# The pieces to be read of each part of the question.
_Pieces = defaultdict[str, list[Piece]]


class Column(NamedTuple):
    """The usage of one product, mode, project or key: the windows it was used in, by their numbers, and its sums there.

    `key` tells it apart, in the order asked for. The lists are equally long, and no number is in them twice.
    """

    key: Key
    numbers: Sequence[int]
    calls: Sequence[int]
    units: Sequence[int]
    captured_millicredits: Sequence[int]

    @property
    def total(self) -> Bucket:
        """All its windows together."""
        return Bucket(sum(self.calls), sum(self.units), sum(self.captured_millicredits))


async def usage(
    conn: AsyncConnection,
    account_id: str,
    edges: Sequence[int],
    by: Sequence[By],
    *,
    only: Mapping[By, str] = _NOTHING,
    limit: int,
) -> list[Column]:
    """Usage of each `[edges[n], edges[n + 1])` by its number n; windows without any are left out.

    `only` leaves out all other products, modes, projects or keys. At most `limit` numbers, of all columns together.
    """
    pieces = _pieces(edges)
    if not pieces:
        return []
    asked = question(conn.dialect.name, tuple(sorted(pieces)), tuple(by), tuple(sorted(only)))
    given: dict[str, object] = {part: pieces_text(account_id, in_runs(each)) for part, each in pieces.items()}
    given |= {"account_id": account_id, "windows": len(edges) - 1, "most": limit}
    given |= {name.value: value for name, value in only.items()}
    found = []
    for row in (await conn.execute(asked, given)).all():
        # SQLite has no lists but JSON's; where there is nothing at all, PostgreSQL has none.
        lists = (orjson.loads(each) if isinstance(each, str) else each or () for each in row[:_LISTS])
        found.append(Column(tuple(row[_LISTS:]), *lists))
    return found


def _pieces(edges: Sequence[int]) -> _Pieces:
    """The windows from anchor to anchor, by their numbers; and what is between the anchors and the edges, by theirs."""
    long = [False, *(end_ms - start_ms >= DAY_MS for start_ms, end_ms in pairwise(edges)), False]
    anchors = [
        (edge_ms + DAY_MS // 2) // DAY_MS * DAY_MS if before or after else edge_ms // HOUR_MS * HOUR_MS
        for edge_ms, (before, after) in zip(edges, pairwise(long), strict=True)
    ]
    pieces: _Pieces = defaultdict(list)
    # No window begins at the last edge; it is its own next, and nothing lies between.
    following = [*anchors[1:], anchors[-1]]
    for number, (edge_ms, anchor_ms, next_ms) in enumerate(zip(edges, anchors, following, strict=True)):
        hour_ms, quarter_ms = edge_ms // HOUR_MS * HOUR_MS, edge_ms // _QUARTER_MS * _QUARTER_MS
        minute = (quarter_ms - hour_ms) // MINUTE_MS
        hour = Piece(number, hour_ms, hour_ms + HOUR_MS, 1)
        if minute and (anchor_ms, next_ms) == hour[1:3]:
            # Hours that begin at a quarter: each is all of the anchor's but its beginning.
            pieces[f"{FROM}{minute}"].append(hour)
            if number > 0:
                pieces[f"{TO}{minute}"].append(Piece(number - 1, hour_ms, hour_ms + HOUR_MS, 1))
        else:
            _add(pieces, "", number, anchor_ms, next_ms)
            _add(pieces, EDGE, number, anchor_ms, hour_ms)
            if minute:
                pieces[f"{EDGE}{TO}{minute}"].append(hour)
        if quarter_ms < edge_ms:
            pieces[EDGE + CUTS].append(Piece(number, quarter_ms, edge_ms, 1))
    return pieces


def _add(pieces: _Pieces, kind: str, number: int, start_ms: int, end_ms: int) -> None:
    """Full hours, as the full days in them and the other hours; against the window where they end before they start."""
    if start_ms == end_ms:
        return
    sign = 1 if start_ms < end_ms else -1
    start_ms, end_ms = sorted((start_ms, end_ms))
    first_ms, last_ms = -(-start_ms // DAY_MS) * DAY_MS, end_ms // DAY_MS * DAY_MS
    if first_ms >= last_ms:
        first_ms = last_ms = end_ms
    for part, begin_ms, until_ms in ((HOURS, start_ms, first_ms), (DAYS, first_ms, last_ms), (HOURS, last_ms, end_ms)):
        if begin_ms < until_ms:
            pieces[kind + part].append(Piece(number, begin_ms, until_ms, sign))
