"""Drafts, previews that are honoured, and what becomes of an issued invoice."""

from asyncio import gather
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from gateway.books import periods, usage
from gateway.books.books import Books
from gateway.books.tables import plan_previews
from gateway.domain.instant import HOUR_MS, epoch_ms
from gateway.domain.invoice import InvoiceStatus
from gateway.flows.accounts import Accounts
from gateway.flows.charge_change import HONOURED_MS
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.invoices import Invoices
from gateway.flows.issue_invoice import Closer
from gateway.flows.preview_plan import PlanPreview, preview_plan
from gateway.flows.rebuild import rebuild
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.billing import billing_over
from tests.flows import calls
from tests.made_up import CREDIT, PLANS, Clock, event


@pytest.fixture
def accounts(books: Books, tell: TellLedger, clock: Clock, ledger: Ledger) -> Accounts:
    return Accounts(billing_over(books, clock, ledger=ledger, tell=tell))


@pytest.fixture
def closer(books: Books, ledger: Ledger, clock: Clock) -> Closer:
    return Closer(billing_over(books, clock, ledger=ledger), longest_hold_ms=lambda: 0)


@pytest.fixture
def invoices(books: Books, ledger: Ledger, clock: Clock) -> Invoices:
    return Invoices(billing_over(books, clock, ledger=ledger))


async def use(books: Books, account_id: str, number: int, amount: int) -> None:
    async with books.begin() as conn:
        period = await periods.latest(conn, account_id)
        assert period is not None
        await usage.book(conn, [event(account_id, number, captured=amount * CREDIT, period_start_ms=period.start_ms)])


def said(document: Any) -> Any:
    """What a document says but for what only an issued one has."""
    return {
        name: document[name] for name in document if name not in {"id", "number", "issued_at", "due_at", "rate_cards"}
    }


async def test_the_draft_just_before_issue_equals_the_issued_invoice(
    accounts: Accounts, invoices: Invoices, books: Books, closer: Closer, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "starter")
    await use(books, opened.id, 1, 40_004)
    (draft, _) = await invoices.of_account(opened.id)
    assert (draft.status, draft.due_cents, draft.document["number"]) == (InvoiceStatus.DRAFT, 5_001, None)
    assert (await invoices.find(draft.id)).document == draft.document
    async with books.read() as conn:
        last = await periods.latest(conn, opened.id)
    assert last is not None
    clock.forward(milliseconds=last.end_ms + HOUR_MS - epoch_ms(clock()))
    drafts = [one for one in await invoices.of_account(opened.id) if one.status is InvoiceStatus.DRAFT]
    assert said(drafts[-1].document) == said(draft.document)
    assert len(drafts) == 2
    (issued,) = await closer.close_due()
    newest = await invoices.find(issued.number)
    assert said(newest.document) == said(draft.document)
    assert newest.document["rate_cards"] == ["2026-11"]


async def test_free_accounts_have_no_invoice_and_strangers_none_at_all(accounts: Accounts, invoices: Invoices) -> None:
    opened = await accounts.create("Ada", "free")
    assert await invoices.of_account(opened.id) == []
    for asked in (invoices.of_account("acc_none"), invoices.find("inv_none"), invoices.find("draft_none_1")):
        with pytest.raises(NoSuchThing):
            await asked


async def test_an_invoice_is_paid_once(accounts: Accounts, invoices: Invoices) -> None:
    opened = await accounts.create("Acme", "starter")
    (_, first) = await invoices.of_account(opened.id)
    paid = await invoices.pay(first.id)
    assert (paid.status, paid.due_cents, paid.paid_cents) == (InvoiceStatus.PAID, 0, 5_000)
    assert (await invoices.find(first.id)).document == first.document
    for again in (invoices.pay(first.id), invoices.void(first.id, reason="a mistake")):
        with pytest.raises(CallerFault, match="is paid"):
            await again


async def test_an_invoice_can_be_voided_or_given_up_with_a_reason(accounts: Accounts, invoices: Invoices) -> None:
    for plan, change, status, due in (
        ("starter", invoices.void, InvoiceStatus.VOID, 0),
        ("pro", invoices.write_off, InvoiceStatus.UNCOLLECTIBLE, 50_000),
    ):
        opened = await accounts.create("Acme", plan)
        (_, first) = await invoices.of_account(opened.id)
        with pytest.raises(CallerFault, match="reason"):
            await change(first.id, reason=" ")
        changed = await change(first.id, reason="asked for it")
        assert (changed.status, changed.due_cents) == (status, due)


async def test_a_credit_note_makes_less_due_and_never_more_than_was_asked(
    accounts: Accounts, invoices: Invoices
) -> None:
    opened = await accounts.create("Acme", "starter")
    (_, first) = await invoices.of_account(opened.id)
    note = await invoices.credit(first.id, 2_000, reason="an outage")
    after = await invoices.find(first.id)
    assert (after.status, after.due_cents, after.credit_notes) == (InvoiceStatus.ISSUED, 3_000, (note,))
    for wrong in (0, -1, 3_001):
        with pytest.raises(CallerFault, match="of 1 to 3000 cents"):
            await invoices.credit(first.id, wrong, reason="an outage")
    following = await invoices.credit(first.id, 3_000, reason="the rest")
    assert (await invoices.find(first.id)).status is InvoiceStatus.PAID
    assert int(following.number[-6:]) == int(note.number[-6:]) + 1


