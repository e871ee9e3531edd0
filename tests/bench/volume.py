"""Measures every page and what the API reads, over a great many usage events, on SQLite and PostgreSQL.

    python3 dev.py bench volume [--store sqlite] [--events 10000000] [--accounts 1000] [--rounds 40] [--url URL]

A gateway serves them to a browser's and a program's connection. The largest account has a fifth of all events, the
middle one an ordinary share; what is asked of either must not cost more for the events of the others. With `--url`
books of one's own are filled instead, if they are empty, and kept, to be asked again.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Select, Table, select

from gateway.books import events, usage
from gateway.books.books import Books
from gateway.books.tables import (
    period_usage,
    usage_daily,
    usage_daily_by_mode,
    usage_events,
    usage_hourly,
    usage_hourly_by_mode,
)
from gateway.domain.usage import UsageEvent
from gateway.flows.issue_invoice import Closer
from gateway.ledger.answers import Counters
from tests.bench.processes import free_port, running
from tests.bench.volume_asking import ADMIN_TOKEN, Asker, p50, p95
from tests.bench.volume_fill import END_MS, Account, fill, known_accounts, loader, open_accounts
from tests.bench.volume_people import PEPPER, PROVIDER, Person, person
from tests.bench.volume_rows import rows_of
from tests.billing import billing_over
from tests.made_up import Clock, event
from tests.postgres import running_postgres

CONFIG = Path(__file__).parents[2] / "config" / "gateway.yaml"
WITHIN_MS = 100
NAME, WIDTH = 62, 8
HEAD = f"{'ms':<{NAME}}{'largest p50':>{WIDTH}}" + "".join(
    f"{title:>{WIDTH}}" for title in ("p95", "max", "CPU", "middle p50", "p95", "max", "CPU")
)


class NothingWaits:
    """A ledger whose outbox is empty and that agrees with the books."""

    async def counters(self, account_id: str) -> Counters:
        return Counters(epoch=1, seq=1 << 40, terms_version=1, periods={}, open_holds=())


async def verify(books: Books, account: Account) -> None:
    """Book an account's events again by `usage.book`, in books of their own: all sums must come out the same."""
    sums = (usage_hourly, usage_daily, usage_hourly_by_mode, usage_daily_by_mode, period_usage)
    with tempfile.TemporaryDirectory(prefix="volume-") as folder:
        others = await Books.open(f"sqlite+aiosqlite:///{Path(folder) / 'books.sqlite'}")
        async with books.read() as conn:
            query = select(usage_events).where(usage_events.c.account_id == account.id)
            found = [events._event(row) for row in (await conn.execute(query)).mappings()]
            filled = [sorted(map(tuple, await conn.execute(_of(table, account.id)))) for table in sums]
        async with others.begin() as conn:
            await usage.book(conn, found)
        async with others.read() as conn:
            booked = [sorted(map(tuple, await conn.execute(_of(table, account.id)))) for table in sums]
        await others.close()
    if booked != filled:
        sys.exit("the rollups that were filled in are not what usage.book makes of the same events")
    print(f"rollups of a middle account with {len(found):,} events are what usage.book makes of them")


def _of(table: Table, account_id: str) -> Select[Any]:
    return select(table).where(table.c.account_id == account_id)


async def close_past(books: Books, account: Account) -> None:
    """Close every period of the past, as the gateway would have done month by month."""
    closer = Closer(billing_over(books, Clock(), ledger=NothingWaits()), longest_hold_ms=lambda: 0)
    begun = time.perf_counter()
    issued = await closer.close_account(account.id)
    taken = time.perf_counter() - begun
    print(f"closed all periods of an account in {taken:.1f} s, {len(issued)} invoices")


async def booking(books: Books, accounts: list[Account], first: int, batches: int = 40) -> float:
    """Events a second that `usage.book` takes, 200 in each transaction, of all accounts by turns."""
    made: list[list[UsageEvent]] = []
    for number in range(batches):
        numbers = [first + number * 200 + n for n in range(200)]
        made.append(
            [
                event(
                    accounts[n % len(accounts)].id,
                    n * 2_654_435_761 % (1 << 90),
                    admitted_at_ms=END_MS + n % 3_600_000,
                    period_start_ms=END_MS,
                    seq=(1 << 40) + n,
                )
                for n in numbers
            ]
        )
    begun = time.perf_counter()
    for batch in made:
        async with books.begin() as conn:
            await usage.book(conn, batch)
    return batches * 200 / (time.perf_counter() - begun)


