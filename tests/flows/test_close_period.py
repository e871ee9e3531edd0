"""What is invoiced when a period ends or a plan is changed, in books of both kinds, beside the golden cases."""

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.books import invoices, periods, usage
from gateway.books.billing_details import SELLER, BillingDetails, put
from gateway.books.books import Books
from gateway.books.invoices import BookedInvoice
from gateway.domain.instant import HOUR_MS, epoch_ms
from gateway.domain.invoice import InvoiceStatus
from gateway.flows.accounts import Accounts
from gateway.flows.change_plan import ChangeAt
from gateway.flows.faults import InvoicingStopped
from gateway.flows.invoice_document import content_hash
from gateway.flows.issue_invoice import Closer
from gateway.flows.rebuild import rebuild
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.ledger.answers import Counters
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.billing import billing_over
from tests.flows import calls
from tests.made_up import CREDIT, PLANS, Clock, event

JOB_MS = 2 * HOUR_MS


@pytest.fixture
def accounts(books: Books, tell: TellLedger, clock: Clock, ledger: Ledger) -> Accounts:
    return Accounts(billing_over(books, clock, ledger=ledger, tell=tell))


@pytest.fixture
def closer(books: Books, ledger: Ledger, clock: Clock) -> Closer:
    return Closer(billing_over(books, clock, ledger=ledger), longest_hold_ms=lambda: JOB_MS)


async def use(books: Books, account_id: str, *used: tuple[str, int], first: int = 1) -> None:
    """Usage of the period booked last, in credits by product."""
    async with books.begin() as conn:
        period = await periods.latest(conn, account_id)
        assert period is not None
        await usage.book(
            conn,
            [
                event(
                    account_id,
                    number,
                    product=product,
                    captured=amount * CREDIT,
                    period_start_ms=period.start_ms,
                    admitted_at_ms=period.start_ms + 1,
                )
                for number, (product, amount) in enumerate(used, start=first)
            ],
        )


async def issued(books: Books, account_id: str) -> list[BookedInvoice]:
    async with books.read() as conn:
        return (await invoices.of_account(conn, account_id))[::-1]


def amounts(invoice: BookedInvoice) -> list[tuple[str, int]]:
    return [(line["kind"], line["amount_cents"]) for line in document(invoice)["lines"]]


def document(invoice: BookedInvoice) -> Any:
    return orjson.loads(invoice.document)


async def _month_later(clock: Clock, books: Books, account_id: str) -> None:
    async with books.read() as conn:
        last = await periods.latest(conn, account_id)
    assert last is not None
    clock.forward(milliseconds=last.end_ms - epoch_ms(clock()) + HOUR_MS)


async def test_a_paid_plan_is_invoiced_in_advance_and_free_never(accounts: Accounts, books: Books) -> None:
    paid, free = await accounts.create("Acme", "starter"), await accounts.create("Ada", "free")
    (first,) = await issued(books, paid.id)
    assert amounts(first) == [("plan_fee", 5_000)]
    assert (first.status, first.total_cents, first.due_cents) == (InvoiceStatus.ISSUED, 5_000, 5_000)
    assert await issued(books, free.id) == []


async def test_a_downgrade_is_invoiced_at_the_new_price_when_the_period_ends(
    accounts: Accounts, books: Books, closer: Closer, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "pro")
    await accounts.change_plan(opened.id, "starter")
    await use(books, opened.id, ("parse", 400_008))
    await _month_later(clock, books, opened.id)
    (closing,) = await closer.close_due()
    assert amounts(closing) == [("pay_as_you_go", 1), ("plan_fee", 5_000)]
    await accounts.change_plan(opened.id, "free")
    await _month_later(clock, books, opened.id)
    assert await closer.close_due() == []
    await accounts.change_plan(opened.id, "starter", when=ChangeAt.NOW)
    assert len(await issued(books, opened.id)) == 3


async def test_what_goes_beyond_the_ceiling_is_nobodys_charge(
    accounts: Accounts, books: Books, closer: Closer, clock: Clock
) -> None:
    paid, free = await accounts.create("Acme", "starter"), await accounts.create("Ada", "free")
    await use(books, paid.id, ("parse", 40_000), ("parse", 399_990), ("extract", 100))
    await use(books, free.id, ("parse", 9_990), ("extract", 100), first=10)
    await _month_later(clock, books, paid.id)
    (closing,) = await closer.close_due()
    assert amounts(closing) == [("pay_as_you_go", 50_000), ("plan_fee", 5_000)]
    async with books.read() as conn:
        query = "SELECT SUM(written_off_millicredits) FROM closed_usage WHERE account_id = :account"
        for account_id in (paid.id, free.id):
            assert (await conn.execute(text(query), {"account": account_id})).scalar_one() == 90 * CREDIT


