"""Counters that lack what the books have are found and put right, whatever hid it."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from gateway.books import usage
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.domain.hold import Ending
from gateway.domain.terms import Terms
from gateway.flows.accounts import Accounts
from gateway.flows.audit import Auditor
from gateway.flows.authenticate import TermsOf
from gateway.flows.rebuild import Rebuilder
from gateway.flows.reconcile import reconcile
from gateway.flows.relay import Relay
from gateway.flows.watch_store import StoreWatch
from gateway.ledger.connection import RedisConnection
from gateway.ledger.keys import account_prefix, acct_key, period_key
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.flows.calls import calls, capture, hold
from tests.made_up import CREDIT, Clock, event


@pytest.fixture
def rebuilder(books: Books, ledger: Ledger, outbox: Outbox, terms_of: TermsOf, clock: Clock) -> Rebuilder:
    return Rebuilder(books=books, ledger=ledger, outbox=outbox, terms_of=terms_of, clock=clock)


@pytest.fixture
def auditor(books: Books, ledger: Ledger, rebuilder: Rebuilder) -> Auditor:
    return Auditor(books=books, ledger=ledger, rebuild=rebuilder)


@pytest.fixture
def relay(outbox: Outbox, books: Books, auditor: Auditor) -> Relay:
    return Relay(outbox=outbox, books=books, consumer="one", block_ms=0, doubt=auditor.doubt)


@pytest.fixture
async def terms(accounts: Accounts, rebuilder: Rebuilder, terms_of: TermsOf, clock: Clock) -> Terms:
    """An account that Redis knows."""
    opened = await accounts.create("Acme", "starter")
    await rebuilder(opened.id)
    known = await terms_of(opened.id, clock())
    assert known is not None
    return known


async def _captured(ledger: Ledger, terms: Terms) -> int:
    found = await ledger.usage(terms.account_id, terms.periods[0].start_ms)
    assert found is not None
    return found[0]


async def _set_back(redis: RedisConnection, terms: Terms, *, seq: int, captured: int) -> None:
    prefix = account_prefix(terms.account_id)
    await redis.execute("HSET", acct_key(prefix, terms.account_id), "seq", seq, key=prefix)
    period = period_key(prefix, terms.account_id, terms.periods[0].start_ms)
    await redis.execute("HSET", period, "captured", captured, key=prefix)


async def test_an_account_that_nobody_calls_is_rebuilt_too_when_redis_came_back_older(
    auditor: Auditor, ledger: Ledger, books: Books, redis: RedisConnection, relay: Relay, terms: Terms
) -> None:
    await calls(ledger, terms, 1, 5)
    await relay.drain_once()
    await _set_back(redis, terms, seq=2, captured=40 * CREDIT)
    auditor.look_at_all()
    await auditor.turn()
    assert await _captured(ledger, terms) == 100 * CREDIT
    assert (await reconcile(books, ledger)).ok


async def test_a_redis_that_counted_on_past_the_books_before_anyone_looked_is_found_out_by_its_numbers(
    auditor: Auditor, ledger: Ledger, books: Books, redis: RedisConnection, relay: Relay, terms: Terms
) -> None:
    await calls(ledger, terms, 1, 5)
    open_before = [await hold(ledger, terms, number) for number in range(10, 18)]
    await relay.drain_once()
    await auditor.turn()
    await _set_back(redis, terms, seq=2, captured=40 * CREDIT)
    for hold_id in open_before:
        await capture(ledger, terms, hold_id)
    assert (await ledger.counters(terms.account_id)).seq == 10
    assert not (await reconcile(books, ledger)).ok
    await relay.drain_once()
    await auditor.turn()
    assert await _captured(ledger, terms) == 13 * 20 * CREDIT
    assert (await reconcile(books, ledger)).ok


async def test_records_booked_after_redis_was_emptied_and_rebuilt_without_them_are_not_given_away(
    auditor: Auditor,
    ledger: Ledger,
    books: Books,
    outbox: Outbox,
    redis: RedisConnection,
    rebuilder: Rebuilder,
    terms: Terms,
) -> None:
    await calls(ledger, terms, 1, 3)

    class Slow(Books):
        """Emptied and rebuilt is Redis between a relay's reading and its booking."""

        def begin(self):  # type: ignore[no-untyped-def] # noqa: ANN202
            if not emptied:
                raise BooksUnavailable("in a moment")
            return books.begin()

    emptied: list[bool] = []
    relay = Relay(
        outbox=outbox, books=Slow(books._engine, read_only=False), consumer="one", block_ms=0, doubt=auditor.doubt
    )
    with suppress(BooksUnavailable):
        await relay.drain_once()
    emptied.append(True)
    await redis.on_every_node("FLUSHALL")
    await rebuilder(terms.account_id)
    assert await _captured(ledger, terms) == 0
    await relay.drain_once()
    await auditor.turn()
    assert await _captured(ledger, terms) == 60 * CREDIT
    assert (await reconcile(books, ledger)).ok


