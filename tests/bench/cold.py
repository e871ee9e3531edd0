"""Measures accounts that a process, or Redis, has not seen: what one costs, and what calls of others wait for a crowd.

    python3 dev.py bench cold [--store postgresql] [--accounts 1000] [--rate 250]

CPU is this process's, in milliseconds an account: the figure to trust on a busy machine.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import uvloop

from gateway.configuration import load
from gateway.flows.admit import Admission, Allowed, Asked
from gateway.flows.authenticate import Directory
from gateway.ledger.faults import StoreUnavailable
from gateway.stores import Stores, open_stores
from tests.bench.accounts import keys_in
from tests.bench.volume import place

CONFIG = Path(__file__).resolve().parent / "config" / "gateway.yaml"
WARM = 20
CROWDS = (100, 1_000)
SECONDS = 4
_hold_ids = count()


class Process:
    """What one gateway process knows of the stores: nothing, at first."""

    def __init__(self, stores: Stores) -> None:
        self._route = stores.current.catalog.routes.routes[0]
        self.directory = Directory(
            books=stores.books, terms_of=stores.billing.terms_of, pepper=stores.pepper, clock=stores.clock
        )
        self._admission = Admission(
            stores.ledger, self.directory, load=stores.rebuild, plans=stores.current.plans, clock=stores.clock
        )

    async def call(self, secret: str) -> None:
        """From the key to the admission; again where a busy machine kept Redis from answering in time."""
        while True:
            caller = await self.directory.find(secret.encode())
            assert caller is not None
            with suppress(StoreUnavailable):
                allowed = await self._admission.admit(caller, Asked(f"req_{next(_hold_ids)}", self._route))
                assert isinstance(allowed, Allowed)
                return


async def each(what: str, secrets: list[str], ask: Callable[[str], Awaitable[object]]) -> None:
    """Print what asking for one after the other costs."""
    cpu, wall = time.process_time(), time.perf_counter()
    for secret in secrets:
        await ask(secret)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{what:<40}{cpu * 1000 / len(secrets):8.2f} ms CPU {wall * 1000 / len(secrets):8.2f} ms")


async def crowd(stores: Stores, warm: list[str], cold: list[str], rate: int, *, redis_lost: bool) -> None:
    """Print what warm calls at a fixed rate take while all cold accounts call at once, a second after the first."""
    process = Process(stores)
    if redis_lost:
        await forget_in_redis(stores)
    for secret in warm:
        await process.call(secret)
    took: dict[str, list[float]] = {"warm": [], "cold": []}

    async def call(kind: str, secret: str) -> None:
        begun = time.perf_counter()
        await process.call(secret)
        took[kind].append((time.perf_counter() - begun) * 1000)

    async with asyncio.TaskGroup() as calls:
        start = time.perf_counter()
        for number in range(rate * SECONDS):
            await asyncio.sleep(start + number / rate - time.perf_counter())
            calls.create_task(call("warm", warm[number % len(warm)]))
            if number == rate:
                for secret in cold:
                    calls.create_task(call("cold", secret))
    lost = "and Redis" if redis_lost else "process"
    print(f"{len(cold):,} unknown to the {lost}, ms".ljust(40), end="")
    for kind, all_ms in took.items():
        taken = sorted(all_ms)
        print(f"  {kind} p50 {statistics.median(taken):.1f} p99 {taken[len(taken) * 99 // 100]:.1f}", end="")
        print(f" most {taken[-1]:.0f}", end="")
    print()


async def forget_in_redis(stores: Stores) -> None:
    """Redis comes back empty."""
    await stores.store.execute("FLUSHALL", key="{s00}:")


@asynccontextmanager
async def stores_at(url: str) -> AsyncIterator[Stores]:
    """Open stores with an embedded Redis of their own, and books at `url`."""
    with tempfile.TemporaryDirectory(prefix="cold-") as folder:
        configuration = load(CONFIG, {**os.environ, "GATEWAY_DATA": folder, "DATABASE_URL": url, "REDIS_URL": ""})
        async with open_stores(configuration.settings, configuration.catalog) as stores:
            yield stores


async def run(chosen: argparse.Namespace) -> None:
    """One after the other, then the crowds."""
    async with place(chosen.store, None) as url, stores_at(url) as stores:
        secrets = await keys_in(stores, chosen.accounts + WARM)
        warm, cold = secrets[:WARM], secrets[WARM:]
        process = Process(stores)
        for secret in secrets[:WARM]:
            await process.call(secret)  # statements are compiled, connections opened
        process = Process(stores)
        await each("found by its key", cold, lambda secret: process.directory.find(secret.encode()))
        await each("admitted, found before", cold, process.call)
        process = Process(stores)
        await forget_in_redis(stores)
        await each("found and rebuilt in Redis", cold, process.call)
        for many in CROWDS:
            if many <= len(cold):
                await crowd(stores, warm, cold[:many], chosen.rate, redis_lost=False)
                await crowd(stores, warm, cold[:many], chosen.rate, redis_lost=True)


def main(arguments: list[str] | None = None) -> None:
    """Measure as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--rate", type=int, default=250, help="warm calls a second")
    uvloop.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