async def test_a_process_that_slept_catches_up_period_by_period(
    accounts: Accounts, books: Books, closer: Closer, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "starter")
    clock.forward(days=100)
    made = await closer.close_due()
    assert [invoice.total_cents for invoice in made] == [5_000] * 3
    assert [one.period_start_ms for one in made] == sorted({one.period_start_ms for one in made})
    numbers = [int(one.number.rpartition("-")[2]) for one in await issued(books, opened.id)]
    assert numbers == sorted(numbers)


async def test_any_number_of_processes_close_a_period_once(
    accounts: Accounts, books: Books, ledger: Ledger, clock: Clock
) -> None:
    opened = [await accounts.create(f"Acme {number}", "starter") for number in range(3)]
    clock.forward(days=70)
    closers = [Closer(billing_over(books, clock, ledger=ledger), longest_hold_ms=lambda: JOB_MS) for _ in range(4)]
    await asyncio.gather(*(closer.close_due() for closer in closers))
    numbers = []
    for account in opened:
        made = await issued(books, account.id)
        assert [one.total_cents for one in made] == [5_000] * 3
        numbers += [one.number for one in made]
    by_year: dict[str, list[int]] = {}
    for number in sorted(numbers):
        year, _, count = number.partition("-")
        by_year.setdefault(year, []).append(int(count))
    assert all(counts == list(range(1, len(counts) + 1)) for counts in by_year.values())


async def test_an_issue_that_fails_leaves_no_gap_in_the_numbers(accounts: Accounts, books: Books, clock: Clock) -> None:
    await accounts.create("Acme", "starter")

    async def fail() -> None:
        async with books.begin() as conn:
            await invoices.next_number(conn, "invoice", clock().year)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    second = await accounts.create("Acme", "starter")
    (invoice,) = await issued(books, second.id)
    assert invoice.number == f"{clock().year}-000002"


async def test_what_is_issued_never_changes(accounts: Accounts, books: Books) -> None:
    opened = await accounts.create("Acme", "starter")
    (invoice,) = await issued(books, opened.id)
    assert invoice.content_hash == content_hash(invoice.document.encode())
    for statement in (
        "UPDATE invoices SET document = '{}'",
        "UPDATE invoices SET total_cents = 1",
        "DELETE FROM invoice_lines",
        "UPDATE invoice_lines SET amount_cents = 1",
        "DELETE FROM closings",
    ):
        with pytest.raises(DBAPIError):
            async with books.begin() as conn:
                await conn.execute(text(statement))
    assert await issued(books, opened.id) == [invoice]


async def test_an_invoice_bears_the_tax_and_the_names_of_its_day(accounts: Accounts, books: Books) -> None:
    async with books.begin() as conn:
        await put(conn, BillingDetails(SELLER, "Seller Ltd", "1 Road", tax_name="VAT", tax_parts_per_million=190_000))
    opened = await accounts.create("Acme", "starter")
    async with books.begin() as conn:
        await put(conn, BillingDetails(SELLER, "Seller Inc"))
    (invoice,) = await issued(books, opened.id)
    shown = document(invoice)
    assert (shown["seller"]["name"], shown["buyer"]["name"]) == ("Seller Ltd", "Acme")
    assert (shown["subtotal_cents"], shown["tax_cents"], shown["total_cents"]) == (5_000, 950, 5_950)


async def test_each_event_is_stamped_once_with_the_line_that_charges_it(
    accounts: Accounts, books: Books, closer: Closer, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "starter")
    await use(books, opened.id, ("parse", 39_990), ("parse", 30), ("extract", 5))
    await _month_later(clock, books, opened.id)
    (closing,) = await closer.close_due()
    async with books.read() as conn:
        events = await invoices.events_page(conn, closing.id, after="")
    split = [(one.included_millicredits, one.pay_as_you_go_millicredits) for one in events]
    assert split == [(39_990 * CREDIT, 0), (10 * CREDIT, 20 * CREDIT), (0, 5 * CREDIT)]
    assert [one.line_id for one in events] == [None, f"{closing.id}.1", f"{closing.id}.1"]


async def test_usage_settled_after_its_invoice_is_on_the_next_one_which_names_it(
    accounts: Accounts, books: Books, closer: Closer, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "starter")
    await use(books, opened.id, ("parse", 40_004))
    async with books.read() as conn:
        first_period = await periods.latest(conn, opened.id)
    assert first_period is not None
    await _month_later(clock, books, opened.id)
    (first,) = await closer.close_due()
    late = event(opened.id, 9, captured=4 * CREDIT, period_start_ms=first_period.start_ms)
    async with books.begin() as conn:
        await usage.book(conn, [late])
    await _month_later(clock, books, opened.id)
    (second,) = await closer.close_due()
    # Half a cent was rounded up to one; both halves together are one cent.
    assert amounts(second) == [("pay_as_you_go", 0), ("plan_fee", 5_000)]
    line = document(second)["lines"][0]
    assert (line["corrects"], line["credits"]) == (first.number, "4")
    assert line["service_period"] == document(first)["period"]


