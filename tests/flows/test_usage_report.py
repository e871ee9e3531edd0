"""Usage adds up at every moment: while calls run, are settled and are booked, and with a store away."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.books.books import Books
from gateway.books.reports import Bucket, By
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms
from gateway.domain.terms import Terms
from gateway.flows.accounts import Accounts
from gateway.flows.authenticate import TermsOf
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.relay import Relay
from gateway.flows.usage_report import Range, UsageReport, UsageReports
from gateway.ledger.answers import Counters
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.flows.calls import DELIVERED, call, calls, capture, hold
from tests.made_up import CREDIT, Clock


@pytest.fixture
def reports(books: Books, ledger: Ledger, terms_of: TermsOf) -> UsageReports:
    return UsageReports(books=books, ledger=ledger, terms_of=terms_of)


@pytest.fixture
def relay(books: Books, outbox: Outbox) -> Relay:
    return Relay(outbox=outbox, books=books, consumer="one", block_ms=0)


class Between:
    """A ledger that lets something happen right after it was read."""

    def __init__(self, ledger: Ledger, happens: Callable[[], Awaitable[object]]) -> None:
        self._ledger = ledger
        self._happens = happens
        self.read: list[Counters] = []

    async def counters(self, account_id: str) -> Counters:
        counters = await self._ledger.counters(account_id)
        if not self.read:
            await self._happens()
        self.read.append(counters)
        return counters


class Away:
    async def counters(self, account_id: str) -> Counters:
        raise StoreUnavailable("timeout")


def told(report: UsageReport) -> tuple[int, int, int, int]:
    """Used, held, remaining and pay-as-you-go, in credits."""
    credits_ = report.credits
    assert report.bucket_millicredits == credits_.used_millicredits
    return (
        credits_.used_millicredits // CREDIT,
        credits_.held_millicredits // CREDIT,
        credits_.remaining_millicredits // CREDIT,
        credits_.pay_as_you_go_millicredits // CREDIT,
    )


async def test_a_call_is_held_then_used_before_and_after_it_is_booked(
    reports: UsageReports, ledger: Ledger, terms: Terms, clock: Clock, relay: Relay
) -> None:
    async def now() -> UsageReport:
        return await reports.of_account(terms.account_id, clock())

    assert told(await now()) == (0, 0, 40_000, 0)
    hold_id = await hold(ledger, terms, 1)
    assert told(await now()) == (0, 100, 39_900, 0)
    await capture(ledger, terms, hold_id)
    unbooked = await now()
    assert told(unbooked) == (20, 0, 39_980, 0)
    assert unbooked.buckets == (Bucket(1, 2, 20 * CREDIT, "parse", "agentic"),)
    await relay.drain_once()
    assert await now() == unbooked


async def test_an_event_that_is_booked_and_still_in_the_outbox_counts_once(
    reports: UsageReports, books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, clock: Clock
) -> None:
    class NeverAcknowledges:
        read = outbox.read
        lag = outbox.lag

        async def ack(self, records: object) -> int:
            return 0

    await calls(ledger, terms, 1, 3)
    assert await Relay(outbox=NeverAcknowledges(), books=books, consumer="one", block_ms=0).drain_once() == 3
    assert len((await ledger.counters(terms.account_id)).unbooked) == 3
    assert told(await reports.of_account(terms.account_id, clock()))[0] == 60


async def test_what_is_settled_and_booked_while_the_report_is_read_is_not_counted_twice(
    books: Books, ledger: Ledger, terms: Terms, terms_of: TermsOf, clock: Clock, relay: Relay
) -> None:
    await call(ledger, terms, 1)
    hold_id = await hold(ledger, terms, 2)

    async def settled_and_booked() -> None:
        await capture(ledger, terms, hold_id)
        await relay.drain_once()

    between = Between(ledger, settled_and_booked)
    reports = UsageReports(books=books, ledger=between, terms_of=terms_of)
    # As it was at the moment Redis was read: still held.
    assert told(await reports.of_account(terms.account_id, clock())) == (20, 100, 39_880, 0)
    assert told(await reports.of_account(terms.account_id, clock())) == (40, 0, 39_960, 0)


async def test_buckets_add_up_to_what_redis_counts_while_traffic_and_booking_run(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, terms_of: TermsOf, clock: Clock
) -> None:
    done = asyncio.Event()

    async def traffic() -> None:
        await asyncio.gather(*(calls(ledger, terms, 100 * lane, 30) for lane in range(1, 4)))
        done.set()

    async def booking() -> None:
        relay = Relay(outbox=outbox, books=books, consumer="one", count=7, block_ms=0)
        booked = 1
        while booked or not done.is_set():
            booked = await relay.drain_once()

    async def looking() -> None:
        while not done.is_set():
            spy = Between(ledger, lambda: asyncio.sleep(0))
            reports = UsageReports(books=books, ledger=spy, terms_of=terms_of)
            report = await reports.of_account(terms.account_id, clock(), by=(By.DAY, By.KEY))
            counted = spy.read[0].periods[report.period.start_ms]
            assert report.bucket_millicredits == report.credits.used_millicredits == counted.captured_millicredits
            assert report.credits.held_millicredits == counted.held_millicredits

    await asyncio.gather(traffic(), booking(), looking())
    reports = UsageReports(books=books, ledger=ledger, terms_of=terms_of)
    assert told(await reports.of_account(terms.account_id, clock()))[0] == 90 * 20


async def test_remaining_is_never_less_than_nothing_and_overage_is_told(
    reports: UsageReports, ledger: Ledger, terms: Terms, clock: Clock
) -> None:
    await call(ledger, terms, 1, cost=40_050 * CREDIT)
    assert told(await reports.of_account(terms.account_id, clock())) == (40_050, 0, 0, 50)


async def test_releases_are_no_calls(reports: UsageReports, ledger: Ledger, terms: Terms, clock: Clock) -> None:
    await ledger.release(await hold(ledger, terms, 1), terms.account_id, settlement=DELIVERED)
    report = await reports.of_account(terms.account_id, clock())
    assert (told(report)[0], report.buckets) == (0, ())


async def test_with_redis_away_it_tells_what_is_booked_and_says_so(
    books: Books, ledger: Ledger, terms: Terms, terms_of: TermsOf, clock: Clock, relay: Relay
) -> None:
    await call(ledger, terms, 1)
    await relay.drain_once()
    await call(ledger, terms, 2)
    await hold(ledger, terms, 3)
    report = await UsageReports(books=books, ledger=Away(), terms_of=terms_of).of_account(terms.account_id, clock())
    assert not report.live
    assert told(report) == (20, 0, 39_980, 0)


async def test_a_redis_that_came_back_empty_does_not_make_usage_smaller(
    reports: UsageReports, ledger: Ledger, terms: Terms, clock: Clock, relay: Relay, redis: RedisConnection
) -> None:
    await calls(ledger, terms, 1, 3)
    await relay.drain_once()
    await redis.on_every_node("FLUSHALL")
    assert told(await reports.of_account(terms.account_id, clock())) == (60, 0, 39_940, 0)


async def test_a_range_tells_the_calls_that_were_admitted_in_it(
    reports: UsageReports, ledger: Ledger, terms: Terms, clock: Clock, relay: Relay
) -> None:
    await call(ledger, terms, 1)
    await relay.drain_once()
    await call(ledger, terms, 2)
    now_ms = epoch_ms(clock())
    today = Range(now_ms - HOUR_MS, now_ms + HOUR_MS)
    report = await reports.of_account(terms.account_id, clock(), by=(), within=today)
    assert report.buckets == (Bucket(2, 4, 40 * CREDIT),)
    assert report.credits.used_millicredits == 40 * CREDIT
    before = Range(now_ms - 2 * DAY_MS, now_ms - DAY_MS)
    assert (await reports.of_account(terms.account_id, clock(), within=before)).buckets == ()


async def test_it_says_what_cannot_be_asked(reports: UsageReports, terms: Terms, clock: Clock) -> None:
    with pytest.raises(NoSuchThing, match="acc_nobody"):
        await reports.of_account("acc_nobody", clock())
    with pytest.raises(CallerFault, match="product, mode, day, project, key; 'colour' is none"):
        await reports.of_account(terms.account_id, clock(), by=["colour"])
    with pytest.raises(CallerFault, match="range must end after it starts"):
        await reports.of_account(terms.account_id, clock(), within=Range(5, 5))
    with pytest.raises(NoSuchThing, match="prj_nobody"):
        await reports.must_own(terms.account_id, "prj_nobody")


async def test_a_closed_account_still_sees_its_last_period(
    reports: UsageReports, accounts: Accounts, ledger: Ledger, terms: Terms, clock: Clock
) -> None:
    await call(ledger, terms, 1)
    await accounts.close(terms.account_id)
    assert told(await reports.of_account(terms.account_id, clock()))[0] == 20
