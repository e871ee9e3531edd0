"""Measures how fast the relay drains an outbox: read, decode, book, notice alerts, acknowledge, on either store.

    python3 dev.py bench backlog [--store postgresql] [--events 100000] [--accounts 1000] [--booked 0] [--relays 1]

`--booked` is how many events the books have before. CPU is this process's, memory what it grows by meanwhile.
"""

import argparse
import asyncio
import resource
import time
from collections.abc import Sequence

import uvloop

from gateway.flows.alerts import AlertWatch
from gateway.flows.relay import Relay
from gateway.ledger.keys import account_prefix, outbox_key
from gateway.ledger.outbox import Outbox
from gateway.ledger.redis_at import reader_at
from gateway.stores import Stores
from gateway.wire.call_facts import facts_json, settlement_json
from tests.bench.cold import stores_at
from tests.bench.volume import place
from tests.bench.volume_fill import END_MS, Account, fill, loader, open_accounts
from tests.made_up import event

PIPELINED = 500


def record(account: Account, number: int, seq: int) -> list[bytes | str | int]:
    """A capture as a script writes it: fields and values by turns."""
    made = event(
        account.id,
        number,
        admitted_at_ms=END_MS + number % 3_600_000,
        period_start_ms=END_MS,
        seq=seq,
        project_id=account.project_id,
        mode=("agentic", "fast", "cost_effective")[number % 3],
    )
    return [
        *("kind", "usage", "id", made.id, "account", account.id, "ending", made.ending.value),
        *("facts", facts_json(made.facts), "settlement", settlement_json(made.settlement)),
        *("held", made.held_millicredits, "captured", made.captured_millicredits, "period", made.period_start_ms),
        *("admitted", made.admitted_at_ms, "at", made.happened_at_ms, "seq", made.seq, "job", ""),
    ]


async def pile_up(stores: Stores, accounts: Sequence[Account], events: int) -> None:
    """Put so many captures into the outbox, of all accounts by turns."""
    shards = stores.ledger.shards
    for first in range(0, events, PIPELINED):
        adding = []
        for number in range(first, min(events, first + PIPELINED)):
            account = accounts[number * 7_919 % len(accounts)]
            key = outbox_key(account_prefix(account.id, shards))
            fields = record(account, (1 << 60) + number, (1 << 40) + number)
            adding.append(stores.store.execute("XADD", key, "*", *fields, key=key, deadline_ms=30_000))
        await asyncio.gather(*adding)


async def drain(stores: Stores, socket_url: str, relays: int) -> tuple[int, float]:
    """Until nothing is left: how many records that was, and in how many seconds."""

    async def one(number: int) -> int:
        reader = reader_at(socket_url)
        assert reader is not None
        await reader.open()
        relay = Relay(
            outbox=Outbox(stores.store, shards=stores.ledger.shards, reader=reader),
            books=stores.books,
            consumer=f"bench-{number}",
            block_ms=50,
            noticed=AlertWatch(books=stores.books, clock=stores.clock),
        )
        while await relay.drain_once():
            pass
        await reader.close()
        return relay.counts.booked

    begun = time.perf_counter()
    booked = await asyncio.gather(*(one(number) for number in range(relays)))
    return sum(booked), time.perf_counter() - begun


async def run(chosen: argparse.Namespace) -> None:
    """Fill, pile up, drain."""
    async with place(chosen.store, None) as url, stores_at(url) as stores:
        accounts = await open_accounts(stores.books, chosen.accounts, days=40)
        if chosen.booked:
            engine = loader(url)
            async for _ in fill(engine, accounts, chosen.booked):
                pass
            await engine.dispose()
        assert stores.embedded is not None
        await pile_up(stores, accounts, chosen.events)
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu = time.process_time()
        booked, seconds = await drain(stores, f"unix://{stores.embedded.socket_path}", chosen.relays)
        cpu = time.process_time() - cpu
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
        print(
            f"{chosen.store}, {chosen.booked:,} booked before, {chosen.relays} relays: {booked:,} events in "
            f"{seconds:.1f} s, {booked / seconds:,.0f} events/s, {cpu * 1_000_000 / booked:.0f} µs CPU each "
            f"({booked / cpu:,.0f} events a CPU second), {grown_mb:+.0f} MB at most"
        )


def main(arguments: list[str] | None = None) -> None:
    """Measure as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--booked", type=int, default=0)
    parser.add_argument("--relays", type=int, default=1)
    uvloop.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
