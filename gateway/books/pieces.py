"""Many stretches of an account's time as one table, so that one statement looks each of them up by an index.

Knows neither what is looked up nor how time is cut.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    ColumnClause,
    ColumnElement,
    Text,
    bindparam,
    column,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

# However many pieces there are, they are one parameter.
_PIECES: Final = {
    "sqlite": (
        "SELECT json_extract(value, '$[0]') AS number, json_extract(value, '$[1]') AS start_ms, "
        "json_extract(value, '$[2]') AS end_ms, json_extract(value, '$[3]') AS sign, "
        "json_extract(value, '$[4]') AS account_id FROM json_each(:pieces)"
    ),
    "postgresql": (
        "SELECT CAST(value->>0 AS bigint) AS number, CAST(value->>1 AS bigint) AS start_ms, "
        "CAST(value->>2 AS bigint) AS end_ms, CAST(value->>3 AS bigint) AS sign, value->>4 AS account_id "
        "FROM jsonb_array_elements(CAST(CAST(:pieces AS text) AS jsonb))"
    ),
}


class Piece(NamedTuple):
    """A stretch of time that counts for a window, or against it (`sign` -1)."""

    number: int
    start_ms: int
    end_ms: int
    sign: int


def pieces_table(conn: AsyncConnection, name: str, account_id: str, pieces: Sequence[Piece]) -> CTE:
    """The pieces as a table of this name, with the account's id in each row."""
    columns: list[ColumnClause[Any]] = [column(each, BigInteger) for each in Piece._fields]
    columns.append(column("account_id", Text))
    rows = orjson.dumps([(*each, account_id) for each in pieces]).decode()
    given: BindParameter[str] = bindparam("pieces", rows, unique=True)
    table = text(_PIECES[conn.dialect.name]).bindparams(given).columns(*columns).cte(name)
    # Taken apart once; SQLite would do it again for every row that a piece finds.
    return table.prefix_with("MATERIALIZED")


def of_account(conn: AsyncConnection, account_id: str, table: Any, pieces: CTE) -> ColumnElement[bool]:
    """The account's rows, which each piece looks up by an index.

    SQLite guesses, having no statistics: told the account by anything but the piece, it walks all of the account's rows
    and looks through the pieces for each. PostgreSQL has statistics, and estimates by the account itself.
    """
    of_piece: ColumnElement[bool] = table.account_id == pieces.c.account_id
    return of_piece if conn.dialect.name == "sqlite" else of_piece & (table.account_id == account_id)
