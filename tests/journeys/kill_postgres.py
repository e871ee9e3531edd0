"""The test's PostgreSQL server, killed and started again on its files."""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import asyncpg

from tests.postgres import NOBODY, Postgres

WITHIN_S = 20.0


class Postmaster:
    """The server process of a folder."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    async def of(cls, server: Postgres) -> "Postmaster":
        """The one that answers."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=server.port, user="postgres", database="postgres", ssl=False
        )
        try:
            return cls(Path(await connection.fetchval("SHOW data_directory")))
        finally:
            await connection.close()

    def kill(self) -> None:
        """Ends it with all its connections, as a power cut would; returns when it is gone. Blocks."""
        pid_file = self._data / "postmaster.pid"
        pid = int(pid_file.read_text().splitlines()[0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        if self._process is not None:
            self._process.wait(WITHIN_S)
        deadline = time.monotonic() + WITHIN_S
        while pid_file.exists():
            assert time.monotonic() < deadline, "PostgreSQL does not stop"
            time.sleep(0.01)

    def start(self) -> None:
        """Starts it again with the same options; it recovers from its log and then answers."""
        command = shlex.split((self._data / "postmaster.opts").read_text())
        root = os.getuid() == 0  # PostgreSQL refuses to run as root
        self._process = subprocess.Popen(
            command,
            cwd=self._data,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=NOBODY if root else None,
            group=NOBODY if root else None,
            extra_groups=[] if root else None,
        )