async def test_an_account_in_order_is_left_alone(auditor: Auditor, ledger: Ledger, relay: Relay, terms: Terms) -> None:
    await calls(ledger, terms, 1, 3)
    await relay.drain_once()
    before = await ledger.counters(terms.account_id)
    assert not await auditor.check(terms.account_id)
    assert await ledger.counters(terms.account_id) == before


async def test_a_doubt_outlives_stores_that_are_away(
    auditor: Auditor, ledger: Ledger, redis: RedisConnection, relay: Relay, rebuilder: Rebuilder, terms: Terms
) -> None:
    async def away(account_id: str) -> None:
        raise BooksUnavailable("for a moment")

    await auditor.turn()
    await calls(ledger, terms, 1, 5)
    await relay.drain_once()
    await _set_back(redis, terms, seq=5, captured=0)
    auditor.doubt([terms.account_id])
    auditor._rebuild = away
    with pytest.raises(BooksUnavailable):
        await auditor.turn()
    auditor._rebuild = rebuilder
    await auditor.turn()
    assert await _captured(ledger, terms) == 100 * CREDIT


async def test_more_doubts_than_memory_are_one_look_at_everything(auditor: Auditor) -> None:
    await auditor.turn()
    auditor.doubt(f"acc_{number}" for number in range(10_001))
    assert auditor._everything
    assert auditor._doubted == set()


async def test_doubts_are_numbers_given_twice_and_recoveries_not_what_is_read_again(books: Books) -> None:
    first, second = event("acc_1", 1), event("acc_1", 2)
    async with books.begin() as conn:
        assert await usage.doubtful(conn, [first, second]) == frozenset()
        await usage.book(conn, [first, second])
        assert await usage.doubtful(conn, [first, second, event("acc_1", 3)]) == frozenset()
        assert await usage.doubtful(conn, [event("acc_1", 9, seq=2)]) == {"acc_1"}
        assert await usage.doubtful(conn, [replace(first, seq=7)]) == frozenset()
        await usage.book(conn, [event("acc_1", 8)])
        assert await usage.doubtful(conn, [replace(first, seq=7)]) == {"acc_1"}
        assert await usage.doubtful(conn, [event("acc_2", 1, ending=Ending.RECOVERED)]) == {"acc_2"}


async def test_an_emptied_redis_is_noticed_by_its_missing_name_once(ledger: Ledger, redis: RedisConnection) -> None:
    told: list[str] = []
    watch = StoreWatch(ledger, [lambda: told.append("one"), lambda: told.append("other")])
    beside = StoreWatch(ledger, [lambda: told.append("beside")])
    await watch.look()
    await beside.look()
    assert told == []
    await redis.on_every_node("FLUSHALL")
    await watch.look()
    assert told == ["one", "other"]
    await beside.look()
    assert told == ["one", "other", "beside"]
    await asyncio.gather(watch.look(), beside.look())
    assert len(told) == 3