@asynccontextmanager
async def place(store: str, url: str | None) -> AsyncIterator[str]:
    """Where the books are; one of our own is gone afterwards."""
    if url is not None:
        yield url
    elif store == "sqlite":
        with tempfile.TemporaryDirectory(prefix="volume-") as folder:
            yield f"sqlite+aiosqlite:///{Path(folder) / 'books.sqlite'}"
    else:
        with running_postgres() as server:
            yield await server.create("volume")


async def filled(books: Books, url: str, chosen: argparse.Namespace) -> list[Account]:
    """The accounts, the largest first. Books that are empty are filled first."""
    if found := await known_accounts(books):
        print(f"{len(found):,} accounts are in the books already")
        return found
    begun = time.perf_counter()
    accounts = await open_accounts(books, chosen.accounts)
    engine = loader(url)
    async for done in fill(engine, accounts, chosen.events):
        print(f"\r{done:,} events after {time.perf_counter() - begun:.0f} s", end="", file=sys.stderr)
    await engine.dispose()
    print(f"\n{chosen.events:,} events, filled in {time.perf_counter() - begun:.0f} s")
    middle = accounts[len(accounts) // 2]
    await verify(books, middle)
    for account in (accounts[0], middle):
        await close_past(books, account)
    return accounts


@contextmanager
def served(url: str) -> Iterator[tuple[int, int, int]]:
    """The gateway over these books: its port, its admin port, its process."""
    port, admin_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="volume-") as folder:
        environment = {
            "GATEWAY_PORT": str(port),
            "GATEWAY_ADMIN_PORT": str(admin_port),
            "GATEWAY_DATA": folder,
            "GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN,
            "GATEWAY_KEY_PEPPER": PEPPER,
            "GATEWAY_PAYMENTS": PROVIDER,
            "GATEWAY_LOG_LEVEL": "error",
            "DATABASE_URL": url,
            "REDIS_URL": "",
        }
        command = [sys.executable, "-m", "tests.bench.volume_served", str(CONFIG)]
        with running(None, command, port=port, environment=environment) as pid:
            yield port, admin_port, pid


def ask_all(people: Sequence[Person], only: str, rounds: int, at: tuple[int, int, int]) -> None:
    """Print the figures of every row, of the largest account and of a middle one side by side, and the verdict."""
    port, admin_port, pid = at
    askers = [Asker(one, port=port, admin_port=admin_port, pid=pid) for one in people]
    print(HEAD)
    slow: list[str] = []
    rows = [both for both in zip(*map(rows_of, people), strict=True) if only in both[0].name]
    for both in rows:
        told = []
        for row, asker in zip(both, askers, strict=True):
            figures = asker.measured(row, rounds)
            taken = figures.judged(row)
            told += [p50(taken), p95(taken), max(taken), figures.cpu]
        marks = " <<" if max(told[1], told[5]) > WITHIN_MS else " first byte" if both[0].streamed else ""
        slow += [both[0].name] if marks == " <<" else []
        print(f"{both[0].name:<{NAME}}{''.join(f'{figure:>{WIDTH}.1f}' for figure in told)}{marks}", flush=True)
    for asker in askers:
        asker.close()
    verdict = f"{', '.join(slow)} are not" if slow else "all are"
    print(
        f"{len(rows)} questions, at most {WITHIN_MS} ms at p95: {verdict}; load of the machine {os.getloadavg()[0]:.1f}"
    )


async def run(chosen: argparse.Namespace) -> None:
    """Fill, ask, book."""
    async with place(chosen.store, chosen.url) as url:
        books = await Books.open(url)
        accounts = await filled(books, url, chosen)
        people = [await person(books, one) for one in (accounts[0], accounts[len(accounts) // 2])]
        with served(url) as at:
            await asyncio.to_thread(ask_all, people, chosen.only, chosen.rounds, at)
        if chosen.url is None:
            print(f"usage.book: {await booking(books, accounts, chosen.events * 4):,.0f} events/s")
        await books.close()


def main(arguments: list[str] | None = None) -> None:
    """Measure as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", default="", help="rows with this in their name")
    parser.add_argument("--url", default=None, help="books to keep: filled where they are empty, else asked again")
    asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
