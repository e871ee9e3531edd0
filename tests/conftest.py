"""Real stores for every test that asks: one Valkey and one PostgreSQL per session, started when first asked for.

What only some tests need is imported by their fixtures, so that the others start at once.
"""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
import redis

from gateway.ledger.file_lock import try_lock
from gateway.ledger.server_process import Probe, ServerProcess, probe
from tests.postgres import Postgres, running_postgres

# A loaded machine is slow now and then; that is no finding.
hypothesis.settings.register_profile("patient", deadline=None, print_blob=True)
hypothesis.settings.load_profile("patient")


@contextmanager
def running_valkey() -> Iterator[Path]:
    """The socket of a server like the embedded one."""
    with tempfile.TemporaryDirectory(prefix="cgw-valkey-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        held = try_lock(folder / "server.lock")
        assert held is not None
        server = ServerProcess.start(folder, folder / "valkey.sock", folder / "server.lock", held_lock=held)
        os.close(held)
        deadline = time.monotonic() + 30
        while probe(folder / "valkey.sock") is not Probe.READY:
            assert time.monotonic() < deadline, (folder / "valkey.log").read_text()
            time.sleep(0.01)
        yield folder / "valkey.sock"
        server.stop()


def valkey_start_s() -> float:
    """How long a server takes to start, on this machine and now: what a takeover by another process is measured by."""
    began_s = time.monotonic()
    with running_valkey():
        return time.monotonic() - began_s


@pytest.fixture(scope="session")
def valkey_socket() -> Iterator[Path]:
    """A server's socket. It is shared: see `redis_url` for an empty one."""
    with running_valkey() as socket:
        yield socket


@pytest.fixture
def redis_url(valkey_socket: Path) -> str:
    """A server with nothing in it, as `redis.url` would name it."""
    with redis.Redis(unix_socket_path=str(valkey_socket)) as client:
        client.flushall()
    return f"unix://{valkey_socket}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server, started when the first test asks for it."""
    with running_postgres() as server:
        yield server


@pytest.fixture
async def postgres_url(postgres: Postgres) -> AsyncIterator[str]:
    """An empty database of its own."""
    name = f"test_{uuid.uuid4().hex}"
    yield await postgres.create(name)
    await postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def books_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for books that do not exist yet, of either kind, one after the other."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'books.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every migration done and nothing booked."""
    from gateway.books.books import Books

    path = tmp_path_factory.mktemp("books") / "template.db"
    books = await Books.open(f"sqlite+aiosqlite:///{path}")
    await books.close()
    return path


@pytest.fixture(scope="session")
async def postgres_template(postgres: Postgres) -> str:
    """A database with every migration done and nothing booked."""
    from gateway.books.books import Books

    books = await Books.open(await postgres.create("template"))
    await books.close()
    return "template"


@pytest.fixture
async def postgres_copy_url(postgres: Postgres, postgres_template: str) -> AsyncIterator[str]:
    """A migrated database of its own."""
    name = f"test_{uuid.uuid4().hex}"
    yield await postgres.create(name, template=postgres_template)
    await postgres.drop(name)


@pytest.fixture(scope="session")
async def postgres_shared(postgres: Postgres, postgres_template: str) -> str:
    """The name of a migrated database that one test after the other uses."""
    await postgres.create("shared", template=postgres_template)
    return "shared"


@pytest.fixture
async def postgres_emptied_url(postgres: Postgres, postgres_shared: str) -> str:
    """A migrated database with nothing in it: emptying one is far quicker than copying one."""
    await postgres.empty(postgres_shared)
    return postgres.url(postgres_shared)


@pytest.fixture
def sqlite_copy_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated file of its own."""
    return f"sqlite+aiosqlite:///{shutil.copy(sqlite_template, tmp_path / 'books.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_books_url(request: pytest.FixtureRequest) -> str:
    """Books of either kind, one after the other, migrated already: for tests of anything but opening books."""
    url: str = request.getfixturevalue("sqlite_copy_url" if request.param == "sqlite" else "postgres_emptied_url")
    return url
