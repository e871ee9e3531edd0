"""SQLite for the event loop, with one trip to the connection's thread for each statement.

aiosqlite makes four: for a cursor, for the statement, for its rows, for the cursor's end; a trip costs more than most
of our queries. A transaction that only reads begins with its first statement, in the same trip. Knows no table.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

import aiosqlite

# So many rows come along with their statement; of a longer result the rest is fetched as it is asked for.
_ALONG: Final = 1_000


class _Transaction:
    """One that is to begin. Once it has, it does not begin again: what follows its end must not stand alone."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.begun = False


class _Cursor(aiosqlite.Cursor):
    def __init__(self, connection: "Connection", cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self._connection = connection
        self._rows: list[Any] = []
        self._has_more = False

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> "_Cursor":
        """Run the statement, and take the rows that come along."""
        values = () if parameters is None else parameters
        self._rows = await self._connection.run(partial(_fetched, self._cursor, sql, values))
        self._has_more = len(self._rows) == _ALONG
        return self

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> "_Cursor":
        """Run the statement for each of the parameters."""
        await self._connection.run(partial(self._cursor.executemany, sql, parameters))
        return self

    async def fetchall(self) -> list[Any]:
        """All that was not fetched yet."""
        rows, self._rows = self._rows, []
        return [*rows, *await super().fetchall()] if self._has_more else rows

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows, at most `size`."""
        if not self._rows and self._has_more:
            self._rows = list(await super().fetchmany(_ALONG))
            self._has_more = len(self._rows) == _ALONG
        count = self.arraysize if size is None else size
        taken, self._rows = self._rows[:count], self._rows[count:]
        return taken

    async def fetchone(self) -> Any:
        """The next row; None where there is none."""
        return next(iter(await self.fetchmany(1)), None)

    async def close(self) -> None:
        """Let go of a result that was not read to its end; one that was holds nothing."""
        if self._has_more:
            await super().close()


class Connection(aiosqlite.Connection):
    """As aiosqlite's, in fewer trips. It never begins a transaction by itself."""

    def __init__(self, file: str, **options: Any) -> None:
        super().__init__(partial(sqlite3.connect, file, **options), iter_chunk_size=_ALONG)
        # A process that ends without closing its books does not wait for this thread.
        self._thread.daemon = True
        self._next: _Transaction | None = None
        self._at_rest = True

    def begin_with_next(self, words: str) -> None:
        """Let the next statement begin a transaction with these words."""
        self._next = _Transaction(words)

    def cursor(self) -> _Cursor:  # type: ignore[override] # it needs no trip, so there is nothing to wait for
        """A cursor for one statement."""
        return _Cursor(self, self._conn.cursor())

    async def run(self, statement: Callable[[], Any]) -> Any:
        """What the statement gives, run in the connection's thread."""
        self._at_rest = False
        # A trip goes on when its caller is cancelled: it keeps to the transaction it set out with.
        trip: Awaitable[Any] = self._execute(_in_transaction, self._conn, self._next, statement)  # type: ignore[no-untyped-call]
        return await trip

    async def commit(self) -> None:
        """End the transaction; no trip where there is none."""
        if not self._at_rest:
            await super().commit()
        self._next, self._at_rest = None, True

    async def rollback(self) -> None:
        """Undo the transaction; no trip where there is none."""
        if not self._at_rest:
            await super().rollback()
        self._next, self._at_rest = None, True


def _in_transaction(
    connection: sqlite3.Connection, transaction: _Transaction | None, statement: Callable[[], Any]
) -> Any:
    if transaction is not None and not transaction.begun:
        connection.execute(transaction.words)
        transaction.begun = True
    return statement()


def _fetched(cursor: sqlite3.Cursor, sql: str, values: Any) -> list[Any]:
    cursor.execute(sql, values)
    return cursor.fetchmany(_ALONG)