async def _open_hold(
    accounts: Accounts, books: Books, ledger: Ledger, outbox: Outbox, clock: Clock, plan: str
) -> tuple[str, str]:
    opened = await accounts.create("Acme", plan)
    terms = await current_terms(books, PLANS, opened.id, clock())
    assert terms is not None
    await rebuild(books, ledger, outbox, terms)
    await calls.call(ledger, terms, 1, cost=15_000 * CREDIT)
    return opened.id, await calls.hold(ledger, terms, 2, quote=1_000 * CREDIT)


async def test_what_redis_has_and_the_books_have_not_is_on_the_upgrades_invoice(
    accounts: Accounts, books: Books, ledger: Ledger, outbox: Outbox, clock: Clock, closer: Closer
) -> None:
    account_id, hold_id = await _open_hold(accounts, books, ledger, outbox, clock, "starter")
    clock.forward(seconds=1)
    change = await accounts.change_plan(account_id, "pro")
    assert change.invoice is not None
    # 15,000 captured and not relayed yet, 1,000 held: 24,000 credits are given back.
    assert amounts(change.invoice) == [("plan_fee", 50_000), ("unused_allowance", -3_000)]
    await ledger.release(hold_id, account_id, settlement=calls.DELIVERED)
    await _month_later(clock, books, account_id)
    (following,) = await closer.close_due()
    assert amounts(following) == [("unused_allowance", -125), ("plan_fee", 50_000)]
    assert document(following)["lines"][0]["corrects"] == change.invoice.number


class SettlesMeanwhile:
    """A ledger in which a call is settled, and booked, right after it was asked how it stands."""

    def __init__(self, books: Books, ledger: Ledger, hold_id: str) -> None:
        self._books, self._ledger, self._hold_id = books, ledger, hold_id

    async def counters(self, account_id: str) -> Counters:
        seen = await self._ledger.counters(account_id)
        if seen.open_holds:
            settle = self._ledger.capture
            cost = 400 * CREDIT
            await settle(self._hold_id, account_id, cost_millicredits=cost, cap=False, settlement=calls.DELIVERED)
            async with self._books.begin() as conn:
                await usage.book(conn, list((await self._ledger.counters(account_id)).unbooked.values()))
        return seen


@pytest.mark.parametrize("ask_first", [False, True])
async def test_a_call_that_settles_while_an_upgrade_is_priced_counts_once(
    ask_first: bool, accounts: Accounts, books: Books, ledger: Ledger, outbox: Outbox, clock: Clock, closer: Closer
) -> None:
    account_id, hold_id = await _open_hold(accounts, books, ledger, outbox, clock, "starter")
    clock.forward(seconds=1)
    meanwhile = SettlesMeanwhile(books, ledger, hold_id)
    tell = TellLedger(books=books, ledger=ledger, plans=lambda: PLANS, clock=clock)
    asked = Accounts(billing_over(books, clock, ledger=meanwhile, tell=tell))
    if ask_first:
        told = await asked.preview(account_id, "pro")
        assert told.price is not None
        assert told.price.sums.total_cents == 47_000
    change = await asked.change_plan(account_id, "pro")
    assert change.invoice is not None
    # 15,000 were captured and 1,000 held when it was asked, whatever has become of those.
    assert amounts(change.invoice) == [("plan_fee", 50_000), ("unused_allowance", -3_000)]
    await _month_later(clock, books, account_id)
    (following,) = await closer.close_due()
    assert amounts(following) == [("unused_allowance", -75), ("plan_fee", 50_000)]


async def test_a_period_waits_for_its_calls_but_not_for_ever(
    accounts: Accounts, books: Books, ledger: Ledger, outbox: Outbox, clock: Clock, closer: Closer
) -> None:
    account_id, _ = await _open_hold(accounts, books, ledger, outbox, clock, "starter")
    await _month_later(clock, books, account_id)
    clock.forward(milliseconds=JOB_MS - 1)
    assert await closer.close_due() == []
    clock.forward(milliseconds=1)
    (closing,) = await closer.close_due()
    assert amounts(closing) == [("plan_fee", 5_000)]


async def test_an_account_whose_numbers_disagree_gets_no_invoice_and_holds_up_nobody(
    accounts: Accounts, books: Books, closer: Closer, clock: Clock
) -> None:
    wrong, right = await accounts.create("Acme", "starter"), await accounts.create("Ada", "starter")
    await use(books, wrong.id, ("parse", 100))
    async with books.begin() as conn:
        # The file is this test's own; the server's database is the next test's too, which counts on its triggers.
        on_sqlite = conn.dialect.name == "sqlite"
        unguarded = (
            "DROP TRIGGER ledger_entries_no_delete" if on_sqlite else "SET LOCAL session_replication_role = replica"
        )
        await conn.execute(text(unguarded))
        await conn.execute(text("DELETE FROM ledger_entries WHERE debit = 'allowance'"))
    await _month_later(clock, books, wrong.id)
    (only,) = await closer.close_due()
    assert only.account_id == right.id
    assert len(await issued(books, wrong.id)) == 1
    with pytest.raises(InvoicingStopped, match="more was closed than the ledger has"):
        await closer.close_account(wrong.id)
