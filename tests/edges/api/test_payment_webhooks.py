"""Stripe says that something became of a payment or a card, and nothing else: what is so, Stripe itself is asked."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import stripe
from pydantic import SecretStr

from gateway.books import accounts as booked_accounts
from gateway.books import invoices
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.terms import AccountStatus
from gateway.edges.api.account import account_api
from gateway.edges.api.front import Front
from gateway.flows.accounts import Accounts
from gateway.flows.faults import PaymentNeeded
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.till import Till, till_over
from gateway.payments.stripe import Stripe
from gateway.wire.stripe_event import SIGNATURE_HEADER, is_signed, read_event, signature
from tests.billing import billing_over
from tests.edges.api.conftest import Running, proxied
from tests.made_up import PLANS
from tests.payments.fake_stripe import KEY, FakeStripe, served

PATH = "/webhooks/payments/stripe"
SECRET = "whsec_of_the_tests"
BACK = "https://gateway.example/settings/billing"


@dataclass
class Shop:
    """An account that pays by Stripe, and Stripe."""

    running: Running
    fake: FakeStripe
    till: Till
    accounts: Accounts
    account_id: str

    async def deliver(self, body: bytes, *, secret: str = SECRET, age_s: int = 0) -> int:
        at_s = int(self.running.clock().timestamp()) - age_s
        headers = {SIGNATURE_HEADER: signature(body, secret.encode(), at_s=at_s)}
        async with self.running.caller() as stripe:
            return (await stripe.post(PATH, content=body, headers=headers)).status_code

    @property
    def customer(self) -> str:
        return next(iter(self.fake.customers))

    async def add_card(self, kind: str) -> None:
        """The owner goes to Stripe's page, and Stripe tells."""
        await self.till.methods.begin_adding(self.account_id, return_url=BACK)
        ref = self.fake.add_card(self.customer, kind)
        about = {"id": "seti_1", "customer": self.customer, "payment_method": ref}
        assert await self.deliver(self.fake.event("setup_intent.succeeded", about)) == 200

    async def standing(self) -> tuple[InvoiceStatus, AccountStatus, int]:
        async with self.running.books.read() as conn:
            invoice = (await invoices.of_account(conn, self.account_id))[0]
            account = await booked_accounts.get(conn, self.account_id)
        assert account is not None
        return invoice.status, account.status, self.fake.kept_cents


@pytest.fixture
async def shop(running: Running) -> AsyncIterator[Shop]:
    fake = FakeStripe()
    tell = TellLedger(books=running.books, ledger=running.ledger, plans=lambda: PLANS, clock=running.clock)
    async with served(fake) as address:
        provider = Stripe(KEY, api_base=address, network_retries=0)
        billing = billing_over(running.books, running.clock, tell=tell)
        till = till_over(billing, provider)
        flow = Accounts(billing, pay_first=till.pay_first)
        desk = replace(
            running.parts.desk,
            accounts=flow,
            payments=till.payments,
            payment_methods=till.methods,
            payment_news=till.news,
        )
        running.parts = replace(running.parts, desk=desk, stripe_webhook_secret=SecretStr(SECRET))
        running.front = Front(own=account_api(running.parts), proxy=proxied)
        opened = await flow.create("Acme", "starter")
        yield Shop(running, fake, till, flow, opened.id)
        await provider.close()


async def test_a_card_added_at_stripe_pays_what_is_due_and_a_better_one_what_is_past_due(shop: Shop) -> None:
    await shop.add_card("declined")
    await shop.till.collector.turn()
    assert await shop.standing() == (InvoiceStatus.ISSUED, AccountStatus.PAYMENT_FAILED, 0)
    await shop.add_card("ok")
    assert await shop.standing() == (InvoiceStatus.PAID, AccountStatus.ACTIVE, 5_000)
    assert [one.default for one in await shop.till.methods.of_account(shop.account_id)] == [True, False]


async def test_webhooks_delivered_twice_and_out_of_order_change_nothing(shop: Shop) -> None:
    await shop.add_card("ok")
    await shop.till.collector.turn()
    before = await shop.standing()
    assert before == (InvoiceStatus.PAID, AccountStatus.ACTIVE, 5_000)
    (intent,) = shop.fake.intents.values()
    bodies = [
        shop.fake.event(kind, {**intent, "status": status}, event_id)
        for kind, status, event_id in [
            ("payment_intent.succeeded", "succeeded", "evt_late"),
            ("payment_intent.payment_failed", "requires_payment_method", "evt_early"),
            ("payment_intent.created", "requires_action", "evt_first"),
            ("payment_intent.canceled", "canceled", "evt_odd"),
        ]
    ]
    for body in [*bodies, *bodies[::-1], *bodies]:
        assert await shop.deliver(body) == 200
    assert await shop.standing() == before