@pytest.fixture
def preview(books: Books, ledger: Ledger, clock: Clock) -> Any:
    async def ask(account_id: str, plan_id: str) -> PlanPreview:
        return await preview_plan(billing_over(books, clock, ledger=ledger), account_id, plan_id, when=None)

    return partial(ask)


@pytest.mark.parametrize(("minutes", "charged"), [(9, 46_875), (11, 47_000)], ids=["within ten minutes", "later"])
async def test_a_preview_is_exact_and_honoured_for_ten_minutes(
    accounts: Accounts, invoices: Invoices, books: Books, preview: Any, closer: Closer, clock: Clock, minutes: int,
    charged: int,
) -> None:  # fmt: skip
    opened = await accounts.create("Acme", "starter")
    clock.forward(days=1)
    await use(books, opened.id, 1, 15_000)
    # Redis has never seen this account: what the books have is all there is.
    told = await preview(opened.id, "pro")
    assert told.price is not None
    assert told.price.sums.total_cents == 46_875
    await use(books, opened.id, 2, 1_000)
    clock.forward(minutes=minutes)
    change = await accounts.change_plan(opened.id, "pro")
    assert change.invoice is not None
    assert change.invoice.total_cents == charged
    clock.forward(days=32)
    (following,) = await closer.close_due()
    # What was used in between is paid for in the end, whichever way.
    assert change.invoice.total_cents + following.total_cents == 47_000 + 50_000


async def test_a_preview_counts_what_redis_knows(
    accounts: Accounts, books: Books, ledger: Ledger, outbox: Outbox, preview: Any, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "starter")
    terms = await current_terms(books, PLANS, opened.id, clock())
    assert terms is not None
    await rebuild(books, ledger, outbox, terms)
    await calls.call(ledger, terms, 1, cost=15_000 * CREDIT)
    await calls.hold(ledger, terms, 2, quote=1_000 * CREDIT)
    clock.forward(seconds=1)
    told = await preview(opened.id, "pro")
    assert told.price.sums.total_cents == 47_000
    await calls.call(ledger, terms, 3, cost=9_000 * CREDIT)
    clock.forward(minutes=1)
    change = await accounts.change_plan(opened.id, "pro")
    assert change.invoice is not None
    assert change.invoice.total_cents == 47_000


async def test_a_list_tells_each_invoices_own_credit_notes(
    accounts: Accounts, invoices: Invoices, closer: Closer, clock: Clock
) -> None:
    opened = await accounts.create("Acme", "starter")
    for _ in range(3):
        clock.forward(days=32)
        await closer.close_due()
    first, second, *others = await invoices.of_account(opened.id)
    assert first.status is InvoiceStatus.DRAFT
    notes = [await invoices.credit(second.id, cents, reason="an outage") for cents in (100, 200)]
    notes.append(await invoices.credit(others[0].id, 300, reason="an outage"))
    found, _ = await invoices.page(opened.id, size=50)
    assert [[note.number for note in one.credit_notes] for one in found] == [
        [],
        [notes[0].number, notes[1].number],
        [notes[2].number],
        *([] for _ in others[1:]),
    ]


async def test_an_owner_who_moves_house_takes_back_no_tax_that_is_set_meanwhile(
    accounts: Accounts, invoices: Invoices
) -> None:
    opened = await accounts.create("Acme", "starter")
    houses: list[dict[str, str | int]] = [{"address": f"Main Street {number}"} for number in range(4)]
    tax: dict[str, str | int] = {"tax_name": "VAT", "tax_parts_per_million": 190_000}
    await gather(*(invoices.change_details(opened.id, change) for change in (houses[0], tax, *houses[1:])))
    known = await invoices.details(opened.id)
    assert (known.tax_name, known.tax_parts_per_million) == ("VAT", 190_000)
    assert {"address": known.address} in houses
    with pytest.raises(CallerFault, match="needs a name"):
        await invoices.change_details(opened.id, {"tax_name": ""})
    with pytest.raises(NoSuchThing):
        await invoices.change_details("acc_unknown", tax)


async def test_asking_what_a_plan_costs_over_and_over_fills_no_disk(
    accounts: Accounts, books: Books, preview: Any, clock: Clock
) -> None:
    opened, other = [await accounts.create(name, "starter") for name in ("Acme", "Bolt")]
    await preview(other.id, "pro")
    await preview(opened.id, "pro")
    clock.forward(seconds=3)
    told = await preview(opened.id, "pro")
    async with books.read() as conn:
        kept = (await conn.execute(select(plan_previews.c.account_id, plan_previews.c.made_ms))).all()
    assert sorted(kept, key=lambda row: row[1]) == [
        (other.id, epoch_ms(clock()) - 3_000),
        (opened.id, told.price.honoured_until_ms - HONOURED_MS),
    ]


async def test_a_downgrade_costs_nothing_now(accounts: Accounts, preview: Any) -> None:
    opened = await accounts.create("Acme", "pro")
    assert (await preview(opened.id, "starter")).price is None
