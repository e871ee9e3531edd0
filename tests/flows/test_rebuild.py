"""A Redis that comes back empty, older, or fenced has its counters again before anyone is admitted against it."""

import asyncio
from typing import Any

import pytest

from gateway.books import meta
from gateway.books.books import Books
from gateway.domain.admission import Admitted
from gateway.domain.terms import Terms
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import TermsOf
from gateway.flows.faults import NoSuchThing
from gateway.flows.rebuild import Rebuilder, rebuild
from gateway.flows.reconcile import reconcile
from gateway.flows.relay import Relay
from gateway.ledger.answers import AdmitCall, NotProjected, Reproject
from gateway.ledger.connection import RedisConnection
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.flows.calls import calls, capture, hold
from tests.made_up import CREDIT, Clock


@pytest.fixture
def relay(outbox: Outbox, books: Books) -> Relay:
    return Relay(outbox=outbox, books=books, consumer="one", block_ms=0)


async def _fresh(terms_of: TermsOf, terms: Terms, clock: Clock) -> Terms:
    now = await terms_of(terms.account_id, clock())
    assert now is not None
    return now


async def _captured(ledger: Ledger, account_id: str) -> int:
    return sum(period.captured_millicredits for period in (await ledger.counters(account_id)).periods.values())


async def _ask(ledger: Ledger, terms: Terms) -> Admitted | NotProjected | Any:
    return await ledger.admit(AdmitCall("req_ask", "req_ask", terms, (), None, CREDIT, CREDIT, 60_000, b"{}"))


async def test_an_account_nobody_projected_is_made_from_the_books(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, terms_of: TermsOf, clock: Clock
) -> None:
    counters = await ledger.counters(terms.account_id)
    (period,) = counters.periods.values()
    assert period.granted_millicredits == 40_000 * CREDIT
    assert (counters.epoch, counters.seq, counters.terms_version) == (1, 0, 1)
    assert not await rebuild(books, ledger, outbox, terms)


async def test_a_redis_flushed_empty_is_rebuilt_as_it_was(
    books: Books,
    ledger: Ledger,
    outbox: Outbox,
    terms: Terms,
    relay: Relay,
    redis: RedisConnection,
    terms_of: TermsOf,
    clock: Clock,
) -> None:
    await calls(ledger, terms, 1, 5)
    await relay.drain_once()
    before = await ledger.counters(terms.account_id)
    await redis.on_every_node("FLUSHALL")
    fresh = await _fresh(terms_of, terms, clock)
    assert fresh.booked_seq == 5
    answer = await _ask(ledger, fresh)
    assert isinstance(answer, NotProjected)
    assert answer.reason is Reproject.UNKNOWN
    assert await rebuild(books, ledger, outbox, fresh)
    assert await ledger.counters(terms.account_id) == before
    assert (await reconcile(books, ledger)).ok


async def test_events_still_in_the_outbox_count_too_and_once(
    books: Books,
    ledger: Ledger,
    outbox: Outbox,
    terms: Terms,
    relay: Relay,
    redis: RedisConnection,
    terms_of: TermsOf,
    clock: Clock,
) -> None:
    await calls(ledger, terms, 1, 3)
    await relay.drain_once()
    await calls(ledger, terms, 4, 4)
    # Read by a relay, booked, and not acknowledged yet: in the books and in the outbox at once.
    half = Outbox(redis)
    await Relay(outbox=_NoAck(half), books=books, consumer="two", count=2, block_ms=0).drain_once()
    await calls(ledger, terms, 8, 2)
    expected = await _captured(ledger, terms.account_id)
    assert expected == 9 * 20 * CREDIT
    await _forget_account(redis, terms.account_id)
    assert await rebuild(books, ledger, outbox, await _fresh(terms_of, terms, clock))
    assert await _captured(ledger, terms.account_id) == expected
    assert (await reconcile(books, ledger)).ok


class _NoAck:
    """An outbox that forgets to acknowledge."""

    def __init__(self, outbox: Outbox) -> None:
        self.read = outbox.read
        self.lag = outbox.lag

    async def ack(self, records: Any) -> int:
        return 0


async def _forget_account(redis: RedisConnection, account_id: str) -> None:
    """Lose the account's own keys and keep the outbox."""
    from gateway.ledger.keys import account_prefix

    prefix = account_prefix(account_id)
    keys = await redis.execute("KEYS", f"{prefix}*{account_id}*".replace("{", "\\{"), key=prefix)
    for key in keys:
        await redis.execute("DEL", key, key=prefix)


