"""A sandbox account is walked through months: everything about its billing happens by its own clock, and only that."""

import shutil
import tempfile
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from gateway.books import alerts as raised_alerts
from gateway.books import invoice_collections, invoices, payment_attempts, periods, subscriptions, usage
from gateway.books.accounts import get as booked_account
from gateway.books.books import Books
from gateway.books.invoices import BookedInvoice
from gateway.books.periods import BookedPeriod
from gateway.books.tables import grants, usage_events, webhook_deliveries, webhook_messages
from gateway.domain.contract import BillingPeriod
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.payment import CollectionState
from gateway.domain.terms import AccountStatus, Terms
from gateway.flows.accounts import Accounts
from gateway.flows.alerts import AlertWatch
from gateway.flows.contracts import Contracts
from gateway.flows.fake_bank import FakeBank
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.in_redis import ReadsCounters
from gateway.flows.issue_invoice import Closer
from gateway.flows.own_clock import FARTHEST_MS, OwnClocks
from gateway.flows.preview_plan import TakesEffect
from gateway.flows.prove_invoices import prove_invoices
from gateway.flows.rebuild import rebuild
from gateway.flows.reconcile import reconcile
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.flows.till import Till, till_over
from gateway.flows.usage_report import UsageReports
from gateway.flows.webhooks import Webhooks
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.payments.fake import Fake
from tests.billing import NoRedis, billing_over
from tests.flows import calls
from tests.flows.conftest import PEPPER
from tests.flows.contracted import CONTRACT, SOLD
from tests.made_up import CREDIT, Clock, event

MONTHS = 14


@dataclass
class Yard:
    """Where sandboxes are, and the flows over them. `ledger` None: Redis has never seen any account."""

    books: Books
    clock: Clock
    ledger: Ledger | None
    tell: TellLedger
    till: Till
    accounts: Accounts
    contracts: Contracts
    closer: Closer
    clocks: OwnClocks

    async def open(self, plan: str, card: str | None = None, *, sandbox: bool = True) -> str:
        opened = await self.accounts.create("Acme", plan, sandbox=sandbox)
        if card is not None:
            await self.till.methods.add_fake(opened.id, card, actor="owner")
            await self.till.collector.collect(opened.id)
        return opened.id

    async def terms(self, account_id: str) -> Terms:
        terms = await current_terms(self.books, SOLD, account_id, self.clock())
        assert terms is not None
        return terms

    async def booked(self, account_id: str) -> list[BookedPeriod]:
        async with self.books.read() as conn:
            return await periods.of_account(conn, account_id)

    async def running(self, account_id: str) -> BookedPeriod:
        own_ms = (await self.clocks.show(account_id)).now_ms
        return next(one for one in await self.booked(account_id) if one.start_ms <= own_ms < one.end_ms)

    async def issued(self, account_id: str) -> list[BookedInvoice]:
        async with self.books.read() as conn:
            return (await invoices.of_account(conn, account_id))[::-1]

    async def plan(self, account_id: str) -> str | None:
        async with self.books.read() as conn:
            return (await subscriptions.plans_in_force(conn, epoch_ms(self.clock()))).get(account_id)


def yard_over(books: Books, clock: Clock, ledger: Ledger | None) -> Yard:
    reads: ReadsCounters = NoRedis() if ledger is None else ledger
    tell = TellLedger(books=books, ledger=ledger, plans=lambda: SOLD, clock=clock)
    billing = billing_over(books, clock, plans=SOLD, ledger=reads, tell=tell)
    till = till_over(billing, Fake(FakeBank(books)))
    closer = Closer(billing, longest_hold_ms=lambda: 0)
    clocks = OwnClocks(billing, closer=closer, collector=till.collector)
    return Yard(books, clock, ledger, tell, till, Accounts(billing), Contracts(billing), closer, clocks)


@pytest.fixture
def yard(books: Books, clock: Clock, ledger: Ledger) -> Yard:
    return yard_over(books, clock, ledger)


def lines(invoice: BookedInvoice) -> list[tuple[str, int]]:
    return [(line["kind"], line["amount_cents"]) for line in orjson.loads(invoice.document)["lines"]]


