"""The Redis of a machine that has none: one Valkey server per data folder, shared by every process that uses it.

The first process to come takes the owner's lock, starts the server and supervises it; others join at its socket. When
the owner leaves or dies, one of those who watch takes the lock and starts the server again, on the same files and at
the same path. A command that finds no server starts one for itself and stops it when done.

Two locks, both freed by the kernel however a process ends: `owner.lock` is held by the owner; `server.lock` is held by
the server itself, who inherits it, so that two servers can never write the same append-only file.

It deliberately does not hand out connections, and knows no keys or scripts.
A process that forks while it owns the server would keep the lock alive in its child: use spawn.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import stat
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.ledger.file_lock import try_lock
from gateway.ledger.server_process import (
    EmbeddedServerError,
    Probe,
    ServerProcess,
    last_words,
    probe,
    sync_file,
)

POLL_S = 0.01
WATCH_INTERVAL_S = 0.05
RETRY_INTERVAL_S = 1.0
SYNC_EVERY_S = 1.0
ORPHAN_PATIENCE_S = 1.0  # Linux kills the server with its owner, but frees the owner's lock a moment earlier
START_TIMEOUT_S = 30.0  # without any answer
LOAD_TIMEOUT_S = 600.0  # while it says that it reads its file
SOCKET_PATH_LIMIT_BYTES = 100  # macOS allows 104, Linux 108

log = logging.getLogger(__name__)


class EmbeddedValkey:
    """Join the server of a data folder, or start it. Use as an async context manager, and keep `watch` running.

    Inside the context `socket_path` answers PING (apart from the moments after an owner's death, about 0.2 s, which
    `watch` in any process mends). `owner` tells whether this process supervises the server; it may become true later.
    Raises EmbeddedServerError where no server can be had.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.socket_path = _socket_path(self.data_dir)
        self._owner_lock_path = self.data_dir / "owner.lock"
        self._server_lock_path = self.data_dir / "server.lock"
        self._owner_lock: int | None = None
        self._server: ServerProcess | None = None
        self._closed = threading.Event()
        self._changing = (
            threading.Lock()
        )  # held while owner or server change: taking over and closing exclude each other

    @property
    def owner(self) -> bool:
        """Whether this process has the owner's lock."""
        return self._owner_lock is not None

    async def __aenter__(self) -> Self:
        """Return once the server answers."""
        try:
            await asyncio.to_thread(self._open)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._close))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The owner stops the server; those who watch start it again among themselves. A joiner just leaves."""
        await asyncio.shield(asyncio.to_thread(self._close))

    async def watch(self) -> None:
        """Until cancelled: take over from an owner that is gone, start again a server that died, sync its file.

        A start that fails is logged and tried again every second, for as long as it takes.
        """
        async with asyncio.TaskGroup() as work:
            work.create_task(self._keep_running())
            work.create_task(self._keep_synced())

    async def _keep_synced(self) -> None:
        """A power cut may cost what was written since the last second, as with the server's own `everysec`."""
        failing = False
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            if self._server is None:
                continue
            try:
                await asyncio.to_thread(sync_file, self.data_dir)
                failing = False
            except OSError as problem:
                if not failing:
                    log.error("the append-only file cannot be synced: %s", problem)  # noqa: TRY400 - no trace needed
                failing = True

    async def _keep_running(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            if not self._needs_attention():
                continue
            try:
                await asyncio.to_thread(self._ensure_server)
            except (EmbeddedServerError, OSError) as problem:
                log.error("embedded server cannot be started again: %s", problem)  # noqa: TRY400 - no trace needed
                await asyncio.sleep(RETRY_INTERVAL_S)

    def _needs_attention(self) -> bool:
        """Never blocks: a few system calls."""
        if not self._changing.acquire(blocking=False):
            return False
        try:
            if self._closed.is_set():
                return False
            if self._owner_lock is None:
                self._owner_lock = try_lock(self._owner_lock_path)
                return self._owner_lock is not None
            return self._server is None or self._server.is_gone()
        finally:
            self._changing.release()

    def _open(self) -> None:
        """Own or join, whichever is possible first."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_private(self.socket_path.parent, self.data_dir)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._closed.is_set():
            if self._needs_attention():
                self._ensure_server()
                return
            state = probe(self.socket_path)
            if state is Probe.READY:
                return
            if state is Probe.LOADING:
                deadline = time.monotonic() + START_TIMEOUT_S
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"another process owns the server of {self.data_dir}, but nothing answers at {self.socket_path}. "
                    "Stop that process (it holds owner.lock), or use another data folder."
                )
            self._closed.wait(POLL_S)

    def _ensure_server(self) -> None:
        """As the owner: make sure that exactly one server runs and answers."""
        with self._changing:
            self._server = None
            begun = time.monotonic()
            while not self._closed.is_set():
                if (held := try_lock(self._server_lock_path)) is not None:
                    try:
                        self._server = ServerProcess.start(
                            self.data_dir, self.socket_path, self._server_lock_path, held_lock=held
                        )
                    finally:
                        os.close(held)
                    self._wait_for_answer(self._server)
                    return
                # A server is still there: killed with its owner a moment ago, or left alive and then ours from now on.
                waited_s = time.monotonic() - begun
                if waited_s > ORPHAN_PATIENCE_S and probe(self.socket_path) is Probe.READY:
                    self._server = ServerProcess.adopt(self.socket_path, self._server_lock_path)
                    if self._server is not None:
                        return
                if waited_s > START_TIMEOUT_S:
                    raise EmbeddedServerError(
                        f"a server uses {self.data_dir} (it holds server.lock) but does not answer. Stop it first."
                    )
                self._closed.wait(POLL_S)

    def _wait_for_answer(self, server: ServerProcess) -> None:
        begun = time.monotonic()
        limit_s = START_TIMEOUT_S
        while (state := probe(self.socket_path)) is not Probe.READY and not self._closed.is_set():
            if state is Probe.LOADING:
                limit_s = LOAD_TIMEOUT_S
            if server.is_gone() or time.monotonic() - begun > limit_s:
                server.stop()
                raise EmbeddedServerError(f"the embedded server did not start:\n{last_words(self.data_dir)}")
            self._closed.wait(POLL_S)

    def _close(self) -> None:
        self._closed.set()
        with self._changing:
            if self._server is not None:
                self._server.stop()
                self._server = None
            if self._owner_lock is not None:
                os.close(self._owner_lock)
                self._owner_lock = None


def _socket_path(data_dir: Path) -> Path:
    """Inside the data folder; in a private folder of the temporary one where that name is too long for a socket."""
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT_BYTES:
        return path
    # Not TMPDIR if it can be helped: every process has to arrive at the same name.
    temporary = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())  # noqa: S108
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    return temporary / f"credit-gateway-{os.getuid()}-{name}" / "valkey.sock"


def _make_private(folder: Path, data_dir: Path) -> None:
    """Make the socket's folder where it is not the data folder; refuse one that somebody else has laid there."""
    if folder == data_dir:
        return
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedServerError(f"{folder} is not a private folder of this user; remove it, or move the data folder.")