async def test_an_upgrade_is_made_when_stripe_tells_that_its_owner_has_confirmed(shop: Shop) -> None:
    await shop.add_card("ok")
    await shop.till.collector.turn()
    await shop.add_card("3ds")
    shop.running.clock.forward(minutes=1)
    with pytest.raises(PaymentNeeded) as asked:
        await shop.accounts.change_plan(shop.account_id, "pro", return_url=BACK)
    assert asked.value.action_url is not None
    intent = list(shop.fake.intents.values())[-1]
    shop.fake.confirm(intent["id"], agreed=True)
    body = shop.fake.event("payment_intent.succeeded", intent)
    assert [await shop.deliver(body) for _ in range(3)] == [200] * 3
    view = await shop.accounts.show(shop.account_id)
    assert view.plan_id == "pro"
    assert shop.fake.kept_cents == 5_000 + intent["amount"]


@pytest.mark.parametrize(("secret", "age_s"), [("whsec_wrong", 0), (SECRET, 301), (SECRET, -301)])
async def test_who_did_not_sign_or_signed_long_ago_is_not_heard(shop: Shop, secret: str, age_s: int) -> None:
    body = shop.fake.event("payment_intent.succeeded", {"id": "pi_1", "metadata": {"attempt": "pay_1"}})
    assert await shop.deliver(body, secret=secret, age_s=age_s) == 401


@pytest.mark.parametrize("headers", [{}, {SIGNATURE_HEADER: ""}, {SIGNATURE_HEADER: "t=1,t=2,v1=x"}])
async def test_without_one_signature_nothing_is_taken(shop: Shop, headers: dict[str, str]) -> None:
    async with shop.running.caller() as caller:
        assert (await caller.post(PATH, content=b"{}", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{}", 400), (b"[", 400), (b'{"id": "", "type": "x", "data": {"object": {}}}', 400), (b"x" * 300_000, 413)],
)
async def test_what_is_no_event_is_refused_even_when_signed(shop: Shop, body: bytes, status: int) -> None:
    assert await shop.deliver(body) == status


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("payment_intent.succeeded", {"id": "pi_9", "metadata": {}}),
        ("payment_intent.succeeded", {"id": "pi_9", "metadata": {"attempt": "pay_unknown"}}),
        ("payment_method.attached", {"id": "pm_9", "customer": "cus_unknown"}),
        ("payment_method.detached", {"id": "pm_9", "customer": None}),
        ("invoice.created", {"id": "in_9", "customer": "cus_1"}),
    ],
)
async def test_news_of_nothing_of_ours_are_taken_and_come_to_nothing(
    shop: Shop, kind: str, about: dict[str, object]
) -> None:
    before = await shop.standing()
    assert await shop.deliver(shop.fake.event(kind, about)) == 200
    assert await shop.standing() == before


async def test_while_stripe_does_not_answer_the_webhook_is_to_come_again(shop: Shop) -> None:
    await shop.add_card("ok")
    shop.fake.lose = True
    with pytest.raises(Exception, match="not available"):
        await shop.till.collector.turn()
    (intent,) = shop.fake.intents.values()
    shop.fake.intents.clear()  # it cannot be read now
    body = shop.fake.event("payment_intent.succeeded", intent, "evt_again")
    assert await shop.deliver(body) == 503
    shop.fake.intents[intent["id"]] = intent
    assert await shop.deliver(body) == 200
    assert await shop.standing() == (InvoiceStatus.PAID, AccountStatus.ACTIVE, 5_000)


def test_the_signature_is_stripes() -> None:
    body, secret, now_s = b'{"id": "evt_1"}', b"whsec_test", int(time.time())
    header = signature(body, secret, at_s=now_s)
    assert is_signed(body, header, secret, now_s=now_s)
    assert is_signed(body, f"t={now_s},v0=old,v1=other,{header.partition(',')[2]}", secret, now_s=now_s)
    assert not is_signed(body + b" ", header, secret, now_s=now_s)
    assert stripe.Webhook.construct_event(body + b"", header, secret.decode())["id"] == "evt_1"
    with pytest.raises(ValueError, match="no event"):
        read_event(body)
