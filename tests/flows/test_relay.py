"""Every usage event reaches the books exactly once, whatever dies in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import poison, usage
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.domain.terms import Terms
from gateway.domain.usage import UsageEvent
from gateway.flows.reconcile import reconcile
from gateway.flows.relay import Relay
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.keys import outbox_key, shard_of, shard_prefix
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox, OutboxLag, OutboxRecord
from tests.flows.calls import calls
from tests.made_up import CREDIT, event, job


class Killed(BaseException):
    """What a dying process sees: nothing below it runs."""


class DyingOutbox:
    """An outbox whose relay dies instead of acknowledging, the first time."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.deaths = 1
        self.read = outbox.read
        self.lag = outbox.lag

    async def ack(self, records: Iterable[OutboxRecord]) -> int:
        if self.deaths:
            self.deaths -= 1
            raise Killed
        return await self._outbox.ack(records)


class Records:
    """An outbox in memory: whatever a test puts into it, and what was acknowledged."""

    def __init__(self, *events: Any) -> None:
        self.waiting = [
            OutboxRecord(0, f"1-{number}", one, {b"kind": b"usage", b"id": b"\xff\x00"}, "" if one else "no kind")
            for number, one in enumerate(events)
        ]
        self.reads = 0
        self.acknowledged: list[str] = []
        self.away = 0
        self.done = asyncio.Event()

    async def read(
        self, consumer: str, *, count: int, block_ms: int, shards: Sequence[int] | None = None
    ) -> list[OutboxRecord]:
        self.reads += 1
        if self.away:
            self.away -= 1
            raise StoreUnavailable("timeout")
        batch, self.waiting = self.waiting[:count], self.waiting[count:]
        return batch

    async def ack(self, records: Iterable[OutboxRecord]) -> int:
        self.acknowledged += [record.stream_id for record in records]
        if not self.waiting:
            self.done.set()
        return len(self.acknowledged)

    async def lag(self) -> OutboxLag:
        return OutboxLag(len(self.waiting), 0)


class FailingBooks:
    """Books that are away for so many transactions."""

    def __init__(self, books: Books, away_for: int) -> None:
        self._books = books
        self.away_for = away_for
        self.read = books.read

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with self._books.begin() as conn:
            yield conn
            if self.away_for:
                self.away_for -= 1
                raise BooksUnavailable("unplugged just before the commit")


async def _captured(books: Books, account_id: str) -> tuple[int, int]:
    async with books.read() as conn:
        events = await usage.captured_by_period(conn, account_id)
        rollups = await usage.rolled_up_by_period(conn, account_id)
    return sum(events.values()), sum(rollups.values())


async def _drained(relay: Relay) -> None:
    while await relay.drain_once():
        pass


async def test_what_was_captured_is_booked_and_leaves_the_outbox(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms
) -> None:
    await calls(ledger, terms, 1, 5)
    relay = Relay(outbox=outbox, books=books, consumer="one", block_ms=0)
    assert (await relay.lag()).records == 5
    await _drained(relay)
    assert await _captured(books, terms.account_id) == (100 * CREDIT, 100 * CREDIT)
    assert (await relay.lag()).records == 0
    assert (relay.counts.records, relay.counts.booked) == (5, 5)
    assert (await reconcile(books, ledger)).ok


async def test_a_relay_that_dies_between_commit_and_acknowledgement_books_nothing_twice(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, redis: RedisConnection
) -> None:
    await calls(ledger, terms, 1, 5)
    dying = Relay(outbox=DyingOutbox(outbox), books=books, consumer="one", block_ms=0)
    with pytest.raises(Killed):
        await dying.drain_once()
    assert await _captured(books, terms.account_id) == (100 * CREDIT, 100 * CREDIT)
    assert (await reconcile(books, ledger)).ok
    # Another takes its records over once it is known to be dead.
    await _make_old(redis, terms.account_id, "one")
    heir = Relay(outbox=Outbox(redis), books=books, consumer="two", block_ms=0)
    assert await heir.drain_once() == 5
    assert (heir.counts.records, heir.counts.booked) == (5, 0)
    assert await _captured(books, terms.account_id) == (100 * CREDIT, 100 * CREDIT)
    assert (await heir.lag()).records == 0
    assert (await reconcile(books, ledger)).ok