async def test_an_account_is_walked_through_fourteen_months_and_its_neighbour_is_left_alone(
    yard: Yard, books: Books, ledger: Ledger, outbox: Outbox
) -> None:
    account_id, beside = await yard.open("starter", "fake_ok"), await yard.open("starter", sandbox=False)
    for one in (account_id, beside):
        await rebuild(books, ledger, outbox, await yard.terms(one))
    neighbour = await yard.terms(beside)
    for month in range(MONTHS):
        # 1,000 credits beyond the allowance: $1.25.
        await calls.call(ledger, await yard.terms(account_id), month, 41_000 * CREDIT)
        await yard.clocks.advance(account_id, to_ms=(await yard.running(account_id)).end_ms + DAY_MS)
    booked = (await yard.booked(account_id))[: MONTHS + 1]
    assert len(booked) == MONTHS + 1
    assert all(one.end_ms == following.start_ms for one, following in pairwise(booked))
    async with books.read() as conn:
        rows = await conn.execute(
            select(grants.c.period_start_ms, grants.c.kind, grants.c.amount_millicredits)
            .where(grants.c.account_id == account_id)
            .order_by(grants.c.period_start_ms)
        )
        assert [tuple(row) for row in rows] == [(one.start_ms, "allowance", 40_000 * CREDIT) for one in booked]
        stamps = await conn.execute(
            select(usage_events.c.period_start_ms, usage_events.c.admitted_at_ms, usage_events.c.happened_at_ms)
            .where(usage_events.c.account_id == account_id)
            .order_by(usage_events.c.seq)
        )
        for period, (start_ms, admitted_ms, happened_ms) in zip(booked, stamps, strict=False):
            assert start_ms == period.start_ms
            assert period.start_ms <= admitted_ms <= happened_ms < period.end_ms
    issued = await yard.issued(account_id)
    assert [lines(one) for one in issued] == [
        [("plan_fee", 5_000)],
        *[[("pay_as_you_go", 125), ("plan_fee", 5_000)]] * MONTHS,
    ]
    assert [one.issued_ms for one in issued[1:]] == [one.start_ms + HOUR_MS for one in booked[1:]]
    assert {one.status for one in issued} == {InvoiceStatus.PAID}
    assert await prove_invoices(books) == []
    assert (await reconcile(books, ledger, [account_id, beside])).ok
    assert await yard.terms(beside) == neighbour
    assert len(await yard.issued(beside)) == len(await yard.booked(beside)) == 1


async def test_what_an_account_has_left_and_what_limits_it_is_told_by_its_own_clock(
    yard: Yard, books: Books, ledger: Ledger, outbox: Outbox
) -> None:
    account_id = await yard.open("free")
    await rebuild(books, ledger, outbox, await yard.terms(account_id))
    await calls.call(ledger, await yard.terms(account_id), 1, 9_000 * CREDIT)
    await yard.clocks.advance(account_id, by_ms=40 * DAY_MS)
    reports = UsageReports(books=books, ledger=ledger, terms_of=lambda one, at: current_terms(books, SOLD, one, at))
    report = await reports.of_account(account_id, yard.clock())
    assert (report.credits.used_millicredits, report.credits.remaining_millicredits) == (0, 10_000 * CREDIT)
    assert report.period.start_ms == (await yard.running(account_id)).start_ms
    assert (await yard.accounts.show(account_id)).period == report.period
    assert epoch_ms(await yard.accounts.now(account_id)) == epoch_ms(yard.clock()) + 40 * DAY_MS


async def test_a_downgrade_takes_effect_when_the_period_ends_by_the_accounts_clock(yard: Yard) -> None:
    account_id = await yard.open("pro")
    await yard.clocks.advance(account_id, by_ms=10 * DAY_MS)
    foreseen = await yard.accounts.preview(account_id, "starter")
    agreed = await yard.accounts.change_plan(account_id, "starter")
    running = await yard.running(account_id)
    assert (foreseen.takes_effect, foreseen.effective_ms) == (TakesEffect.PERIOD_END, running.end_ms)
    assert agreed.effective_ms == running.end_ms
    await yard.clocks.advance(account_id, to_ms=running.end_ms - 1)
    assert await yard.plan(account_id) == "pro"
    there = await yard.clocks.advance(account_id, to_ms=running.end_ms + HOUR_MS)
    assert await yard.plan(account_id) == "starter"
    assert [lines(one) for one in there.issued] == [[("plan_fee", 5_000)]]


