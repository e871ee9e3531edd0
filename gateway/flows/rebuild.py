"""Giving Redis an account back that it lost, or has older than the books: its counters by absolute value.

Captured is what the books have plus what still waits in the outbox, each event once by its id. The outbox is read
first: what leaves it meanwhile is found in the books. Asks nobody whether it is needed: the ledger does nothing where
it is not. The holds of jobs that still run are made again first: someone has seen them begin, and their cost is owed.
What budgets of projects and keys have used is counted afterwards, while calls end.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import period_usage, running_jobs, usage
from gateway.books.books import Books
from gateway.domain.terms import Terms
from gateway.domain.usage import UsageEvent
from gateway.flows.authenticate import TermsOf
from gateway.flows.faults import NoSuchThing
from gateway.flows.remembered import OnceForAll
from gateway.ledger.answers import Counters, Uncounted
from gateway.ledger.ledger import Ledger

# A capture between reading and loading makes the ledger refuse; so many in a row come from no one account.
_TRIES: Final = 20
# Of all accounts that a Redis has lost so many are rebuilt at a time; calls of others go on between them.
_AT_ONCE: Final = 2


class TellsUnbooked(Protocol):
    """The part of the outbox that is needed here."""

    async def unbooked(self, account_id: str) -> list[UsageEvent]:
        """The account's usage events that are still in the outbox."""
        ...


async def rebuild(books: Books, ledger: Ledger, outbox: TellsUnbooked, terms: Terms) -> bool:
    """Load the account; False where there was no need any more. BooksUnavailable, StoreUnavailable."""
    for _ in range(_TRIES):
        counters = await ledger.counters(terms.account_id)
        if _is_whole(counters, terms):
            return False
        events = await outbox.unbooked(terms.account_id)
        if await _load(books, ledger, terms, counters, events):
            return True
    return False


async def count_budgets(books: Books, ledger: Ledger, outbox: TellsUnbooked, account_id: str) -> int:
    """Tell Redis what budgets had used before it counted them; how many that was. BooksUnavailable, StoreUnavailable.

    Each is counted from an instant on, which is a number of sequence: what is missing are the events up to it.
    """
    missing = await ledger.count_budgets(account_id)
    if not missing:
        return 0
    events = await outbox.unbooked(account_id)
    async with books.read() as conn:
        booked = await usage.booked_ids(conn, [event.id for event in events])
        found = [(each, await _spent(conn, account_id, each)) for each in missing]
    unbooked = [event for event in events if event.id not in booked]
    return await ledger.budgets_counted(
        account_id, [(each, spent + _unbooked_of(each, unbooked)) for each, spent in found]
    )


async def _spent(conn: AsyncConnection, account_id: str, counted: Uncounted) -> int:
    return await usage.captured_for(
        conn, account_id, counted.period_start_ms, counted.subject_id, up_to_seq=counted.seq
    )


def _unbooked_of(counted: Uncounted, events: Iterable[UsageEvent]) -> int:
    return sum(
        event.captured_millicredits
        for event in events
        if event.period_start_ms == counted.period_start_ms
        and event.seq <= counted.seq
        and counted.subject_id in {event.facts.project_id, event.facts.key_id}
    )


def _is_whole(counters: Counters, terms: Terms) -> bool:
    return counters.epoch is not None and counters.epoch >= terms.epoch and counters.seq >= terms.booked_seq


async def _load(books: Books, ledger: Ledger, terms: Terms, counters: Counters, events: Sequence[UsageEvent]) -> bool:
    open_holds = [hold.hold_id for hold in counters.open_holds]
    async with books.read() as conn:
        captured = await period_usage.of_account(conn, terms.account_id)
        booked = await usage.booked_ids(conn, [event.id for event in events])
        running = await running_jobs.of_account(conn, terms.account_id)
        settled = await usage.settled_holds(conn, [*open_holds, *(job.request_id for job in running)])
    seq = max(terms.booked_seq, counters.seq)
    for event in events:
        seq = max(seq, event.seq)
        if event.id not in booked:
            captured[event.period_start_ms] = captured.get(event.period_start_ms, 0) + event.captured_millicredits
    ending = settled | {event.facts.request_id for event in events}
    await asyncio.gather(
        *(
            ledger.restore_job(job, clock_offset_ms=terms.clock_offset_ms)
            for job in running
            if job.request_id not in ending
        )
    )
    return await ledger.load(terms, captured, seq, observed_seq=counters.seq, settled=settled.intersection(open_holds))


class Rebuilder:
    """Callable with an account id: rebuilds it, and counts its budgets, where Redis lacks that.

    Once for all tasks of this process that ask at the same time, a few accounts at a time.
    """

    def __init__(
        self,
        *,
        books: Books,
        ledger: Ledger,
        outbox: TellsUnbooked,
        terms_of: TermsOf,
        clock: Callable[[], datetime],
    ) -> None:
        self._books = books
        self._ledger = ledger
        self._outbox = outbox
        self._terms_of = terms_of
        self._clock = clock
        self._running: OnceForAll[str, bool] = OnceForAll(at_once=_AT_ONCE)

    async def __call__(self, account_id: str) -> None:
        """Returns when Redis has the account. BooksUnavailable, StoreUnavailable, NoSuchThing."""
        await self._running.ask(account_id, lambda: self._rebuild(account_id))

    async def _rebuild(self, account_id: str) -> bool:
        terms = await self._terms_of(account_id, self._clock())
        if terms is None:
            raise NoSuchThing("account", account_id)
        rebuilt = await rebuild(self._books, self._ledger, self._outbox, terms)
        if terms.budgets:
            await count_budgets(self._books, self._ledger, self._outbox, account_id)
        return rebuilt
