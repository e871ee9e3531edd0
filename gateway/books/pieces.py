"""Many stretches of an account's time as one table, so that one statement looks each of them up by an index.

Knows neither what is looked up nor how time is cut.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnClause,
    ColumnElement,
    Text,
    bindparam,
    column,
    text,
)

# Longer than any piece.
_ENDLESS_MS: Final = 1 << 62
# However many pieces there are, they are one parameter.
_PIECES: Final = {
    "sqlite": (
        "SELECT json_extract(value, '$[0]') AS number, json_extract(value, '$[1]') AS start_ms, "
        "json_extract(value, '$[2]') AS end_ms, json_extract(value, '$[3]') AS sign, "
        "json_extract(value, '$[4]') AS step_ms, json_extract(value, '$[5]') AS account_id FROM json_each(:{name})"
    ),
    "postgresql": (
        "SELECT CAST(value->>0 AS bigint) AS number, CAST(value->>1 AS bigint) AS start_ms, "
        "CAST(value->>2 AS bigint) AS end_ms, CAST(value->>3 AS bigint) AS sign, "
        "CAST(value->>4 AS bigint) AS step_ms, value->>5 AS account_id "
        "FROM jsonb_array_elements(CAST(CAST(:{name} AS text) AS jsonb))"
    ),
}


class Piece(NamedTuple):
    """A stretch of time that counts for a window, or against it (`sign` -1).

    With `step_ms` it is as many windows as there are steps in it, numbered on from `number`.
    """

    number: int
    start_ms: int
    end_ms: int
    sign: int
    step_ms: int = _ENDLESS_MS


def in_runs(pieces: Iterable[Piece]) -> list[Piece]:
    """The same stretches; those of windows of one length that follow each other are one piece.

    So all hours of a month are one walk along an index, and not seven hundred.
    """
    runs: list[list[int]] = []
    following: tuple[int, ...] = ()
    for number, start_ms, end_ms, sign, _ in pieces:
        step_ms = end_ms - start_ms
        if (number, start_ms, step_ms, sign) == following:
            runs[-1][2] = end_ms
        else:
            runs.append([number, start_ms, end_ms, sign, step_ms])
        following = (number + 1, end_ms, step_ms, sign)
    return [Piece(*run) for run in runs]


def pieces_table(dialect: str, name: str) -> CTE:
    """The pieces as a table of this name, which is also that of the parameter that `pieces_text` is given by."""
    columns: list[ColumnClause[Any]] = [column(each, BigInteger) for each in Piece._fields]
    columns.append(column("account_id", Text))
    table = text(_PIECES[dialect].format(name=name)).bindparams(bindparam(name, type_=Text)).columns(*columns).cte(name)
    # Taken apart once; SQLite would do it again for every row that a piece finds.
    return table.prefix_with("MATERIALIZED")


def pieces_text(account_id: str, pieces: Iterable[Piece]) -> str:
    """The pieces as one parameter, with the account's id in each."""
    return orjson.dumps([(*each, account_id) for each in pieces]).decode()


def of_account(dialect: str, account_id: object, table: Any, pieces: CTE) -> ColumnElement[bool]:
    """The account's rows, which each piece looks up by an index. `account_id` may be a parameter.

    SQLite guesses, having no statistics: told the account by anything but the piece, it walks all of the account's rows
    and looks through the pieces for each. PostgreSQL has statistics, and estimates by the account itself.
    """
    of_piece: ColumnElement[bool] = table.account_id == pieces.c.account_id
    return of_piece if dialect == "sqlite" else of_piece & (table.account_id == account_id)
