"""What Redis has acknowledged and then forgotten is settled again by the process that settled it, once."""

import asyncio

import pytest

from gateway.books.books import Books
from gateway.domain.outcome import Attach, Capture, Release
from gateway.domain.terms import Terms
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import TermsOf
from gateway.flows.live_holds import LiveHolds
from gateway.flows.rebuild import Rebuilder
from gateway.flows.reconcile import reconcile
from gateway.flows.relay import Relay
from gateway.flows.settle import Held, Settler
from gateway.ledger.connection import RedisConnection
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.wire.call_facts import facts_json
from gateway.wire.route import JobKind
from tests.flows.calls import hold
from tests.made_up import CREDIT, Clock, facts

KIND = JobKind("parse", "parse", ("id",), "/jobs/{job_id}", ("status",), {}, (), 1_800_000)
COST = Capture(20 * CREDIT, 2, "told")


@pytest.fixture
def rebuilder(books: Books, ledger: Ledger, outbox: Outbox, terms_of: TermsOf, clock: Clock) -> Rebuilder:
    return Rebuilder(books=books, ledger=ledger, outbox=outbox, terms_of=terms_of, clock=clock)


@pytest.fixture
def settler(books: Books, ledger: Ledger, rebuilder: Rebuilder) -> Settler:
    return Settler(ledger, books, LiveHolds(ledger), rebuilder)


@pytest.fixture
def relay(outbox: Outbox, books: Books) -> Relay:
    return Relay(outbox=outbox, books=books, consumer="one", block_ms=0)


@pytest.fixture
async def terms(accounts: Accounts, rebuilder: Rebuilder, terms_of: TermsOf, clock: Clock) -> Terms:
    opened = await accounts.create("Acme", "starter")
    await rebuilder(opened.id)
    known = await terms_of(opened.id, clock())
    assert known is not None
    return known


async def _held(ledger: Ledger, terms: Terms, number: int) -> Held:
    hold_id = await hold(ledger, terms, number)
    told = facts_json(facts(terms.account_id, hold_id))
    return Held(hold_id, terms.account_id, 100 * CREDIT, terms.periods[0].start_ms, told)


async def _again(settler: Settler) -> None:
    settler.settle_again()
    await settler.close(10)


async def test_what_an_emptied_redis_had_not_told_the_books_is_charged_again_and_once(
    settler: Settler, ledger: Ledger, books: Books, relay: Relay, redis: RedisConnection, terms: Terms
) -> None:
    booked, lost, started = [await _held(ledger, terms, number) for number in (1, 2, 3)]
    await settler.settle(booked, COST, cap=False, kind=None)
    await relay.drain_once()
    await settler.settle(lost, COST, cap=False, kind=None)
    await settler.settle(started, Attach("pjb-1"), cap=False, kind=KIND)
    await redis.on_every_node("FLUSHALL")
    await _again(settler)
    counters = await ledger.counters(terms.account_id)
    (period,) = counters.periods.values()
    assert (period.captured_millicredits, period.held_millicredits) == (40 * CREDIT, 100 * CREDIT)
    assert [(held.hold_id, held.job_id) for held in counters.open_holds] == [(started.hold_id, "pjb-1")]
    await relay.drain_once()
    await _again(settler)
    await relay.drain_once()
    assert (await ledger.counters(terms.account_id)).periods == counters.periods
    assert (await reconcile(books, ledger)).ok


async def test_a_redis_that_had_everything_changes_nothing(
    settler: Settler, ledger: Ledger, redis: RedisConnection, terms: Terms
) -> None:
    captured, released, started = [await _held(ledger, terms, number) for number in (1, 2, 3)]
    await settler.settle(captured, COST, cap=False, kind=None)
    await settler.settle(released, Release("the upstream gave no reply"), cap=False, kind=None)
    await settler.settle(started, Attach("pjb-1"), cap=False, kind=KIND)
    before = await ledger.counters(terms.account_id)
    await _again(settler)
    assert await ledger.counters(terms.account_id) == before


async def test_a_job_that_began_while_redis_lost_its_hold_holds_and_is_followed(
    settler: Settler, ledger: Ledger, redis: RedisConnection, terms: Terms
) -> None:
    held = await _held(ledger, terms, 1)
    await redis.on_every_node("FLUSHALL")
    assert await settler.settle(held, Attach("pjb-1"), cap=False, kind=KIND) is None
    (one,) = (await ledger.counters(terms.account_id)).open_holds
    assert (one.hold_id, one.amount_millicredits, one.job_id) == (held.hold_id, 100 * CREDIT, "pjb-1")


async def test_what_was_settled_long_ago_is_not_asked_again(
    settler: Settler, ledger: Ledger, terms: Terms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flows.settle.RECENT_S", 0.0)
    await settler.settle(await _held(ledger, terms, 1), COST, cap=False, kind=None)
    await asyncio.sleep(0)
    settler.settle_again()
    assert settler._under_way == set()
