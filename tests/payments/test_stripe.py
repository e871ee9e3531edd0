"""Stripe as a provider: against a stateful stand-in on loopback, and against every way in which it does not answer."""

from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from gateway.payments.provider import (
    ActionRequired,
    AddingKind,
    Charge,
    Customer,
    Failed,
    Paid,
    ProviderUnavailable,
)
from gateway.payments.stripe import Stripe
from tests.payments.fake_stripe import KEY, FakeStripe, served

BACK = "https://gateway.example/settings/billing"


@pytest.fixture
def fake() -> FakeStripe:
    return FakeStripe()


@pytest.fixture
async def stripe(fake: FakeStripe) -> AsyncIterator[Stripe]:
    async with served(fake) as address:
        provider = Stripe(KEY, api_base=address, network_retries=0)
        yield provider
        await provider.close()


async def card(stripe: Stripe, fake: FakeStripe, kind: str, key: str = "pay_1", *, back: str | None = None) -> Charge:
    customer = Customer("acc_1", await stripe.customer("acc_1"))
    return Charge(
        key,
        customer,
        fake.add_card(customer.ref, kind),
        5_000,
        "Invoice 1",
        on_session=back is not None,
        return_url=back,
    )


async def test_an_account_is_one_customer_however_often_it_is_asked_for(stripe: Stripe, fake: FakeStripe) -> None:
    assert await stripe.customer("acc_1") == await stripe.customer("acc_1")
    assert len(fake.customers) == 1


async def test_cards_are_added_on_stripes_page_with_3d_secure(stripe: Stripe, fake: FakeStripe) -> None:
    customer = Customer("acc_1", await stripe.customer("acc_1"))
    adding = await stripe.begin_adding(customer, return_url=BACK)
    assert (adding.kind, adding.url) == (AddingKind.REDIRECT, "https://checkout.stripe.test/c/1")
    (session,) = fake.sessions
    assert session["mode"] == "setup"
    assert session["payment_method_options[card][request_three_d_secure]"] == "any"
    fake.add_card(customer.ref, "ok")
    (method,) = await stripe.methods(customer)
    assert (method.brand, method.last4, method.exp_month, method.exp_year) == ("visa", "4242", 4, 2031)
    await stripe.set_default(customer, method.ref)
    assert fake.customers[customer.ref]["default"] == method.ref
    await stripe.remove(customer, method.ref)
    await stripe.remove(customer, method.ref)
    assert await stripe.methods(customer) == []


async def test_an_invoice_is_charged_off_session_once_per_key(stripe: Stripe, fake: FakeStripe) -> None:
    charge = await card(stripe, fake, "ok")
    first = await stripe.charge(charge, again=False)
    assert isinstance(first, Paid)
    assert await stripe.charge(charge, again=False) == first
    assert await stripe.charge(charge, again=True) == first
    assert await stripe.look(charge, first.ref) == first
    assert fake.kept_cents == 5_000


async def test_a_declined_card_says_why(stripe: Stripe, fake: FakeStripe) -> None:
    outcome = await stripe.charge(await card(stripe, fake, "declined"), again=False)
    assert outcome == Failed("generic_decline", retryable=True, ref=next(iter(fake.intents)))


async def test_a_card_that_is_gone_is_a_failure_and_no_outage(stripe: Stripe, fake: FakeStripe) -> None:
    charge = await card(stripe, fake, "ok")
    await stripe.remove(charge.customer, charge.method_ref)
    assert await stripe.charge(charge, again=False) == Failed("resource_missing", retryable=False)


@pytest.mark.parametrize("agreed", [True, False])
async def test_on_session_the_owner_confirms_at_the_bank(stripe: Stripe, fake: FakeStripe, *, agreed: bool) -> None:
    charge = await card(stripe, fake, "3ds", back=BACK)
    outcome = await stripe.charge(charge, again=False)
    assert isinstance(outcome, ActionRequired)
    assert outcome.url == f"https://hooks.stripe.test/3ds/{outcome.ref}"
    fake.confirm(outcome.ref, agreed=agreed)
    failed = Failed("payment_intent_authentication_failure", retryable=True, ref=outcome.ref)
    assert await stripe.look(charge, outcome.ref) == (Paid(outcome.ref) if agreed else failed)


