"""Taking money: methods, retries by schedule, upgrades that are paid first, on both kinds of books."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import select

from gateway.books import accounts as booked_accounts
from gateway.books import audit, invoice_collections, invoices, payment_attempts, payment_events, subscriptions, terms
from gateway.books.books import Books
from gateway.books.invoices import BookedInvoice
from gateway.books.tables import payment_attempts as attempts_table
from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.instant import epoch_ms
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.payment import AttemptState, CollectionState
from gateway.domain.terms import AccountStatus
from gateway.flows.accounts import Accounts
from gateway.flows.attempt_payment import MOST_TRIES_AN_HOUR
from gateway.flows.contracts import Contracts
from gateway.flows.fake_bank import FakeBank
from gateway.flows.faults import CallerFault, NoSuchThing, PaymentNeeded
from gateway.flows.invoices import Invoices
from gateway.flows.rebuild import rebuild
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.flows.till import Till, till_over
from gateway.ledger.answers import AdmitCall
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.payments.fake import Fake
from gateway.payments.manual import Manual
from gateway.payments.provider import (
    ActionRequired,
    Charge,
    Customer,
    Failed,
    Outcome,
    Paid,
    Pending,
    Provider,
    ProviderUnavailable,
)
from tests.billing import billing_over
from tests.flows.calls import capture
from tests.flows.contracted import CONTRACT, SOLD
from tests.made_up import CREDIT, PLANS, Clock

BACK = "https://gateway.example/settings/billing"


class Died(BaseException):
    """The process ends here."""


@dataclass
class Bank(Fake):
    """The fake provider, and what a test does to it."""

    books: Books
    away: bool = False
    dies: str = ""
    taken: dict[str, int] = field(default_factory=dict)
    given_back: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(FakeBank(self.books))

    async def charge(self, charge: Charge, *, again: bool) -> Outcome:
        if self.dies == "before":
            raise Died
        if self.away:
            raise ProviderUnavailable("it is away")
        outcome = await super().charge(charge, again=again)
        if isinstance(outcome, Paid):
            self.taken[charge.key] = charge.amount_cents
        if self.dies == "after":
            raise Died
        return outcome

    async def look(self, charge: Charge, ref: str) -> Outcome:
        outcome = await super().look(charge, ref)
        if isinstance(outcome, Paid):
            self.taken[charge.key] = charge.amount_cents
        return outcome

    async def remove(self, customer: Customer, method_ref: str) -> None:
        if self.away:
            raise ProviderUnavailable("it is away")
        await super().remove(customer, method_ref)

    async def refund(self, charge: Charge, ref: str) -> None:
        if self.away:
            raise ProviderUnavailable("it is away")
        await super().refund(charge, ref)
        self.given_back.add(charge.key)

    @property
    def kept_cents(self) -> int:
        return sum(cents for key, cents in self.taken.items() if key not in self.given_back)


@dataclass
class Shop:
    """An account under a provider, and the clock."""

    books: Books
    clock: Clock
    bank: Bank
    till: Till
    accounts: Accounts

    async def open(self, plan: str = "starter", card: str | None = "fake_ok") -> str:
        opened = await self.accounts.create("Acme", plan)
        if card is not None:
            await self.till.methods.add_fake(opened.id, card, actor="owner")
        return opened.id

    async def invoice(self, account_id: str) -> BookedInvoice:
        async with self.books.read() as conn:
            return (await invoices.of_account(conn, account_id))[0]

    async def status(self, account_id: str) -> AccountStatus:
        async with self.books.read() as conn:
            account = await booked_accounts.get(conn, account_id)
        assert account is not None
        return account.status

    async def plan(self, account_id: str) -> str | None:
        async with self.books.read() as conn:
            return (await subscriptions.plans_in_force(conn, epoch_ms(self.clock()))).get(account_id)

    async def states(self) -> list[AttemptState]:
        async with self.books.read() as conn:
            query = select(attempts_table.c.state).order_by(attempts_table.c.started_ms, attempts_table.c.id)
            return [AttemptState(one) for one in (await conn.execute(query)).scalars()]

    async def next_try(self, invoice_id: str) -> tuple[int, CollectionState, float | None]:
        async with self.books.read() as conn:
            found = await invoice_collections.get(conn, invoice_id)
        assert found is not None
        days = None if found.next_try_ms is None else (found.next_try_ms - epoch_ms(self.clock())) / 86_400_000
        return found.failures, found.state, days


def till(books: Books, provider: Provider, tell: TellLedger, clock: Clock) -> Till:
    return till_over(billing_over(books, clock, tell=tell), provider)


@pytest.fixture
def shop(books: Books, tell: TellLedger, clock: Clock) -> Shop:
    bank = Bank(books)
    made = till(books, bank, tell, clock)
    flow = Accounts(billing_over(books, clock, tell=tell), pay_first=made.pay_first)
    return Shop(books, clock, bank, made, flow)


async def test_an_issued_invoice_is_paid_by_the_default_card_and_only_once(shop: Shop) -> None:
    account_id = await shop.open()
    assert await shop.till.collector.turn() == 1
    invoice = await shop.invoice(account_id)
    assert (invoice.status, invoice.paid_cents, invoice.due_cents) == (InvoiceStatus.PAID, 5_000, 0)
    assert await shop.till.collector.turn() == 0
    assert shop.bank.kept_cents == 5_000


async def test_a_payment_that_fails_is_retried_on_schedule_and_succeeds_once_the_card_has_changed(shop: Shop) -> None:
    account_id = await shop.open(card="fake_declined")
    assert await shop.till.collector.turn() == 1
    invoice = await shop.invoice(account_id)
    assert await shop.next_try(invoice.id) == (1, CollectionState.PAST_DUE, 2)
    assert await shop.status(account_id) is AccountStatus.PAYMENT_FAILED
    shop.clock.forward(days=1, hours=23)
    assert await shop.till.collector.turn() == 0
    shop.clock.forward(hours=1)
    assert await shop.till.collector.turn() == 1
    assert await shop.next_try(invoice.id) == (2, CollectionState.PAST_DUE, 5)
    await shop.till.methods.add_fake(account_id, "fake_ok", actor="owner")
    assert (await shop.invoice(account_id)).status is InvoiceStatus.PAID
    assert await shop.next_try(invoice.id) == (2, CollectionState.SETTLED, None)
    assert await shop.status(account_id) is AccountStatus.ACTIVE
    assert await shop.plan(account_id) == "starter"
    assert shop.bank.kept_cents == 5_000


async def test_an_account_whose_payments_never_succeed_is_on_free_after_the_last_retry(shop: Shop) -> None:
    account_id = await shop.open(card="fake_declined")
    invoice = await shop.invoice(account_id)
    waits = []
    for _ in range(4):
        assert await shop.till.collector.turn() == 1
        _, state, days = await shop.next_try(invoice.id)
        assert (state, await shop.plan(account_id)) == (CollectionState.PAST_DUE, "starter")
        assert days is not None
        waits.append(days)
        shop.clock.forward(days=days)
    assert waits == [2, 5, 7, 7]
    assert await shop.till.collector.turn() == 1
    assert await shop.next_try(invoice.id) == (5, CollectionState.GIVEN_UP, None)
    assert await shop.plan(account_id) == "free"
    assert await shop.status(account_id) is AccountStatus.ACTIVE
    async with shop.books.read() as conn:
        unpaid = await invoices.find(conn, invoice.id)
        said = [(one.action, one.detail.get("reason")) for one in await audit.of_account(conn, account_id)]
    assert unpaid is not None
    assert unpaid.status is InvoiceStatus.UNCOLLECTIBLE
    assert ("account.plan", f"invoice {invoice.number} was not paid after the last retry") in said
    shop.clock.forward(days=40)
    assert await shop.till.collector.turn() == 0
    assert shop.bank.kept_cents == 0


async def test_a_retry_because_the_card_changed_does_not_count_towards_the_last(shop: Shop) -> None:
    account_id = await shop.open(card="fake_declined")
    await shop.till.collector.turn()
    invoice = await shop.invoice(account_id)
    for _ in range(6):
        await shop.till.methods.add_fake(account_id, "fake_no_funds", actor="owner")
    assert await shop.next_try(invoice.id) == (1, CollectionState.PAST_DUE, 2)
    assert len(await shop.states()) == 7


async def test_accounts_without_a_method_keep_their_invoice_due_and_are_not_suspended(shop: Shop) -> None:
    account_id = await shop.open(card=None)
    for _ in range(3):
        assert await shop.till.collector.turn() == 0
        shop.clock.forward(days=30)
    assert (await shop.invoice(account_id)).status is InvoiceStatus.ISSUED
    assert await shop.status(account_id) is AccountStatus.ACTIVE


async def test_under_bank_transfer_nothing_is_collected_and_upgrades_are_invoiced(
    books: Books, tell: TellLedger, clock: Clock
) -> None:
    manual = till(books, Manual(), tell, clock)
    flow = Accounts(billing_over(books, clock, tell=tell), pay_first=manual.pay_first)
    opened = await flow.create("Acme", "starter")
    clock.forward(hours=1)
    change = await flow.change_plan(opened.id, "pro")
    assert await manual.collector.turn() == 0
    assert change.invoice is not None
    assert change.invoice.status is InvoiceStatus.ISSUED
    (method,) = await manual.methods.of_account(opened.id)
    assert (method.kind, method.default) == ("bank_transfer", True)
    with pytest.raises(CallerFault, match="an admin marks"):
        await manual.payments.pay_now(opened.id, change.invoice.id, "owner")


async def test_an_invoice_paid_by_hand_ends_the_suspension(shop: Shop) -> None:
    account_id = await shop.open(card="fake_declined")
    await shop.till.collector.turn()
    invoice = await shop.invoice(account_id)
    async with shop.books.begin() as conn:
        await invoices.set_status(conn, invoice.id, InvoiceStatus.PAID, paid_cents=5_000, settled_ms=1)
    await shop.till.collector.turn()
    assert await shop.status(account_id) is AccountStatus.ACTIVE
    assert await shop.next_try(invoice.id) == (1, CollectionState.SETTLED, None)


async def test_an_invoice_paid_by_hand_while_it_is_charged_is_given_back(shop: Shop) -> None:
    account_id = await shop.open(card="fake_slow")
    await shop.till.collector.turn()
    invoice = await shop.invoice(account_id)
    assert await shop.states() == [AttemptState.PENDING]
    async with shop.books.begin() as conn:
        await invoices.set_status(conn, invoice.id, InvoiceStatus.PAID, paid_cents=5_000, settled_ms=1)
    shop.clock.forward(hours=1)
    await shop.till.collector.turn()
    assert await shop.states() == [AttemptState.REFUNDED]
    assert shop.bank.kept_cents == 0


async def test_an_invoice_paid_by_hand_lifts_the_suspension_in_the_same_transaction(shop: Shop) -> None:
    account_id = await shop.open(card="fake_declined")
    await shop.till.collector.turn()
    invoice = await shop.invoice(account_id)
    assert await shop.status(account_id) is AccountStatus.PAYMENT_FAILED
    await Invoices(billing_over(shop.books, shop.clock)).pay(invoice.id)
    assert await shop.status(account_id) is AccountStatus.ACTIVE
    assert await shop.next_try(invoice.id) == (1, CollectionState.SETTLED, None)


async def test_a_charge_of_more_than_is_due_any_more_goes_back_and_the_rest_is_taken_anew(shop: Shop) -> None:
    account_id = await shop.open(card="fake_slow")
    await shop.till.collector.turn()
    invoice = await shop.invoice(account_id)
    by_hand = Invoices(billing_over(shop.books, shop.clock))
    await by_hand.credit(invoice.id, 2_000, reason="an outage")
    for _ in range(2):
        shop.clock.forward(hours=1)
        await shop.till.collector.turn()
    invoice = await shop.invoice(account_id)
    assert (invoice.status, invoice.paid_cents, invoice.due_cents) == (InvoiceStatus.PAID, 3_000, 0)
    assert await shop.states() == [AttemptState.REFUNDED, AttemptState.SUCCEEDED]
    assert shop.bank.kept_cents == 3_000


async def test_a_contract_that_is_never_paid_stays_suspended_until_a_person_decides(
    shop: Shop, tell: TellLedger
) -> None:
    made = till_over(billing_over(shop.books, shop.clock, plans=SOLD, tell=tell), shop.bank)
    opened = await Accounts(billing_over(shop.books, shop.clock, plans=SOLD, tell=tell)).create("A", "enterprise")
    contracts = Contracts(billing_over(shop.books, shop.clock, plans=SOLD, tell=tell))
    await contracts.agree(opened.id, replace(CONTRACT, net_days=0), reason="C-1")
    await made.methods.add_fake(opened.id, "fake_declined", actor="owner")
    for _ in range(6):
        await made.collector.turn()
        shop.clock.forward(days=7)
    invoice = await shop.invoice(opened.id)
    assert await shop.next_try(invoice.id) == (5, CollectionState.PAST_DUE, None)
    assert invoice.status is InvoiceStatus.ISSUED
    assert await shop.plan(opened.id) == "enterprise"
    assert await shop.status(opened.id) is AccountStatus.PAYMENT_FAILED
    async with shop.books.read() as conn:
        said = [one.detail.get("left_to") for one in await audit.of_account(conn, opened.id)]
    assert said.count("operator") == 1
    await made.methods.add_fake(opened.id, "fake_ok", actor="owner")
    assert await shop.status(opened.id) is AccountStatus.ACTIVE


async def test_a_slow_bank_is_asked_again_and_nothing_else_is_tried_meanwhile(shop: Shop) -> None:
    account_id = await shop.open(card="fake_slow")
    assert await shop.till.collector.turn() == 1
    assert await shop.till.collector.turn() == 0
    assert (await shop.invoice(account_id)).status is InvoiceStatus.ISSUED
    shop.clock.forward(minutes=3)
    await shop.till.collector.turn()
    assert (await shop.invoice(account_id)).status is InvoiceStatus.PAID
    assert await shop.states() == [AttemptState.SUCCEEDED]


async def test_paying_now_asks_the_owner_and_goes_on_once_they_have_confirmed(shop: Shop) -> None:
    account_id = await shop.open(card="fake_3ds")
    invoice = await shop.invoice(account_id)
    outcome = await shop.till.payments.pay_now(account_id, invoice.id, "owner", return_url=BACK)
    assert isinstance(outcome, ActionRequired)
    assert await shop.till.payments.pay_now(account_id, invoice.id, "owner", return_url=BACK) == outcome
    (attempt,) = await shop.till.payments.attempts(account_id)
    await shop.till.payments.confirm_fake(account_id, attempt.id, agreed=True)
    assert (await shop.invoice(account_id)).status is InvoiceStatus.PAID
    with pytest.raises(CallerFault, match="nothing that can be paid"):
        await shop.till.payments.pay_now(account_id, invoice.id, "owner")


async def test_another_card_does_not_wait_for_the_one_that_asks_to_be_confirmed(shop: Shop) -> None:
    account_id = await shop.open(card="fake_3ds")
    invoice = await shop.invoice(account_id)
    await shop.till.payments.pay_now(account_id, invoice.id, "owner", return_url=BACK)
    await shop.till.methods.add_fake(account_id, "fake_ok", actor="owner")
    assert isinstance(await shop.till.payments.pay_now(account_id, invoice.id, "owner", return_url=BACK), Paid)
    assert await shop.states() == [AttemptState.FAILED, AttemptState.SUCCEEDED]
    assert shop.bank.kept_cents == 5_000


async def test_a_payment_that_fails_when_asked_for_is_answered_and_not_counted(shop: Shop) -> None:
    account_id = await shop.open(card="fake_no_funds")
    invoice = await shop.invoice(account_id)
    outcome = await shop.till.payments.pay_now(account_id, invoice.id, "owner")
    assert outcome == Failed("insufficient_funds", retryable=True, ref=f"fake_{(await _only(shop)).id}")
    assert await shop.status(account_id) is AccountStatus.ACTIVE


async def _only(shop: Shop) -> payment_attempts.Attempt:
    async with shop.books.read() as conn:
        (attempt_id,) = (await conn.execute(select(attempts_table.c.id))).scalars()
        attempt = await payment_attempts.get(conn, attempt_id)
    assert attempt is not None
    return attempt


async def test_nobody_pays_or_changes_what_is_another_accounts(shop: Shop) -> None:
    mine, theirs = await shop.open(), await shop.open()
    invoice = await shop.invoice(theirs)
    (method,) = await shop.till.methods.of_account(theirs)
    with pytest.raises(NoSuchThing):
        await shop.till.payments.pay_now(mine, invoice.id, "owner")
    with pytest.raises(NoSuchThing):
        await shop.till.methods.set_default(mine, method.id, "owner")
    with pytest.raises(NoSuchThing):
        await shop.till.methods.remove(mine, method.id, "owner")


async def test_the_last_method_of_a_paid_plan_stays_until_there_is_another(shop: Shop) -> None:
    account_id = await shop.open()
    (first,) = await shop.till.methods.of_account(account_id)
    with pytest.raises(CallerFault, match="add another payment method"):
        await shop.till.methods.remove(account_id, first.id, "owner")
    second = await shop.till.methods.add_fake(account_id, "fake_3ds", actor="owner")
    assert [one.default for one in await shop.till.methods.of_account(account_id)] == [True, False]
    await shop.till.methods.remove(account_id, second.id, "owner")
    assert [(one.id, one.default) for one in await shop.till.methods.of_account(account_id)] == [(first.id, True)]
    async with shop.books.read() as conn:
        actions = [one.action for one in await audit.of_account(conn, account_id)]
    assert actions.count("payment_method.add") == 2
    assert actions.count("payment_method.remove") == 1


async def test_of_two_methods_that_are_removed_at_once_one_stays(shop: Shop) -> None:
    account_id = await shop.open()
    await shop.till.methods.add_fake(account_id, "fake_no_funds", actor="owner")
    ids = [one.id for one in await shop.till.methods.of_account(account_id)]
    removed = await asyncio.gather(
        *(shop.till.methods.remove(account_id, one, "owner") for one in ids), return_exceptions=True
    )
    assert {type(one) for one in removed} == {type(None), CallerFault}
    (left,) = await shop.till.methods.of_account(account_id)
    assert left.default


async def test_a_method_that_the_provider_could_not_forget_is_still_there(shop: Shop) -> None:
    account_id = await shop.open()
    await shop.till.methods.add_fake(account_id, "fake_no_funds", actor="owner")
    before = await shop.till.methods.of_account(account_id)
    shop.bank.away = True
    with pytest.raises(PaymentNeeded, match="cannot be reached"):
        await shop.till.methods.remove(account_id, before[0].id, "owner")
    assert await shop.till.methods.of_account(account_id) == before


async def test_a_card_that_fails_is_not_tried_on_and_on(shop: Shop) -> None:
    account_id = await shop.open(card="fake_declined")
    invoice = await shop.invoice(account_id)
    for _ in range(MOST_TRIES_AN_HOUR):
        assert isinstance(await shop.till.payments.pay_now(account_id, invoice.id, "owner"), Failed)
    with pytest.raises(CallerFault, match="20 times within an hour"):
        await shop.till.payments.pay_now(account_id, invoice.id, "owner")
    with pytest.raises(CallerFault, match="20 times within an hour"):
        await shop.accounts.change_plan(account_id, "pro")
    shop.clock.forward(minutes=61)
    assert isinstance(await shop.till.payments.pay_now(account_id, invoice.id, "owner"), Failed)


async def test_an_upgrade_is_paid_first_and_its_invoice_is_paid(shop: Shop) -> None:
    account_id = await shop.open("free")
    shop.clock.forward(hours=1)
    change = await shop.accounts.change_plan(account_id, "starter", return_url=BACK)
    assert (change.previous_plan_id, change.plan_id) == ("free", "starter")
    assert change.invoice is not None
    assert (change.invoice.status, change.invoice.paid_cents) == (InvoiceStatus.PAID, 5_000)
    assert await shop.plan(account_id) == "starter"
    assert await shop.till.collector.turn() == 0
    assert shop.bank.kept_cents == 5_000


@pytest.mark.parametrize("card", ["fake_declined", "fake_expired"])
async def test_an_upgrade_whose_payment_fails_leaves_everything_as_it_was(shop: Shop, card: str) -> None:
    account_id = await shop.open("free", card)
    shop.clock.forward(hours=1)
    async with shop.books.read() as conn:
        before = (await terms.of_account(conn, account_id, 0), await invoices.of_account(conn, account_id))
    with pytest.raises(PaymentNeeded, match="stays as it was") as refused:
        await shop.accounts.change_plan(account_id, "pro")
    assert refused.value.reason == "payment_failed"
    async with shop.books.read() as conn:
        after = (await terms.of_account(conn, account_id, 0), await invoices.of_account(conn, account_id))
    assert after == before
    assert await shop.status(account_id) is AccountStatus.ACTIVE


async def test_a_paid_plan_needs_a_payment_method_first(shop: Shop) -> None:
    account_id = await shop.open("free", None)
    with pytest.raises(PaymentNeeded, match="add a payment method first"):
        await shop.accounts.change_plan(account_id, "starter")
    assert await shop.plan(account_id) == "free"


async def test_an_upgrade_waits_for_its_owner_and_is_made_when_they_confirm(shop: Shop) -> None:
    account_id = await shop.open("free", "fake_3ds")
    shop.clock.forward(hours=1)
    with pytest.raises(PaymentNeeded) as asked:
        await shop.accounts.change_plan(account_id, "pro", return_url=BACK)
    assert (asked.value.reason, asked.value.action_url is not None) == ("action_required", True)
    assert await shop.plan(account_id) == "free"
    (attempt,) = await shop.till.payments.attempts(account_id)
    shop.clock.forward(minutes=1)
    await shop.till.payments.confirm_fake(account_id, attempt.id, agreed=True)
    assert await shop.plan(account_id) == "pro"
    assert (await shop.invoice(account_id)).status is InvoiceStatus.PAID


@pytest.mark.parametrize("dies", ["before", "after"])
@pytest.mark.parametrize("found_by", ["the next question", "the background work"])
async def test_an_upgrade_that_a_dying_process_left_is_finished_and_paid_once(
    shop: Shop, dies: str, found_by: str
) -> None:
    account_id = await shop.open("free")
    shop.clock.forward(hours=1)
    shop.bank.dies = dies
    with pytest.raises(Died):
        await shop.accounts.change_plan(account_id, "pro")
    shop.bank.dies = ""
    assert await shop.plan(account_id) == "free"
    shop.clock.forward(minutes=5)
    if found_by == "the next question":
        change = await shop.accounts.change_plan(account_id, "pro")
        assert change.plan_id == "pro"
    else:
        await shop.till.collector.turn()
    assert await shop.plan(account_id) == "pro"
    assert shop.bank.kept_cents == 50_000
    assert (await shop.invoice(account_id)).status is InvoiceStatus.PAID


async def test_an_upgrade_that_was_paid_and_cannot_be_made_any_more_is_given_back(shop: Shop) -> None:
    account_id = await shop.open("free")
    shop.clock.forward(hours=1)
    shop.bank.dies = "after"
    with pytest.raises(Died):
        await shop.accounts.change_plan(account_id, "pro")
    shop.bank.dies = ""
    await shop.accounts.close(account_id)
    shop.clock.forward(minutes=5)
    await shop.till.collector.turn()
    assert shop.bank.taken != {}
    assert shop.bank.kept_cents == 0
    assert await shop.states() == [AttemptState.REFUNDED]
    assert await shop.plan(account_id) is None


async def test_a_provider_that_is_away_takes_nothing_twice_once_it_is_back(shop: Shop) -> None:
    account_id = await shop.open()
    shop.bank.away = True
    with pytest.raises(ProviderUnavailable):
        await shop.till.collector.turn()
    assert await shop.states() == [AttemptState.STARTED]
    shop.clock.forward(minutes=3)
    with pytest.raises(ProviderUnavailable):
        await shop.till.collector.turn()
    shop.bank.away = False
    shop.clock.forward(hours=6)
    await shop.till.collector.turn()
    assert await shop.states() == [AttemptState.SUCCEEDED]
    assert (await shop.invoice(account_id)).status is InvoiceStatus.PAID
    assert await shop.status(account_id) is AccountStatus.ACTIVE


async def test_news_that_come_twice_and_out_of_order_change_nothing(shop: Shop) -> None:
    account_id = await shop.open()
    await shop.till.collector.turn()
    attempt = await _only(shop)
    before = (await shop.invoice(account_id), await shop.states(), await shop.status(account_id))
    ref = attempt.provider_ref or ""
    late: list[Outcome] = [Paid(ref), Failed("card_declined", retryable=True), Pending(ref), ActionRequired(BACK, ref)]
    for outcome in late:
        await shop.till.attempts.record(attempt.id, outcome)
    assert (await shop.invoice(account_id), await shop.states(), await shop.status(account_id)) == before
    assert shop.bank.kept_cents == 5_000


async def test_what_failed_here_and_was_taken_there_after_all_is_given_back(shop: Shop) -> None:
    account_id = await shop.open(card="fake_declined")
    await shop.till.collector.turn()
    attempt = await _only(shop)
    await shop.till.attempts.record(attempt.id, Paid(attempt.provider_ref or ""))
    assert await shop.states() == [AttemptState.REFUNDED]
    assert (await shop.invoice(account_id)).status is InvoiceStatus.ISSUED


async def test_an_upgrade_waits_for_what_is_past_due(shop: Shop) -> None:
    account_id = await shop.open(card="fake_declined")
    await shop.till.collector.turn()
    with pytest.raises(PaymentNeeded, match="is past due") as refused:
        await shop.accounts.change_plan(account_id, "pro")
    assert refused.value.reason == "past_due"


async def test_who_wants_another_plan_or_has_another_card_need_not_confirm_the_first(shop: Shop) -> None:
    account_id = await shop.open("free", "fake_3ds")
    for plan in ("pro", "starter"):
        shop.clock.forward(minutes=1)
        with pytest.raises(PaymentNeeded, match="must confirm"):
            await shop.accounts.change_plan(account_id, plan, return_url=BACK)
    await shop.till.methods.add_fake(account_id, "fake_ok", actor="owner")
    assert (await shop.accounts.change_plan(account_id, "starter", return_url=BACK)).plan_id == "starter"
    assert await shop.states() == [AttemptState.FAILED, AttemptState.FAILED, AttemptState.SUCCEEDED]
    assert shop.bank.kept_cents == 5_000


async def test_while_the_bank_takes_its_time_no_other_change_begins(shop: Shop) -> None:
    account_id = await shop.open("free", "fake_slow")
    shop.clock.forward(minutes=1)
    with pytest.raises(PaymentNeeded, match="takes its time"):
        await shop.accounts.change_plan(account_id, "starter")
    with pytest.raises(CallerFault, match="a change to starter is being paid"):
        await shop.accounts.change_plan(account_id, "pro")
    shop.clock.forward(minutes=3)
    await shop.till.collector.turn()
    assert await shop.plan(account_id) == "starter"


async def test_any_number_of_processes_collect_each_invoice_once(
    shop: Shop, migrated_books_url: str, tell: TellLedger, clock: Clock
) -> None:
    for _ in range(4):
        await shop.open()
    others = [await Books.open(migrated_books_url) for _ in range(2)]
    banks = [Bank(one) for one in others]
    tills = [till(one, bank, tell, clock) for one, bank in zip(others, banks, strict=True)]
    await asyncio.gather(*(one.collector.turn() for one in [shop.till, *tills]))
    for one in others:
        await one.close()
    assert await shop.states() == [AttemptState.SUCCEEDED] * 4
    assert sum(bank.kept_cents for bank in [shop.bank, *banks]) == 4 * 5_000


async def test_past_due_means_no_pay_as_you_go_and_the_allowance_stays(
    shop: Shop, ledger: Ledger, outbox: Outbox
) -> None:
    account_id = await shop.open(card="fake_declined")
    terms = await current_terms(shop.books, PLANS, account_id, shop.clock())
    assert terms is not None
    assert await rebuild(shop.books, ledger, outbox, terms)
    await shop.till.collector.turn()

    async def asked(number: int, credits_: int) -> Admitted | Refused | object:
        now = await current_terms(shop.books, PLANS, account_id, shop.clock())
        assert now is not None
        return await ledger.admit(
            AdmitCall(
                hold_id=f"req_{number:032x}",
                nonce=str(number),
                terms=now,
                plan_limits=(),
                concurrent_calls=None,
                quote_millicredits=credits_ * CREDIT,
                least_millicredits=credits_ * CREDIT,
                ttl_ms=60_000,
                facts=b"{}",
            )
        )

    assert isinstance(await asked(1, 40_000), Admitted)
    await capture(ledger, terms, f"req_{1:032x}", 40_000 * CREDIT)
    refused = await asked(2, 1)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.PAYMENT_REQUIRED
    await shop.till.methods.add_fake(account_id, "fake_ok", actor="owner")
    assert isinstance(await asked(3, 1), Admitted)


async def test_what_was_heeded_long_ago_is_forgotten(shop: Shop) -> None:
    for event_id in ("evt_old", "evt_new"):
        async with shop.books.begin() as conn:
            at_ms = epoch_ms(shop.clock())
            await payment_events.note(conn, event_id, provider="fake", kind="payment_intent.succeeded", at_ms=at_ms)
        shop.clock.forward(days=30)
    await shop.till.collector.turn()
    async with shop.books.read() as conn:
        assert [await payment_events.seen(conn, one) for one in ("evt_old", "evt_new")] == [False, True]
