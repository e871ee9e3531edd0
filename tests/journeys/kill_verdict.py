"""What must be true after the kills: every charge is found in the books, in Redis, and with the witness, once.

Reads the books and Redis beside the running gateway. Changes nothing.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from gateway.books.books import Books
from gateway.books.tables import poison_records, usage_events
from gateway.books.usage import CAPTURES
from gateway.domain.hold import Ending
from gateway.ledger.answers import Counters
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.journeys.kill_harness import Site
from tests.journeys.kill_load import Reply
from tests.journeys.kill_upstream import Witness

LOOK_EVERY_S: Final = 0.25


@dataclass(frozen=True)
class Booked:
    """One usage event of the books."""

    request_id: str
    ending: Ending
    captured_millicredits: int
    account_id: str


@dataclass
class Stand:
    """Books, Redis and outbox at one moment, read while nothing moves any more."""

    booked: list[Booked]
    counters: Mapping[str, Counters]
    lag_records: int
    poison: int

    @property
    def charges(self) -> dict[str, list[Booked]]:
        """The events that took credits, by request id."""
        found: dict[str, list[Booked]] = defaultdict(list)
        for event in self.booked:
            if event.ending in CAPTURES:
                found[event.request_id].append(event)
        return found

    @property
    def endings(self) -> Counter[str]:
        """How many events of each ending."""
        return Counter(event.ending.value for event in self.booked)

    def open_holds(self) -> list[tuple[str, bool]]:
        """(request id, whether it is a job's) of every hold that nobody has settled."""
        return [(hold.hold_id, hold.job_id is not None) for each in self.counters.values() for hold in each.open_holds]


class Auditor:
    """Reads a site's stores."""

    def __init__(self, books: Books, store: RedisConnection, accounts: Sequence[str]) -> None:
        self._books = books
        self._ledger = Ledger(store)
        self._outbox = Outbox(store)
        self._accounts = accounts

    async def look(self) -> Stand:
        """How it stands. StoreUnavailable."""
        lag = await self._outbox.lag()
        counters = {account_id: await self._ledger.counters(account_id) for account_id in self._accounts}
        events = usage_events.c
        async with self._books.read() as conn:
            rows = await conn.execute(
                select(events.request_id, events.ending, events.captured_millicredits, events.account_id)
            )
            booked = [Booked(row[0], Ending(row[1]), row[2], row[3]) for row in rows]
            poison = len((await conn.execute(select(poison_records.c.shard))).all())
        return Stand(booked, counters, lag.records, poison)

    async def drained(self, within_s: float, *, orphans: Iterable[str] = ()) -> Stand:
        """How it stands once everything is booked and no hold is open but those of `orphans`, which are to expire."""
        loop = asyncio.get_running_loop()
        deadline, left = loop.time() + within_s, frozenset(orphans)
        while True:
            try:
                stand = await self.look()
            except StoreUnavailable:
                stand = None
            if stand and stand.lag_records == 0 and all(hold in left for hold, _ in stand.open_holds()):
                return stand
            if loop.time() > deadline:
                assert stand is not None, "Redis stays away"
                raise AssertionError(f"not drained: {stand.lag_records} unbooked, open: {stand.open_holds()[:20]}")
            await asyncio.sleep(LOOK_EVERY_S)


@asynccontextmanager
async def auditing(site: Site, accounts: Sequence[str]) -> AsyncIterator[Auditor]:
    """An auditor of a site that runs."""
    books = await Books.open(site.books, read_only=True)
    store = RedisConnection(f"unix://{site.redis_socket}")
    await store.open()
    try:
        yield Auditor(books, store, accounts)
    finally:
        await store.close()
        await books.close()


@dataclass(frozen=True)
class Verdict:
    """Everything that is wrong, in words; `lost` are the complete replies that were never charged."""

    wrong: tuple[str, ...] = ()
    lost: tuple[Reply, ...] = ()


def judge(stand: Stand, replies: Sequence[Reply], witness: Witness) -> Verdict:
    """Compares the books with what callers saw and the witness ran, and Redis with the books."""
    charges = stand.charges
    wrong: list[str] = []
    for request_id, taken in charges.items():
        if len(taken) > 1:
            wrong.append(f"{request_id} is charged {len(taken)} times: {[event.ending.value for event in taken]}")
        if not witness.ran[request_id]:
            wrong.append(f"{request_id} is charged and never ran")
        elif (cost := witness.cost_millicredits(request_id)) != taken[0].captured_millicredits:
            wrong.append(f"{request_id} cost {cost}, charged {taken[0].captured_millicredits} ({taken[0].ending})")
    wrong += [f"{request_id} ran {times} times" for request_id, times in witness.ran.items() if times > 1]
    lost = tuple(reply for reply in replies if reply.request_id not in charges)
    if stand.poison:
        wrong.append(f"{stand.poison} records were put aside")
    return Verdict((*wrong, *_redis_differs(stand)), lost)


def _redis_differs(stand: Stand) -> list[str]:
    """Per account: granted + over = available + held + captured, with captured as the books have it."""
    booked: Counter[tuple[str, bool]] = Counter()
    for event in stand.booked:
        booked[event.account_id, event.ending in CAPTURES] += event.captured_millicredits
    wrong = []
    for account_id, counters in stand.counters.items():
        captured = sum(period.captured_millicredits for period in counters.periods.values())
        if counters.epoch is not None and captured != booked[account_id, True]:
            wrong.append(f"{account_id}: Redis has {captured} captured, the books {booked[account_id, True]}")
        if booked[account_id, False]:
            wrong.append(f"{account_id}: a release or an expiry took credits")
        for period in counters.periods.values():
            held = sum(hold.amount_millicredits for hold in counters.open_holds)
            if period.held_millicredits != held:
                wrong.append(f"{account_id}: {period.held_millicredits} held, open holds come to {held}")
            if period.available_millicredits < 0:
                wrong.append(f"{account_id}: overspent: {period.available_millicredits} left")
    return wrong
