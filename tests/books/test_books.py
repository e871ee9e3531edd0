"""Opening, migrating, transactions, and what is said when the books are away."""

import asyncio
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from gateway.books import meta, migrate, usage
from gateway.books.address import address
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.books.tables import metadata, usage_daily_by_mode, usage_hourly, usage_hourly_by_mode
from gateway.domain.hold import Ending
from tests.made_up import NOON_MS, event

OPEN = "import asyncio, sys; from gateway.books.books import Books; asyncio.run(Books.open(sys.argv[1]))"


async def test_the_migrations_make_the_tables_that_the_code_knows(books: Books) -> None:
    def compare(conn: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(conn, opts={"compare_type": True}), metadata))

    async with books.begin() as conn:
        assert await conn.run_sync(compare) == []


def test_the_newest_migration_is_the_one_the_code_waits_for() -> None:
    folder = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert folder.get_heads() == [migrate.HEAD]


async def test_rollups_that_came_later_are_put_together_from_what_is_booked(books: Books) -> None:
    async with books.begin() as conn:
        events = [
            event(
                f"acc_{number % 3}", number, admitted_at_ms=NOON_MS + number * 407_111, units=number % 5, ending=ending
            )
            for number, ending in enumerate(list(Ending) * 12)
        ]
        await usage.book(conn, events)
        rollups = (usage_hourly, usage_hourly_by_mode, usage_daily_by_mode)
        booked = [sorted(map(tuple, await conn.execute(select(rollup)))) for rollup in rollups]
        for rollup in rollups[1:]:
            await conn.execute(text(f"DROP TABLE {rollup}"))
        await conn.execute(text("DROP INDEX ix_closed_events_closing_id_event_id"))
        await conn.execute(text("CREATE INDEX ix_closed_events_closing_id ON closed_events (closing_id)"))
        await conn.execute(text("UPDATE alembic_version SET version_num = '0016'"))
        await conn.run_sync(migrate.migrate)
        assert [sorted(map(tuple, await conn.execute(select(rollup)))) for rollup in rollups] == booked


async def test_processes_that_start_at_once_migrate_once(books_url: str) -> None:
    starts = [await asyncio.create_subprocess_exec(sys.executable, "-c", OPEN, books_url) for _ in range(3)]
    assert await asyncio.gather(*(start.wait() for start in starts)) == [0, 0, 0]
    books = await Books.open(books_url, read_only=True)
    await books.ping()
    await books.close()


async def test_books_of_a_newer_version_are_left_alone(books_url: str) -> None:
    books = await Books.open(books_url)
    async with books.begin() as conn:
        await conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await books.close()
    with pytest.raises(BooksUnavailable, match="install a newer gateway"):
        await Books.open(books_url)


async def test_closed_books_open_no_connection_for_whoever_comes_too_late(migrated_books_url: str) -> None:
    books = await Books.open(migrated_books_url)
    await books.close()
    with pytest.raises(BooksUnavailable, match="closed"):
        await books.ping()
    with pytest.raises(BooksUnavailable, match="closed"):
        async with books.begin():
            pass


async def test_an_exception_undoes_the_whole_transaction(books: Books) -> None:
    async def fail_halfway() -> None:
        async with books.begin() as conn:
            await meta.decide(conn, "shards", "64")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_halfway()
    async with books.read() as conn:
        assert await meta.get(conn, "shards") is None


async def test_a_reader_sees_one_moment_and_waits_for_no_writer(books: Books) -> None:
    async with books.read() as reader:
        assert await meta.get(reader, "shards") is None
        async with books.begin() as writer:
            await meta.decide(writer, "shards", "64")
        assert await meta.get(reader, "shards") is None
    async with books.read() as reader:
        assert await meta.get(reader, "shards") == "64"


async def test_what_joins_a_transaction_sees_it_and_is_undone_with_it(books: Books) -> None:
    async def write() -> None:
        async with books.begin() as conn:
            with books.joined(conn):
                async with books.begin() as same:
                    await meta.decide(same, "shards", "64")
                async with books.read() as same:
                    assert await meta.get(same, "shards") == "64"
            async with books.read() as another:
                assert await meta.get(another, "shards") is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write()
    async with books.read() as conn:
        assert await meta.get(conn, "shards") is None


async def test_writers_take_turns(books: Books) -> None:
    async def raise_once() -> None:
        async with books.begin() as conn:
            await meta.raise_epoch(conn)

    async with books.begin() as conn:
        assert await meta.decide_shards(conn, 64) == 64
        assert await meta.decide_shards(conn, 128) == 64
        await meta.decide(conn, meta.EPOCH, "1")
    if books._is_sqlite:
        await asyncio.gather(*(raise_once() for _ in range(5)))
        async with books.read() as conn:
            assert (await conn.execute(select(meta.epoch()))).scalar_one() == 6


