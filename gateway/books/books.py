"""The connection to the books: opens, migrates, hands out transactions, says when the store is away.

SQLite and PostgreSQL behind the same few methods. Knows no table; what is read and written in a transaction is for
the modules beside this one.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from gateway.books import sqlite_driver
from gateway.books.address import address, sqlite_file
from gateway.books.faults import BooksUnavailable
from gateway.books.migrate import is_current, migrate

_BUSY_TIMEOUT_S: Final = 10
_CONNECT_TIMEOUT_S: Final = 5
_COMMAND_TIMEOUT_S: Final = 30
# Whether a connection that rested so long is still there is asked before it is used.
_ASKED_AFTER_S: Final = 5
# "cgwbooks" in ASCII: the advisory lock under which PostgreSQL books are migrated.
_MIGRATION_LOCK: Final = 0x636777626F6F6B73
# The store is away, full, shutting down, locked or asks to be tried again; anything else is our own mistake.
_AWAY_SQLSTATES: Final = ("08", "28", "3D", "40", "53", "55P03", "57", "58", "XX")
_AWAY_SQLITE: Final = ("locked", "busy", "disk", "unable to open", "readonly", "full", "not a database", "malformed")
# What a writing transaction is surrounded by: entered as it begins, left before it is committed.
Around = Callable[[AsyncConnection], contextlib.AbstractAsyncContextManager[None]]
_AROUND: Final[ContextVar[tuple[Around, ...]]] = ContextVar("around", default=())
_JOINED: Final[ContextVar[AsyncConnection | None]] = ContextVar("joined", default=None)


class Books:
    """Open books. One per process; close it before its event loop ends."""

    def __init__(self, engine: AsyncEngine, *, read_only: bool) -> None:
        self._engine = engine
        self._read_only = read_only
        self._is_sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer at a time: here it queues without polling, between processes by busy_timeout.
        self._writing = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open(cls, url: str, *, read_only: bool = False) -> Self:
        """Connect, make or migrate the tables (not when `read_only`). BooksUnavailable says what is wrong."""
        where = address(url)
        file = sqlite_file(where)
        if file is not None:
            if read_only and not file.exists():
                raise BooksUnavailable(f"there is no file {file}")
            try:
                await asyncio.to_thread(file.parent.mkdir, parents=True, exist_ok=True)
            except OSError as error:
                raise BooksUnavailable(f"{file.parent}: {error.strerror}") from error
        books = cls(_sqlite_engine(where) if file is not None else _postgresql_engine(where), read_only=read_only)
        try:
            await books._check_tables()
        except BaseException:
            await books.close()
            raise
        return books

    async def close(self) -> None:
        """Close every connection, and open none for whoever comes too late."""
        self._closed = True
        await self._engine.dispose()

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """One writing transaction, committed at the end of the block, undone by any exception."""
        self._must_be_open()
        if (joined := _JOINED.get()) is not None:
            yield joined
            return
        if self._read_only:
            raise BooksUnavailable("they were opened to be read only")
        async with contextlib.AsyncExitStack() as stack:
            if self._is_sqlite:
                await stack.enter_async_context(self._writing)
            stack.enter_context(_translated())
            conn = await stack.enter_async_context(self._engine.begin())
            for around in _AROUND.get():
                await stack.enter_async_context(around(conn))
            yield conn

    @contextlib.contextmanager
    def surrounded(self, around: Around) -> Iterator[None]:
        """Every writing transaction within the block, and of tasks that start there, has this around what it does."""
        token = _AROUND.set((*_AROUND.get(), around))
        try:
            yield
        finally:
            _AROUND.reset(token)

    @contextlib.contextmanager
    def joined(self, conn: AsyncConnection) -> Iterator[None]:
        """Whatever is read and written within the block is in this transaction, and sees what it has not committed.

        One question at a time: a connection takes no more.
        """
        token = _JOINED.set(conn)
        try:
            yield
        finally:
            _JOINED.reset(token)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One reading transaction that sees a single moment and waits for no writer."""
        self._must_be_open()
        if (joined := _JOINED.get()) is not None:
            yield joined
            return
        options: dict[str, Any] = {"reads_only": True}
        if not self._is_sqlite:
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with _translated():
            async with self._engine.connect() as conn:
                await conn.execution_options(**options)
                async with conn.begin():
                    yield conn

    async def ping(self) -> None:
        """BooksUnavailable where a reading round trip fails."""
        async with self.read() as conn:
            await conn.execute(text("SELECT 1"))

    def _must_be_open(self) -> None:
        if self._closed:
            raise BooksUnavailable("they are closed")

    async def _check_tables(self) -> None:
        async with self.read() as conn:
            current = await conn.run_sync(is_current)
        if current:
            return
        if self._read_only:
            raise BooksUnavailable("their tables are missing or old; start the gateway once to make them")
        async with self.begin() as conn:
            if not self._is_sqlite:
                await conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            await conn.run_sync(migrate)


