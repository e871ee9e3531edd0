"""Measures the gateway against nginx + Lua + Redis doing the same work, interleaved in one run, as ratios.

    python3 dev.py bench [--rounds 4] [--seconds 5] [--connections 64]
    python3 dev.py bench volume|closing …     every page over many events, and closing months
    python3 dev.py bench cold|backlog …       what accounts not seen before cost, and how fast usage is booked

CPU per call is the user and system time of the gateway's process tree over the calls of a round; the gateway alone is
on core 0, load, upstream and Redis are on core 1. Absolute figures of a shared machine say little: read the ratios.
Booking stands still during a round and makes up for it afterwards, so that what Redis does for it is told apart.
A Python built without profile-guided optimization, pyenv's for one, takes an eighth more than a distribution's.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.ledger.server_process import find_binary
from tests.bench import backlog, closing, cold, volume
from tests.bench.accounts import make_keys
from tests.bench.latency import Latency, added_latency
from tests.bench.processes import (
    GATEWAY_CORE,
    OTHER_CORE,
    cpu_us,
    free_port,
    needed,
    rss_bytes,
    running,
    stopped,
)
from tests.bench.redis_info import redis_cpu_us, until_booked

HERE = Path(__file__).resolve().parent
COMPARISON = HERE / "comparison"
PATH = "/api/v1/pipelines/x/retrieve"
SLOW_CALLS = 500


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a running gateway, or the upstream itself."""

    name: str
    port: int
    pid: int
    keys: Path | None
    booking_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One subject in one round, a call. `booking_us` is of Redis as well: for booking what was used."""

    cpu_us: float
    redis_us: float
    booking_us: float
    p50_us: int
    p99_us: int
    calls_a_second: float


def wrk(subject: Subject, seconds: int, connections: int) -> dict[str, int]:
    """Load on one subject from core 1. Stops where a call was not answered with 2xx: the figure would mean nothing."""
    environment = {**os.environ, "P": PATH, **({"KEYS": str(subject.keys)} if subject.keys else {})}
    command = ["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s"]
    command += [str(COMPARISON / "load.lua"), f"http://127.0.0.1:{subject.port}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("JSON "))
    result: dict[str, int] = json.loads(line[5:])
    if result["non2xx"] or result["errors"]:
        sys.exit(f"{subject.name}: {result['non2xx']} replies were not 2xx, {result['errors']} calls failed")
    return result


def measure(subject: Subject, redis_port: int, seconds: int, connections: int) -> Round:
    """One round of load, and then of booking."""
    with stopped(subject.booking_pid):
        cpu_before, redis_before = cpu_us(subject.pid), redis_cpu_us(redis_port)
        result = wrk(subject, seconds, connections)
        cpu_after, redis_after = cpu_us(subject.pid), redis_cpu_us(redis_port)
    if subject.booking_pid is not None:
        until_booked(redis_port)
    calls = result["requests"]
    return Round(
        cpu_us=(cpu_after - cpu_before) / calls,
        redis_us=(redis_after - redis_before) / calls,
        booking_us=(redis_cpu_us(redis_port) - redis_after) / calls,
        p50_us=result["p50_us"],
        p99_us=result["p99_us"],
        calls_a_second=calls * 1_000_000 / result["us"],
    )


@contextmanager
def everything(folder: Path) -> Iterator[tuple[int, Subject, Subject, Subject]]:
    """Redis, upstream and both gateways, running."""
    redis_port, upstream_port, nginx_port, port, admin_port = (free_port() for _ in range(5))
    upstream = f"127.0.0.1:{upstream_port}"
    with ExitStack() as stack:
        stack.enter_context(
            running(
                OTHER_CORE,
                [
                    str(find_binary()),
                    "--port",
                    str(redis_port),
                    "--save",
                    "",
                    "--appendonly",
                    "yes",
                    "--dir",
                    str(folder),
                    "--maxmemory-policy",
                    "noeviction",
                ],
                port=redis_port,
            )
        )
        compared = [sys.executable, str(COMPARISON / "nginx_gateway.py")]
        direct_pid = stack.enter_context(
            running(OTHER_CORE, [*compared, "upstream", "--port", str(upstream_port)], port=upstream_port)
        )
        nginx_pid = stack.enter_context(
            running(
                GATEWAY_CORE,
                [
                    *compared,
                    "gateway",
                    "--port",
                    str(nginx_port),
                    "--upstream",
                    upstream,
                    "--redis-port",
                    str(redis_port),
                ],
                port=nginx_port,
            )
        )
        environment = {
            "GATEWAY_PORT": str(port),
            "GATEWAY_ADMIN_PORT": str(admin_port),
            "GATEWAY_DATA": str(folder / "data"),
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}",
            "INDEX_URL": f"http://{upstream}",
        }
        config = str(HERE / "config" / "gateway.yaml")
        keys = folder / "keys"
        keys.write_text("\n".join(asyncio.run(make_keys(Path(config), {**os.environ, **environment}))))
        serve = [sys.executable, "-m", "gateway", "serve", "--no-background", "--config", config]
        pid = stack.enter_context(running(GATEWAY_CORE, serve, port=port, environment=environment))
        # Booking is no part of a call, and of the comparison neither: it is done by another process on the other core.
        booking = [sys.executable, "-m", "gateway", "background", "--config", config]
        booking_pid = stack.enter_context(running(OTHER_CORE, booking, port=port, environment=environment))
        yield (
            redis_port,
            Subject("direct", upstream_port, direct_pid, None),
            Subject("nginx + Lua", nginx_port, nginx_pid, None),
            Subject("Credit Gateway", port, pid, keys, booking_pid),
        )


def memory_per_slow_call(subject: Subject) -> float:
    """Bytes of memory for each call that waits for its upstream."""
    before = rss_bytes(subject.pid)
    command = ["taskset", "-c", OTHER_CORE, "wrk", "-t1", f"-c{SLOW_CALLS}", "-d4s", "--timeout", "30s", "-s"]
    command += [str(COMPARISON / "load.lua"), f"http://127.0.0.1:{subject.port}"]
    environment = {**os.environ, "P": "/slow", **({"KEYS": str(subject.keys)} if subject.keys else {})}
    load = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    most = before
    while load.poll() is None:
        most = max(most, rss_bytes(subject.pid))
        with suppress(subprocess.TimeoutExpired):
            load.wait(0.2)
    return (most - before) / SLOW_CALLS


def main() -> None:
    """Runs the rounds and prints the table; or the other measurement that is named."""
    if other := {"volume": volume, "closing": closing, "cold": cold, "backlog": backlog}.get("".join(sys.argv[1:2])):
        return other.main(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    chosen = parser.parse_args()
    needed("nginx", "wrk", "taskset")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, everything(Path(folder)) as (redis_port, *subjects):
        direct, *gateways = subjects
        for subject in gateways:
            wrk(subject, 2, chosen.connections)
        rounds: dict[str, list[Round]] = {subject.name: [] for subject in gateways}
        for number in range(chosen.rounds):
            for subject in gateways:
                one = measure(subject, redis_port, chosen.seconds, chosen.connections)
                rounds[subject.name].append(one)
                print(
                    f"round {number + 1}  {subject.name:<15} {one.cpu_us:7.1f} µs CPU  {one.redis_us:6.1f} µs Redis  "
                    f"{one.calls_a_second:7.0f} calls/s  p50 {one.p50_us} µs  p99 {one.p99_us} µs",
                    flush=True,
                )
        latencies = asyncio.run(added_latency(direct.port, {s.name: (s.port, s.keys) for s in gateways}, PATH))
        memory = {subject.name: memory_per_slow_call(subject) for subject in gateways}
    report(rounds, latencies, memory)
    return None


def report(rounds: dict[str, list[Round]], latencies: dict[str, Latency], memory: dict[str, float]) -> None:
    """Medians over the rounds, and ours over theirs."""
    theirs, ours = (
        {
            "CPU of the gateway, µs a call": statistics.median(one.cpu_us for one in rounds[name]),
            "CPU of Redis, µs a call": statistics.median(one.redis_us for one in rounds[name]),
            "CPU of Redis for booking, µs a call": statistics.median(one.booking_us for one in rounds[name]),
            "added latency at 500 calls/s, p50, µs": latencies[name].p50_us,
            "added latency at 500 calls/s, p99, µs": latencies[name].p99_us,
            "memory of a call in flight, kB": memory[name] / 1000,
        }
        for name in ("nginx + Lua", "Credit Gateway")
    )
    print(f"\n{'':<40}{'nginx + Lua':>14}{'Credit Gateway':>16}{'ratio':>8}")
    for what, their in theirs.items():
        ratio = f"{ours[what] / their:8.2f}" if their >= 1 else "     n/a"
        print(f"{what:<40}{their:>14.1f}{ours[what]:>16.1f}{ratio}")


if __name__ == "__main__":
    main()