async def test_an_upgrade_starts_a_period_now_by_the_accounts_clock(yard: Yard) -> None:
    account_id = await yard.open("starter")
    there = await yard.clocks.advance(account_id, by_ms=45 * DAY_MS)
    told = await yard.accounts.preview(account_id, "pro")
    assert told.price is not None
    change = await yard.accounts.change_plan(account_id, "pro")
    assert change.effective_ms == there.now_ms
    assert change.invoice is not None
    assert (change.invoice.issued_ms, change.invoice.total_cents) == (there.now_ms, told.price.sums.total_cents)


async def test_a_card_that_declines_is_tried_on_schedule_by_the_accounts_clock(yard: Yard) -> None:
    account_id = await yard.open("starter", "fake_declined")
    begin_ms = epoch_ms(yard.clock())
    await yard.clocks.advance(account_id, by_ms=20 * DAY_MS)
    async with yard.books.read() as conn:
        account = await booked_account(conn, account_id)
    assert account is not None
    assert account.status is AccountStatus.PAYMENT_FAILED
    await yard.clocks.advance(account_id, by_ms=5 * DAY_MS)
    async with yard.books.read() as conn:
        tried = await payment_attempts.of_account(conn, account_id, limit=100)
        collection = await invoice_collections.get(conn, tried[0].invoice_id or "")
        account = await booked_account(conn, account_id)
    assert sorted((one.started_ms - begin_ms) // DAY_MS for one in tried) == list(accumulate([0, 2, 5, 7, 7]))
    assert collection is not None
    assert collection.state is CollectionState.GIVEN_UP
    assert await yard.plan(account_id) == "free"
    assert account is not None
    assert account.status is AccountStatus.ACTIVE


async def test_an_annual_contract_renews_by_the_accounts_clock(yard: Yard) -> None:
    account_id = await yard.open("enterprise")
    await yard.clocks.advance(account_id, by_ms=3 * DAY_MS)
    annual = CONTRACT.__class__(
        committed_millicredits=CONTRACT.committed_millicredits,
        price_cents=900_000,
        period=BillingPeriod.ANNUAL,
        net_days=30,
    )
    agreed = await yard.contracts.agree(account_id, annual, reason="C-1")
    there = await yard.clocks.advance(account_id, by_ms=400 * DAY_MS)
    (renewed,) = there.issued
    assert lines(renewed) == [("plan_fee", 900_000)]
    assert renewed.due_ms == renewed.issued_ms + 30 * DAY_MS
    first, second = [one for one in await yard.booked(account_id) if one.contract_version is not None]
    assert (first.start_ms, first.end_ms) == (agreed.version.effective_ms, second.start_ms)
    assert 365 <= (second.end_ms - second.start_ms) / DAY_MS <= 366


async def test_a_period_whose_calls_still_run_is_closed_when_they_have_ended_in_the_worlds_time(
    yard: Yard, books: Books, ledger: Ledger, outbox: Outbox
) -> None:
    account_id = await yard.open("starter")
    terms = await yard.terms(account_id)
    await rebuild(books, ledger, outbox, terms)
    hold_id = await calls.hold(ledger, terms, 1)
    there = await yard.clocks.advance(account_id, by_ms=35 * DAY_MS)
    assert there.issued == ()
    await calls.capture(ledger, terms, hold_id, 40_008 * CREDIT)
    (closing,) = await yard.closer.close_due()
    assert lines(closing) == [("pay_as_you_go", 1), ("plan_fee", 5_000)]
    async with books.read() as conn:
        (stamped,) = await conn.execute(select(usage_events.c.period_start_ms, usage_events.c.admitted_at_ms))
    first = (await yard.booked(account_id))[0]
    assert (stamped.period_start_ms, stamped.admitted_at_ms < first.end_ms) == (first.start_ms, True)


async def test_alerts_are_raised_by_the_accounts_clock_and_sent_in_the_worlds_time(yard: Yard, books: Books) -> None:
    account_id = await yard.open("starter")
    webhooks = Webhooks(books=books, pepper=PEPPER, clock=yard.clock, allow_private=True)
    await webhooks.create(account_id, "https://receiver.example/hook")
    there = await yard.clocks.advance(account_id, by_ms=40 * DAY_MS)
    running = await yard.running(account_id)
    used = event(account_id, 1, captured=20_000 * CREDIT, period_start_ms=running.start_ms, admitted_at_ms=there.now_ms)
    async with books.begin() as conn:
        await usage.book(conn, [used])
    (alert,) = await AlertWatch(books=books, clock=yard.clock).notice({(account_id, running.start_ms)})
    assert alert.raised_ms == there.now_ms
    async with books.read() as conn:
        assert [one.raised_ms for one in await raised_alerts.of_account(conn, account_id)] == [there.now_ms]
        due = list((await conn.execute(select(webhook_deliveries.c.next_ms))).scalars())
        said = [orjson.loads(body) for body in (await conn.execute(select(webhook_messages.c.body))).scalars()]
    assert len(due) >= 2
    assert set(due) == {epoch_ms(yard.clock())}
    assert {one["type"] for one in said} == {"invoice.issued", "alert.raised"}


async def test_only_a_sandbox_has_a_clock_and_it_only_goes_forward(yard: Yard) -> None:
    real, sandbox, closed = await yard.open("free", sandbox=False), await yard.open("free"), await yard.open("free")
    with pytest.raises(CallerFault, match=r"is a real one, .* only accounts that were opened with --sandbox"):
        await yard.clocks.advance(real, by_ms=1)
    assert (await yard.clocks.show(real)).offset_ms is None
    now_ms = epoch_ms(yard.clock())
    for by_ms, to_ms in ((0, None), (-1, None), (None, now_ms)):
        with pytest.raises(CallerFault, match="a clock only goes forward"):
            await yard.clocks.advance(sandbox, by_ms=by_ms, to_ms=to_ms)
    with pytest.raises(CallerFault, match="at most five years ahead"):
        await yard.clocks.advance(sandbox, by_ms=FARTHEST_MS + 1)
    await yard.accounts.close(closed)
    with pytest.raises(CallerFault, match="is closed"):
        await yard.clocks.advance(closed, by_ms=1)
    with pytest.raises(NoSuchThing):
        await yard.clocks.advance("acc_nobody", by_ms=1)
    assert (await yard.clocks.show(sandbox)).now_ms == now_ms


async def as_it_stands(yard: Yard, account_id: str) -> list[Any]:
    """All that a walk may have changed, without ids and numbers, which are given in the order of asking."""
    async with yard.books.read() as conn:
        booked = await periods.of_account(conn, account_id)
        rows = await conn.execute(
            select(grants.c.period_start_ms, grants.c.kind, grants.c.amount_millicredits)
            .where(grants.c.account_id == account_id)
            .order_by(grants.c.period_start_ms, grants.c.kind)
        )
        tried = await payment_attempts.of_account(conn, account_id, limit=100)
        account = await booked_account(conn, account_id)
        return [
            None if account is None else (account.status, account.clock_offset_ms),
            [(one.start_ms, one.end_ms, one.plan_id, one.price_cents, one.closed_by is None) for one in booked],
            [tuple(row) for row in rows],
            [
                (lines(one), one.status, one.issued_ms, one.due_ms, one.settled_ms)
                for one in await invoices.of_account(conn, account_id)
            ],
            sorted((one.started_ms, one.state) for one in tried),
        ]


@settings(max_examples=8)
@given(
    steps=st.lists(
        st.integers(1, 40 * DAY_MS) | st.sampled_from([HOUR_MS, DAY_MS, 31 * DAY_MS]), min_size=2, max_size=6
    ),
    card=st.sampled_from(["fake_ok", "fake_declined", None]),
    to=st.sampled_from(["starter", "free", "pro"]),
)
async def test_many_short_steps_leave_the_same_as_one_long_one(
    sqlite_template: Path, steps: list[int], card: str | None, to: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        books = await Books.open(f"sqlite+aiosqlite:///{shutil.copy(sqlite_template, Path(folder) / 'books.db')}")
        yard = yard_over(books, Clock(), None)
        walked = []
        for long in (False, True):
            account_id = await yard.open("pro", card)
            await yard.accounts.change_plan(account_id, to)
            start_ms = (await yard.booked(account_id))[0].start_ms
            overage = event(
                account_id, int(long) + 1, captured=400_800 * CREDIT, period_start_ms=start_ms, admitted_at_ms=start_ms
            )
            async with books.begin() as conn:
                await usage.book(conn, [overage])
            for step_ms in [sum(steps)] if long else steps:
                await yard.clocks.advance(account_id, by_ms=step_ms)
            walked.append(await as_it_stands(yard, account_id))
        wrong = await prove_invoices(books)
        await books.close()
    assert walked[0] == walked[1]
    assert wrong == []
