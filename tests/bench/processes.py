"""The processes of a benchmark round: pinned, waited for, measured from /proc, and ended."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
GATEWAY_CORE, OTHER_CORE = "0", "1"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            found += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return found


def cpu_us(pid: int) -> int:
    """User and system time of a process tree so far, in microseconds."""
    ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000_000 // TICKS_PER_S


def rss_bytes(pid: int) -> int:
    """Resident memory of a process tree."""
    pages = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * PAGE_BYTES


@contextlib.contextmanager
def running(
    core: str | None, command: Sequence[str], *, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A process, pinned to a core if one is given, once its port answers; ended with its children on leaving."""
    process = subprocess.Popen(
        command if core is None else ["/usr/bin/taskset", "-c", core, *command],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def stopped(pid: int | None) -> Iterator[None]:
    """A process that `running` began stands still, with its children. None: nothing does."""
    if pid is not None:
        os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if pid is not None:
            os.killpg(pid, signal.SIGCONT)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)  # another process's port: there is nothing to be told by
    raise SystemExit(f"nothing answers on port {port}: {process.args!r}")


def needed(*programs: str) -> None:
    """Stops with what to install where a program is missing."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing or not Path("/usr/lib/nginx/modules/ngx_http_lua_module.so").exists():
        sys.exit(f"the benchmark needs {', '.join(missing) or 'lua'}: apt-get install nginx libnginx-mod-http-lua wrk")
