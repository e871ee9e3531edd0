"""Writing many rows by one statement that is put into words once for each store.

SQLAlchemy looks at each row's parameters anew, which costs more than the store's own work. Rows are tuples here, in the
order of the table's columns; nothing looks at their types. For what the relay books; all else is written one by one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import Upsert, upsert

Row = tuple[str | int | None, ...]


class Bulk:
    """An INSERT into a table of all its columns. `told` are those that the store fills in itself, the same for all.

    `settled` says what becomes of a row that is there already; without it that is an IntegrityError.
    """

    def __init__(
        self,
        table: Table,
        *,
        told: Mapping[str, ColumnElement[Any]] | None = None,
        settled: Callable[[Upsert], Upsert] = lambda insert: insert,
    ) -> None:
        self._table = table
        self._told = told or {}
        self._settled = settled
        self._words: dict[str, str] = {}

    async def write(self, conn: AsyncConnection, rows: Sequence[Row]) -> None:
        """Write the rows, which have every column but those told. IntegrityError."""
        if rows:
            words = self._words.get(conn.dialect.name) or self._compiled(conn)
            await conn.exec_driver_sql(words, list(rows))

    def _compiled(self, conn: AsyncConnection) -> str:
        given = [column.name for column in self._table.columns if column.name not in self._told]
        insert = self._settled(upsert(conn, self._table).values(dict(self._told)))
        dialect: Dialect = conn.dialect
        compiled: Any = insert.compile(dialect=dialect, column_keys=[*given, *self._told])
        if compiled.positiontup != given:
            raise ValueError(f"{self._table.name}: its words take {compiled.positiontup}, in place of {given}")
        self._words[dialect.name] = str(compiled)
        return str(compiled)


def adding_up(*names: str) -> Callable[[Upsert], Upsert]:
    """A row that is there already grows by the new one's sums in these columns."""

    def settled(insert: Upsert) -> Upsert:
        table, new = insert.table, insert.excluded
        return insert.on_conflict_do_update(
            index_elements=list(table.primary_key), set_={name: table.c[name] + new[name] for name in names}
        )

    return settled


def rows_of(sums: Mapping[tuple[Any, ...], Iterable[int]]) -> list[Row]:
    """Sums by the key of their row, as rows in the order of the keys: two relays never wait in a circle."""
    return [(*key, *sums[key]) for key in sorted(sums)]