async def test_off_session_a_card_that_asks_fails(stripe: Stripe, fake: FakeStripe) -> None:
    outcome = await stripe.charge(await card(stripe, fake, "3ds"), again=False)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "authentication_required"


async def test_a_payment_whose_answer_was_lost_is_found_again_and_not_made_twice(
    stripe: Stripe, fake: FakeStripe
) -> None:
    charge = await card(stripe, fake, "ok")
    fake.lose = True
    with pytest.raises(ProviderUnavailable):
        await stripe.charge(charge, again=False)
    fake.lose = False
    fake.replies.clear()  # a day later the key is forgotten, too
    assert isinstance(await stripe.charge(charge, again=True), Paid)
    assert len(fake.intents) == 1


async def test_cancelling_what_was_paid_meanwhile_says_so(stripe: Stripe, fake: FakeStripe) -> None:
    charge = await card(stripe, fake, "3ds", back=BACK)
    outcome = await stripe.charge(charge, again=False)
    assert isinstance(outcome, ActionRequired)
    assert await stripe.cancel(charge, outcome.ref) == Failed("canceled", retryable=True, ref=outcome.ref)
    fake.confirm(outcome.ref, agreed=True)
    assert await stripe.cancel(charge, outcome.ref) == Paid(outcome.ref)


async def test_a_refund_is_given_once(stripe: Stripe, fake: FakeStripe) -> None:
    charge = await card(stripe, fake, "ok")
    paid = await stripe.charge(charge, again=False)
    assert isinstance(paid, Paid)
    await stripe.refund(charge, paid.ref)
    fake.replies.clear()
    await stripe.refund(charge, paid.ref)
    assert (len(fake.refunds), fake.kept_cents) == (1, 0)


ODD = {
    "a server error": httpx.Response(500, json={"error": {"type": "api_error", "message": "sk_test_gateway"}}),
    "a rate limit": httpx.Response(429, json={"error": {"type": "rate_limit_error", "message": "slow down"}}),
    "a wrong key": httpx.Response(401, json={"error": {"type": "invalid_request_error", "message": "sk_test_***"}}),
    "a forbidden question": httpx.Response(403, json={"error": {"type": "invalid_request_error", "message": "no"}}),
    "the same key at once": httpx.Response(
        409, json={"error": {"type": "idempotency_error", "code": "idempotency_key_in_use", "message": "busy"}}
    ),
    "no JSON": httpx.Response(200, text="<html>a proxy's page</html>"),
    "a broken connection": httpx.ReadError("it broke"),
    "no connection": httpx.ConnectError("nobody is there"),
    "silence": httpx.ReadTimeout("nothing came"),
}


@pytest.mark.parametrize("odd", ODD)
async def test_whatever_is_no_answer_means_that_nothing_is_known(odd: str) -> None:
    charge = Charge("pay_1", Customer("acc_1", "cus_1"), "pm_1", 5_000, "Invoice 1")
    provider = Stripe(KEY, network_retries=0)
    with respx.mock(base_url="https://api.stripe.com") as router:
        answer = ODD[odd]
        router.post("/v1/payment_intents").mock(
            **({"return_value": answer} if isinstance(answer, httpx.Response) else {"side_effect": answer})
        )
        with pytest.raises(ProviderUnavailable) as told:
            await provider.charge(charge, again=False)
    assert "sk_test" not in str(told.value)
    await provider.close()


async def test_a_question_that_stripe_refuses_is_an_outage_to_us_and_no_crash() -> None:
    gone = Customer("acc_1", "cus_of_another_stripe_account")
    charge = Charge("pay_1", gone, "pm_1", 5_000, "Invoice 1")
    with respx.mock(base_url="https://api.stripe.com") as router:
        router.route().respond(404, json={"error": {"type": "invalid_request_error", "code": "resource_missing"}})
        provider = Stripe(KEY, network_retries=0)
        for question in (
            provider.methods(gone),
            provider.begin_adding(gone, return_url=BACK),
            provider.set_default(gone, "pm_1"),
            provider.look(charge, "pi_1"),
            provider.refund(charge, "pi_1"),
        ):
            with pytest.raises(ProviderUnavailable):
                await question
        await provider.close()
