"""What a script call costs this process, and an admission with its capture the server: µs of CPU, printed.

Run it as `python -m tests.bench.ledger_calls`; it starts a server of its own.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from gateway.ledger.connection import RedisConnection
from gateway.ledger.file_lock import try_lock
from gateway.ledger.ledger import Ledger
from gateway.ledger.scripts import load_scripts
from gateway.ledger.server_process import Probe, ServerProcess, probe
from tests.ledger.builders import DELIVERED, call_of, per_minute, terms_of

CALLERS = 32
CALLS = 1000


def server_cpu_s(pid: int) -> float:
    """User and system time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(what: str, pid: int, one: Callable[[int, int], Awaitable[object]]) -> None:
    async def caller(number: int) -> None:
        for turn in range(CALLS):
            await one(number, turn)

    ours, server, wall = time.process_time(), server_cpu_s(pid), time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    ours, server, wall = time.process_time() - ours, server_cpu_s(pid) - server, time.perf_counter() - wall
    per_call = 1_000_000 / CALLERS / CALLS
    print(f"{what}: client {ours * per_call:.1f}, server {server * per_call:.1f}, wall {wall * per_call:.1f} µs")


async def run(socket: Path, pid: int) -> None:
    connection = RedisConnection(f"unix://{socket}")
    await connection.open()
    ledger = Ledger(connection)
    terms = [terms_of(f"acc_{number}", granted=10**12) for number in range(CALLERS)]
    for each in terms:
        await ledger.load(each, {}, 0)
    script, key = load_scripts()["look"], "{s00}:follow"

    async def charge(number: int, turn: int) -> None:
        call = call_of(terms[number], f"req_{number}_{turn}", plan_limits=(per_minute(100_000),))
        await ledger.admit(call)
        await ledger.capture(call.hold_id, f"acc_{number}", cost_millicredits=1, cap=False, settlement=DELIVERED)

    await measure("one script call", pid, lambda _, __: connection.evalsha(script, [key], ["x" * 400, 0]))
    await measure("admit and capture", pid, charge)
    await connection.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="cgw-bench-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        held = try_lock(folder / "server.lock")
        assert held is not None
        server = ServerProcess.start(folder, folder / "valkey.sock", folder / "server.lock", held_lock=held)
        os.close(held)
        while probe(folder / "valkey.sock") is not Probe.READY:
            time.sleep(0.01)
        try:
            uvloop.run(run(folder / "valkey.sock", server.pid))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