def _sqlite_engine(where: URL) -> AsyncEngine:
    options = {"timeout": _BUSY_TIMEOUT_S, "async_creator_fn": sqlite_driver.Connection}
    engine = create_async_engine(where, connect_args=options, pool_size=4, max_overflow=4)

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver must not begin transactions by itself: it would begin them as readers.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            # NORMAL may lose the last commits in a power cut after Redis was told that they are booked.
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-16384",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        if connection.get_execution_options().get("reads_only", False):
            connection.connection.driver_connection.begin_with_next("BEGIN")
        else:
            # IMMEDIATE waits its turn at the start; a reader that turns writer halfway would fail instead.
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgresql_engine(where: URL) -> AsyncEngine:
    engine = create_async_engine(
        where,
        pool_size=5,
        max_overflow=5,
        pool_timeout=_CONNECT_TIMEOUT_S,
        connect_args={
            "timeout": _CONNECT_TIMEOUT_S,
            "command_timeout": _COMMAND_TIMEOUT_S,
            "server_settings": {
                "application_name": "credit-gateway",
                "jit": "off",
                # It learns which part of an account's rows is wanted only as it is asked, and expects a ninth of all of
                # them. For that it would start processes to help with what takes a millisecond, or read everybody's.
                "max_parallel_workers_per_gather": "0",
                "enable_seqscan": "off",
                # A server that answers before it has written would lose what Redis was told is booked.
                "synchronous_commit": "on",
            },
        },
    )

    @event.listens_for(engine.sync_engine, "checkin")
    def _rested(_connection: Any, record: Any) -> None:
        record.info["rests_since_s"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def _still_there(connection: Any, record: Any, _proxy: Any) -> None:
        # A server that went away has said so. To ask takes three round trips: only after a while.
        rested_s = time.monotonic() - record.info.get("rests_since_s", time.monotonic())
        if not connection.driver_connection.is_closed():
            if rested_s < _ASKED_AFTER_S:
                return
            with contextlib.suppress(engine.dialect.loaded_dbapi.Error):
                connection.ping()
                return
        raise InvalidatePoolError

    return engine


@contextlib.contextmanager
def _translated() -> Any:
    """Foreign errors of a store that is away become BooksUnavailable; all others pass."""
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or _is_away(error):
            raise BooksUnavailable(str(error.orig).strip().splitlines()[0]) from error
        raise
    except PoolTimeout as error:
        raise BooksUnavailable("all connections are busy") from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BooksUnavailable(str(error) or type(error).__name__) from error


def _is_away(error: DBAPIError) -> bool:
    orig = getattr(error, "orig", None)
    state = getattr(orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_AWAY_SQLSTATES)
    words = str(orig).lower()
    return not isinstance(error, IntegrityError) and any(word in words for word in _AWAY_SQLITE)
