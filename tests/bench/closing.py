"""Measures closing a month: of one account with very many usage events, and of many accounts with some each.

    python3 dev.py bench closing [--store postgresql]

Time and memory of everything that issuing an invoice does: stamping each event, rating, freezing, numbering.
"""

import argparse
import asyncio
import resource
import sys
import time
from datetime import timedelta

from gateway.books.books import Books
from gateway.domain.instant import epoch_ms
from gateway.flows.issue_invoice import Closer
from tests.bench.volume import NothingWaits, place
from tests.bench.volume_fill import fill, loader, open_accounts
from tests.billing import billing_over
from tests.made_up import NOON, Clock

DAYS = 40
# Before the first month is over, whatever month it is.
WITHIN_MS = (epoch_ms(NOON - timedelta(days=DAYS - 1)), epoch_ms(NOON - timedelta(days=DAYS - 27)))
CASES = ((1, 100_000), (1_000, 1_000_000))


def rss_mb() -> float:
    """The most memory this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(url: str, accounts: int, events: int) -> None:
    """Fill books, close the month that is over."""
    books = await Books.open(url)
    opened = await open_accounts(books, accounts, days=DAYS, apart_min=0)
    engine = loader(url)
    async for done in fill(engine, opened, events, within_ms=WITHIN_MS, skewed=False):
        print(f"\r{done:,} events", end="", file=sys.stderr)
    await engine.dispose()
    closer = Closer(billing_over(books, Clock(NOON), ledger=NothingWaits()), longest_hold_ms=lambda: 0)
    before_mb, begun, slowest, issued = rss_mb(), time.perf_counter(), 0.0, 0
    for account in opened:
        since = time.perf_counter()
        issued += len(await closer.close_account(account.id))
        slowest = max(slowest, time.perf_counter() - since)
    taken = time.perf_counter() - begun
    print(
        f"\n{accounts:,} accounts with {events // accounts:,} events each: {issued:,} invoices in {taken:.1f} s, "
        f"the slowest account {slowest:.2f} s, {events / taken:,.0f} events/s, {rss_mb() - before_mb:+.0f} MB at most"
    )
    await books.close()


async def run(chosen: argparse.Namespace) -> None:
    """Both cases, each in books of its own."""
    for accounts, events in CASES:
        async with place(chosen.store, None) as url:
            print(chosen.store)
            await measure(url, accounts // chosen.divisor or 1, events // chosen.divisor)


def main(arguments: list[str] | None = None) -> None:
    """Measure as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--divisor", type=int, default=1, help="so many times less of everything")
    asyncio.run(run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