async def test_a_cancelled_transaction_leaves_nothing_and_harms_no_other(books: Books) -> None:
    inside = asyncio.Event()

    async def hang() -> None:
        async with books.begin() as conn:
            await meta.decide(conn, "shards", "1")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with books.begin() as conn:
        assert await meta.decide_shards(conn, 64) == 64


async def test_read_only_books_are_neither_made_nor_written(
    tmp_path: Path, books: Books, migrated_books_url: str
) -> None:
    with pytest.raises(BooksUnavailable, match="no file"):
        await Books.open(f"sqlite:///{tmp_path}/none.db", read_only=True)
    reading = await Books.open(migrated_books_url, read_only=True)
    with pytest.raises(BooksUnavailable, match="read only"):
        async with reading.begin():
            pass
    await reading.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://postgres@127.0.0.1:1/none", "127.0.0.1"),
        ("mysql://localhost/books", "'mysql'"),
        ("sqlite://", "must name a file"),
        ("not a url", "not a URL"),
        ("sqlite:////proc/none/books.db", "/proc/none"),
    ],
)
async def test_books_that_cannot_be_opened_say_why(url: str, why: str) -> None:
    with pytest.raises(BooksUnavailable, match=why):
        await Books.open(url)


async def test_a_database_that_does_not_exist_is_said_plainly(postgres_url: str) -> None:
    with pytest.raises(BooksUnavailable, match="does not exist"):
        await Books.open(postgres_url + "_none")


async def test_a_file_that_is_no_database_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "books.db").write_text("something else entirely" * 100)
    with pytest.raises(BooksUnavailable, match="not a database"):
        await Books.open(f"sqlite:///{tmp_path}/books.db")


def test_urls_as_operators_write_them_reach_the_drivers() -> None:
    assert address("sqlite:///x.db").drivername == "sqlite+aiosqlite"
    assert address("postgres://u:p@h/d").drivername == "postgresql+asyncpg"
    url = address("postgresql://u:p@h/d?sslmode=require&channel_binding=require")
    assert dict(url.query) == {"ssl": "require"}


async def test_sqlite_syncs_every_commit_and_checks_its_keys(tmp_path: Path) -> None:
    books = await Books.open(f"sqlite:///{tmp_path}/books.db")
    async with books.read() as conn:
        pragmas = [
            (await conn.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    await books.close()
    assert pragmas == ["wal", 2, 1, 10_000]


async def test_a_transaction_cut_off_by_the_server_says_so_and_the_next_one_works(postgres_copy_url: str) -> None:
    books = await Books.open(postgres_copy_url)
    killer = await Books.open(postgres_copy_url)

    async def work() -> None:
        async with books.begin() as conn:
            pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            async with killer.read() as other:
                await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            await meta.decide(conn, "shards", "1")

    with pytest.raises(BooksUnavailable):
        await work()
    async with books.begin() as conn:
        assert await meta.decide_shards(conn, 64) == 64
    await books.close()
    await killer.close()


@pytest.mark.parametrize("rested_s", [0, 60])
async def test_connections_that_the_server_closed_while_they_rested_cost_no_call(
    postgres_copy_url: str, monkeypatch: pytest.MonkeyPatch, rested_s: int
) -> None:
    monkeypatch.setattr("gateway.books.books._ASKED_AFTER_S", 5 - rested_s)
    books, killer = await Books.open(postgres_copy_url), await Books.open(postgres_copy_url)
    async with books.read() as one, books.read() as other:
        pids = [(await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one() for conn in (one, other)]
    async with killer.begin() as conn:
        for pid in pids:
            assert (await conn.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})).scalar_one()
    for _ in pids:
        await books.ping()
    await books.close()
    await killer.close()


async def test_a_lock_that_is_not_let_go_is_no_wait_for_ever(
    sqlite_copy_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.books.books._BUSY_TIMEOUT_S", 0.05)
    holder, waiter = await Books.open(sqlite_copy_url), await Books.open(sqlite_copy_url)
    async with holder.begin() as conn:
        await meta.decide(conn, "shards", "64")
        with pytest.raises(BooksUnavailable, match="locked"):
            async with waiter.begin():
                pass
    async with waiter.begin() as conn:
        assert await meta.decide_shards(conn, 128) == 64
    await holder.close()
    await waiter.close()


async def test_a_full_disk_is_said_and_loses_nothing(sqlite_copy_url: str) -> None:
    books = await Books.open(sqlite_copy_url)

    async def fill(size: int) -> None:
        async with books.begin() as conn:
            pages = (await conn.execute(text("PRAGMA page_count"))).scalar_one()
            await conn.execute(text(f"PRAGMA max_page_count = {pages + size}"))
            await meta.decide(conn, f"filler-{size}", "x" * 100_000)

    with pytest.raises(BooksUnavailable, match="full"):
        await fill(1)
    await fill(1000)
    async with books.read() as conn:
        assert await meta.get(conn, "filler-1") is None
        assert (await conn.execute(text("PRAGMA integrity_check"))).scalar_one() == "ok"
    await books.close()
