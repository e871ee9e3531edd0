"""Measures what people ask of the books, over a great many usage events, on SQLite and PostgreSQL.

    python3 dev.py bench volume [--store sqlite] [--events 10000000] [--accounts 1000] [--rounds 20] [--url URL]

The largest account has a fifth of all events, the middle one an ordinary share. What is asked of either must not cost
more for the events of the others. With `--url` empty books of one's own are filled instead, and kept.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, Table, select

from gateway.books import events, usage
from gateway.books import invoices as booked_invoices
from gateway.books.books import Books
from gateway.books.reports import By
from gateway.books.tables import period_usage, usage_daily, usage_events, usage_hourly
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.usage import UsageEvent
from gateway.domain.windows import Window
from gateway.flows.invoices import Invoices
from gateway.flows.issue_invoice import Closer
from gateway.flows.terms import current_terms
from gateway.flows.usage_metrics import UsageMetrics, Wanted
from gateway.flows.usage_report import Range, UsageReports
from gateway.flows.usage_series import UsageSeries
from gateway.ledger.answers import Counters
from tests.bench.volume_fill import END_MS, Account, fill, loader, open_accounts
from tests.made_up import NOON, PLANS, Clock, event
from tests.postgres import running_postgres

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")
WITHIN_MS = 100
Asked = Callable[[], Awaitable[object]]


class NothingWaits:
    """A ledger whose outbox is empty and that agrees with the books."""

    async def counters(self, account_id: str) -> Counters:
        return Counters(epoch=1, seq=1 << 40, terms_version=1, periods={}, open_holds=())


def questions(books: Books, account: Account) -> dict[str, Asked]:
    """Everything that dashboards, the API and the command line ask about an account's usage and invoices."""
    ledger, clock = NothingWaits(), Clock()
    reports = UsageReports(books=books, ledger=ledger, terms_of=partial(current_terms, books, PLANS))
    series, metrics = UsageSeries(books=books, ledger=ledger), UsageMetrics(books=books, ledger=ledger)
    invoices = Invoices(books=books, plans=lambda: PLANS, clock=clock)
    now = epoch_ms(NOON) + 1
    asked: dict[str, Asked] = {
        "report, current period": partial(reports.of_account, account.id, NOON),
        "report, period by day": partial(reports.of_account, account.id, NOON, by=("day",)),
        "report, 90 days by key": partial(
            reports.of_account, account.id, NOON, by=("key",), within=Range(now - 90 * DAY_MS, now)
        ),
        "metrics, first page": partial(metrics.page, account.id, Wanted(), size=100),
        "metrics, with total": partial(metrics.page, account.id, Wanted(), size=100, with_total=True),
        "metrics, 90 days with total": partial(
            metrics.page, account.id, Wanted(times=((now - 90 * DAY_MS, now),)), size=100, with_total=True
        ),
        "metrics, one project": partial(metrics.page, account.id, Wanted(project_id=account.project_id), size=100),
        "invoices, list and draft": partial(invoices.of_account, account.id),
        "invoice, one issued": partial(_newest, invoices, account.id),
    }
    spans = ((Window.HOUR, 7), (Window.DAY, 90), (Window.MONTH, 730))
    for window, days in spans:
        for zone in ZONES:
            for by in ((By.PRODUCT, By.MODE), (By.PROJECT,), (By.KEY,)):
                name = f"series, {window} over {days} d by {'+'.join(by)}, {zone}"
                within = Range(now - days * DAY_MS, now)
                asked[name] = partial(series.of_account, account.id, within, window, ZoneInfo(zone), by=by)
    return asked


async def _newest(invoices: Invoices, account_id: str) -> object:
    """The account's newest issued invoice, found by its number."""
    async with invoices._books.read() as conn:
        booked = await booked_invoices.of_account(conn, account_id)
    return await invoices.find(booked[0].number)


async def verify(books: Books, account: Account) -> None:
    """Book an account's events again by `usage.book`, in books of their own: all sums must come out the same."""
    sums = (usage_hourly, usage_daily, period_usage)
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
    closer = Closer(books=books, ledger=NothingWaits(), plans=lambda: PLANS, longest_hold_ms=lambda: 0, clock=Clock())
    begun = time.perf_counter()
    issued = await closer.close_account(account.id)
    taken = time.perf_counter() - begun
    print(f"closed all periods of an account in {taken:.1f} s, {len(issued)} invoices")


async def measured(ask: Asked, rounds: int) -> tuple[list[float], float]:
    """Milliseconds of each round, and of CPU in the middle one; the first, which warms up, is left out."""
    taken, used = [], []
    for _ in range(rounds + 1):
        begun, before = time.perf_counter(), time.process_time()
        await ask()
        taken.append((time.perf_counter() - begun) * 1000)
        used.append((time.process_time() - before) * 1000)
    return sorted(taken[1:]), statistics.median(used[1:])


async def ask_all(books: Books, accounts: list[Account], rounds: int) -> None:
    """Print p50 and p95 of every question, for the largest account and a middle one."""
    # CPU is this process's: with SQLite all there is, on a busy machine the figure to trust.
    print(f"{'ms':<58}{'largest p50':>12}{'p95':>8}{'CPU':>8}{'middle p50':>12}{'p95':>8}{'CPU':>8}")
    largest, middle = (questions(books, one) for one in (accounts[0], accounts[len(accounts) // 2]))
    for name, ask in largest.items():
        figures = []
        for one in (ask, middle[name]):
            try:
                taken, cpu = await measured(one, rounds)
            except Exception as fault:  # noqa: BLE001 - the table shows what could not be answered
                print(f"{name}: {type(fault).__name__}: {fault}")
                continue
            figures += [statistics.median(taken), taken[int(len(taken) * 0.95)], cpu]
        slow = " <<" if figures and max(figures) > WITHIN_MS else ""
        print(f"{name:<58}{''.join(f'{figure:>{width}.1f}' for figure, width in zip(figures, (12, 8, 8) * 2))}{slow}")  # noqa: B905
        sys.stdout.flush()


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


async def run(chosen: argparse.Namespace) -> None:
    """Fill, ask, book."""
    async with place(chosen.store, chosen.url) as url:
        books = await Books.open(url)
        begun = time.perf_counter()
        accounts = await open_accounts(books, chosen.accounts)
        engine = loader(url)
        async for done in fill(engine, accounts, chosen.events):
            print(f"\r{done:,} events after {time.perf_counter() - begun:.0f} s", end="", file=sys.stderr)
        await engine.dispose()
        print(f"\n{chosen.store}: {chosen.events:,} events, filled in {time.perf_counter() - begun:.0f} s")
        await verify(books, accounts[len(accounts) // 2])
        for account in (accounts[0], accounts[len(accounts) // 2]):
            if chosen.close:
                await close_past(books, account)
        await ask_all(books, accounts, chosen.rounds)
        print(f"usage.book: {await booking(books, accounts, chosen.events * 4):,.0f} events/s")
        await books.close()


def main(arguments: list[str] | None = None) -> None:
    """Measure as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--close", action=argparse.BooleanOptionalAction, default=True, help="first close past periods")
    parser.add_argument("--url", default=None, help="empty books to fill and keep")
    asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
