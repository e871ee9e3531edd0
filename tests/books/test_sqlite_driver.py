"""SQLite in one trip a statement: the same rows and transactions as in four."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.books.sqlite_driver import Connection

NUMBERS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?) SELECT x FROM n"
A_SECOND = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) SELECT count(*) FROM n"


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    opened = await Connection(str(tmp_path / "one.db"), check_same_thread=False, isolation_level=None)
    assert isinstance(opened, Connection)
    await opened.cursor().execute("CREATE TABLE told (word TEXT PRIMARY KEY)")
    yield opened
    await opened.close()


async def _words(connection: Connection) -> list[str]:
    return [
        row[0] for row in await (await connection.cursor().execute("SELECT word FROM told ORDER BY word")).fetchall()
    ]


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 2_500])
async def test_every_row_comes_once_however_it_is_fetched(connection: Connection, count: int) -> None:
    wanted = [(number,) for number in range(1, count + 1)] or [(1,)]
    query = (NUMBERS, (count,))
    assert await (await connection.cursor().execute(*query)).fetchall() == wanted
    cursor, piece_by_piece = await connection.cursor().execute(*query), []
    while rows := await cursor.fetchmany(300):
        piece_by_piece += rows
    assert piece_by_piece == wanted
    cursor, one_by_one = await connection.cursor().execute(*query), []
    while (row := await cursor.fetchone()) is not None:
        one_by_one.append(row)
    assert one_by_one == wanted


async def test_a_result_that_is_let_go_holds_no_snapshot(connection: Connection) -> None:
    cursor = await connection.cursor().execute(NUMBERS, (5_000,))
    await cursor.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await cursor.fetchall()


async def test_a_transaction_begins_with_its_first_statement_and_not_again_after_its_failure(
    connection: Connection,
) -> None:
    connection.begin_with_next("BEGIN")
    begun = [connection.in_transaction]
    await connection.cursor().execute("INSERT INTO told VALUES ('one')")
    assert [*begun, connection.in_transaction] == [False, True]
    with pytest.raises(sqlite3.IntegrityError):
        await connection.cursor().execute("INSERT INTO told VALUES ('one')")
    await connection.cursor().executemany("INSERT INTO told VALUES (?)", [("two",), ("three",)])
    await connection.rollback()
    assert await _words(connection) == []


async def test_a_statement_whose_caller_was_cancelled_is_undone_with_its_transaction(connection: Connection) -> None:
    connection.begin_with_next("BEGIN IMMEDIATE")
    slow = asyncio.create_task(connection.cursor().execute(A_SECOND))
    await asyncio.sleep(0)
    late = asyncio.create_task(connection.cursor().execute("INSERT INTO told VALUES ('one')"))
    await asyncio.sleep(0)
    slow.cancel()
    late.cancel()
    await asyncio.gather(slow, late, return_exceptions=True)
    await connection.rollback()
    assert not connection.in_transaction
    assert await _words(connection) == []


async def test_what_is_committed_stays(connection: Connection) -> None:
    connection.begin_with_next("BEGIN IMMEDIATE")
    await connection.cursor().execute("INSERT INTO told VALUES ('one')")
    await connection.commit()
    await connection.rollback()
    assert await _words(connection) == ["one"]