async def _make_old(redis: RedisConnection, account_id: str, consumer: str) -> None:
    """Let a consumer's records look as if it had been silent for long."""
    key = outbox_key(shard_prefix(shard_of(account_id)))
    pending = await redis.execute("XPENDING", key, "books", "-", "+", 100, key=key)
    for stream_id, *_ in pending:
        await redis.execute("XCLAIM", key, "books", consumer, 0, stream_id, "IDLE", 10_000, key=key)


async def test_relays_that_work_at_once_share_the_records(
    books: Books, ledger: Ledger, terms: Terms, redis: RedisConnection
) -> None:
    await calls(ledger, terms, 1, 60)
    relays = [
        Relay(outbox=Outbox(redis), books=books, consumer=f"relay-{number}", count=7, block_ms=0) for number in range(3)
    ]
    await asyncio.gather(*(_drained(relay) for relay in relays))
    assert await _captured(books, terms.account_id) == (1200 * CREDIT, 1200 * CREDIT)
    assert sum(relay.counts.booked for relay in relays) == 60
    assert (await reconcile(books, ledger)).ok


async def test_books_that_are_away_lose_nothing_and_hold_back_the_reading(books: Books) -> None:
    records = Records(*(event("acc_1", number) for number in range(1, 7)))
    failing = FailingBooks(books, away_for=3)
    pauses: list[float] = []

    async def sleep(pause_s: float) -> None:
        if relay.counts.away:
            pauses.append(pause_s)
            # While the books are away nothing more is taken than is already in hand.
            assert records.reads == 1
        await asyncio.sleep(0)

    relay = Relay(outbox=records, books=failing, consumer="one", count=3, sleep=sleep)  # type: ignore[arg-type]
    running = asyncio.create_task(relay.run())
    await records.done.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await _captured(books, "acc_1") == (120 * CREDIT, 120 * CREDIT)
    assert (len(pauses), relay.counts.failures, relay.counts.away) == (3, 3, False)
    assert pauses[0] <= 0.1 < pauses[2] <= 0.4


async def test_a_redis_that_is_away_is_waited_for(books: Books) -> None:
    records = Records(event("acc_1", 1))
    records.away = 2
    relay = Relay(outbox=records, books=books, consumer="one", sleep=lambda _: asyncio.sleep(0))
    running = asyncio.create_task(relay.run())
    await records.done.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert relay.counts.failures == 2


async def test_a_record_nobody_can_read_is_put_aside_and_the_rest_flows(books: Books) -> None:
    records = Records(event("acc_1", 1), None, event("acc_1", 2))
    relay = Relay(outbox=records, books=books, consumer="one")
    assert await relay.drain_once() == 3
    assert records.acknowledged == ["1-0", "1-1", "1-2"]
    assert await _captured(books, "acc_1") == (40 * CREDIT, 40 * CREDIT)
    async with books.read() as conn:
        (aside,) = await poison.every(conn)
        assert await poison.count(conn) == 1
    assert (aside.stream_id, aside.reason) == ("1-1", "no kind")
    assert aside.raw == r'{"kind": "usage", "id": "\\xff\\x00"}'


def _unbookable(number: int) -> UsageEvent:
    return replace(event("acc_1", number), captured_millicredits=2**63)


async def test_a_record_the_books_refuse_is_put_aside_and_the_rest_flows(books: Books) -> None:
    events = [_unbookable(number) if number in {3, 8} else event("acc_1", number) for number in range(11)]
    records = Records(*events, job("acc_1", 50, "pjb-1"))
    relay = Relay(outbox=records, books=books, consumer="one")
    assert await relay.drain_once() == 12
    assert await _captured(books, "acc_1") == (180 * CREDIT, 180 * CREDIT)
    async with books.read() as conn:
        aside = await poison.every(conn)
    assert {record.stream_id for record in aside} == {"1-3", "1-8"}
    assert (relay.counts.poison, relay.counts.booked, len(records.acknowledged)) == (2, 10, 12)


async def test_nul_in_a_text_is_no_end_of_the_relay(books: Books) -> None:
    records = Records(event("acc_1", 1, mode="a\x00b"), event("acc_1", 2))
    relay = Relay(outbox=records, books=books, consumer="one")
    assert await relay.drain_once() == 2
    async with books.read() as conn:
        booked = await usage.booked_ids(conn, [f"req_{2:032x}.captured"])
    assert booked
    assert len(records.acknowledged) == 2