async def test_a_redis_older_than_the_books_is_noticed_and_rebuilt(
    books: Books,
    ledger: Ledger,
    outbox: Outbox,
    terms: Terms,
    relay: Relay,
    redis: RedisConnection,
    terms_of: TermsOf,
    clock: Clock,
) -> None:
    from gateway.ledger.keys import account_prefix, acct_key, period_key

    prefix = account_prefix(terms.account_id)
    await calls(ledger, terms, 1, 2)
    still_open = await hold(ledger, terms, 90)
    soon_settled = await hold(ledger, terms, 91)
    await relay.drain_once()
    dumps = {
        key: await redis.execute("DUMP", key, key=prefix)
        for key in await redis.execute("KEYS", "*", key=prefix)
        if b"outbox" not in key
    }
    await calls(ledger, terms, 3, 4)
    await capture(ledger, terms, soon_settled)
    await relay.drain_once()
    # A replica that lagged behind takes over: everything as it was, less what came after.
    await redis.on_every_node("FLUSHALL")
    for key, dump in dumps.items():
        await redis.execute("RESTORE", key, 0, dump, key=prefix)
    fresh = await _fresh(terms_of, terms, clock)
    answer = await _ask(ledger, fresh)
    assert isinstance(answer, NotProjected)
    assert answer.reason is Reproject.BEHIND
    report = await reconcile(books, ledger)
    assert "highest sequence number" in {difference.what for difference in report.differences}
    assert await rebuild(books, ledger, outbox, fresh)
    assert (await reconcile(books, ledger)).ok
    counters = await ledger.counters(terms.account_id)
    assert [held.hold_id for held in counters.open_holds] == [still_open]
    assert sum(period.captured_millicredits for period in counters.periods.values()) == 7 * 20 * CREDIT
    assert await redis.execute("HGET", acct_key(prefix, terms.account_id), "seq", key=prefix) == b"7"
    assert await redis.execute("EXISTS", period_key(prefix, terms.account_id, fresh.periods[0].start_ms), key=prefix)


async def test_a_raised_epoch_fences_every_counter_until_it_is_rebuilt(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, terms_of: TermsOf, clock: Clock
) -> None:
    await calls(ledger, terms, 1, 3)
    async with books.begin() as conn:
        assert await meta.raise_epoch(conn) == 2
    fresh = await _fresh(terms_of, terms, clock)
    answer = await _ask(ledger, fresh)
    assert isinstance(answer, NotProjected)
    assert answer.reason is Reproject.FENCED
    assert await rebuild(books, ledger, outbox, fresh)
    assert await _captured(ledger, terms.account_id) == 60 * CREDIT
    assert isinstance(await _ask(ledger, fresh), Admitted)


async def test_a_rebuild_in_the_middle_of_traffic_loses_no_capture(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, terms_of: TermsOf, clock: Clock, relay: Relay
) -> None:
    holds = [await hold(ledger, terms, number) for number in range(1, 31)]
    async with books.begin() as conn:
        await meta.raise_epoch(conn)
    fresh = await _fresh(terms_of, terms, clock)

    async def settle() -> None:
        for hold_id in holds:
            await capture(ledger, terms, hold_id)

    async def book() -> None:
        for _ in range(10):
            await relay.drain_once()

    await asyncio.gather(settle(), book(), *(rebuild(books, ledger, outbox, fresh) for _ in range(3)))
    await rebuild(books, ledger, outbox, fresh)
    counters = await ledger.counters(terms.account_id)
    assert counters.epoch == 2
    assert await _captured(ledger, terms.account_id) == 30 * 20 * CREDIT
    report = await reconcile(books, ledger)
    assert report.ok, report.differences


async def test_a_crowd_rebuilds_once(
    books: Books, ledger: Ledger, outbox: Outbox, accounts: Accounts, terms_of: TermsOf, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "free")
    loads: list[str] = []

    class Counted(Ledger):
        async def load(self, terms: Terms, *args: Any, **options: Any) -> bool:
            loads.append(terms.account_id)
            return await ledger.load(terms, *args, **options)

    counted = Counted(ledger._redis)
    rebuilder = Rebuilder(books=books, ledger=counted, outbox=outbox, terms_of=terms_of, clock=clock)
    await asyncio.gather(*(rebuilder(opened.id) for _ in range(50)))
    assert loads == [opened.id]
    with pytest.raises(NoSuchThing):
        await rebuilder("acc_none")


async def _attach(ledger: Ledger, terms: Terms, hold_id: str, job_id: str) -> None:
    assert await ledger.attach_job(
        hold_id,
        terms.account_id,
        upstream="parse",
        job_kind="parse",
        job_id=job_id,
        limit_ms=1_800_000,
        first_look_ms=1000,
    )


async def test_jobs_that_run_while_redis_is_emptied_are_charged_all_the_same(
    books: Books,
    ledger: Ledger,
    outbox: Outbox,
    terms: Terms,
    relay: Relay,
    redis: RedisConnection,
    terms_of: TermsOf,
    clock: Clock,
) -> None:
    running, ended = [await hold(ledger, terms, number) for number in (1, 2)]
    await _attach(ledger, terms, running, "pjb-1")
    await _attach(ledger, terms, ended, "pjb-2")
    await capture(ledger, terms, ended)
    await relay.drain_once()
    before = await ledger.counters(terms.account_id)
    await redis.on_every_node("FLUSHALL")
    assert await rebuild(books, ledger, outbox, await _fresh(terms_of, terms, clock))
    assert await ledger.counters(terms.account_id) == before
    await capture(ledger, terms, running)
    await relay.drain_once()
    assert await _captured(ledger, terms.account_id) == 40 * CREDIT
    assert (await reconcile(books, ledger)).ok
    await redis.on_every_node("FLUSHALL")
    assert await rebuild(books, ledger, outbox, await _fresh(terms_of, terms, clock))
    assert (await ledger.counters(terms.account_id)).open_holds == ()
