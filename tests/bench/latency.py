"""Added latency at a fixed rate: calls begin on a schedule, whether or not earlier ones have ended."""

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.upstream.pool import UpstreamPool

CALLS_A_SECOND = 500
CALLS = 3_000
BODY = b'{"query":"' + b"a" * 1012 + b'"}'


@dataclass(frozen=True, slots=True)
class Latency:
    """In microseconds."""

    p50_us: float
    p99_us: float


async def added_latency(
    direct_port: int, gateways: Mapping[str, tuple[int, Path | None]], path: str
) -> dict[str, Latency]:
    """By gateway: its percentiles less those of the upstream itself, measured right before."""
    added = {}
    for name, (port, keys) in gateways.items():
        direct = await _latency(direct_port, _comparison_keys(), path)
        through = await _latency(port, keys.read_text().split() if keys else _comparison_keys(), path)
        added[name] = Latency(through.p50_us - direct.p50_us, through.p99_us - direct.p99_us)
    return added


def _comparison_keys() -> list[str]:
    return [f"sk-test-{number:032d}" for number in range(1, 101)]


async def _latency(port: int, keys: list[str], path: str) -> Latency:
    pool = UpstreamPool(f"http://127.0.0.1:{port}")
    took: list[float] = []

    async def call(number: int) -> None:
        headers = [
            (b"authorization", b"Bearer " + keys[number % len(keys)].encode()),
            (b"content-type", b"application/json"),
        ]
        begun = time.perf_counter()
        answer = await pool.send(b"POST", path.encode(), headers, BODY)
        while await answer.read():
            pass
        took.append(time.perf_counter() - begun)
        await answer.close()

    async with asyncio.TaskGroup() as calls:
        start = time.perf_counter()
        for number in range(CALLS):
            calls.create_task(call(number))
            await asyncio.sleep(max(0.0, start + (number + 1) / CALLS_A_SECOND - time.perf_counter()))
    await pool.aclose()
    cuts = statistics.quantiles(took[CALLS // 10 :], n=100)
    return Latency(cuts[49] * 1_000_000, cuts[98] * 1_000_000)
