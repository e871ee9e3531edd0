import asyncio

import httpx
import pytest

from gateway.books import audit
from gateway.domain.instant import epoch_ms
from gateway.domain.payment import MethodKind, PaymentMethod
from gateway.flows.accounts import Accounts
from gateway.flows.faults import PaymentNeeded
from gateway.flows.payment_methods import PaymentMethods
from gateway.flows.payments import Payments
from tests.edges.dashboard.conftest import BILLING, Running
from tests.edges.dashboard.forms import form, text

PRICING = f"{BILLING}/pricing"
TO_PRO = f"{PRICING}/pro"
TO_FREE = f"{PRICING}/free"


async def shown(client: httpx.AsyncClient, path: str) -> str:
    """The page that a redirect or two lead to."""
    reply = await client.get(path, follow_redirects=True)
    assert reply.status_code == 200, reply.text
    return text(reply.text)


async def test_the_plans_stand_side_by_side_with_prices_from_the_card_in_force(running: Running) -> None:
    one = await running.someone("starter")
    async with running.signed_in(one) as client:
        page = await shown(client, PRICING)
    for said in (
        "Your plan",
        "Upgrade to Pro",
        "Cancel, go to Free",
        "40,000 credits a month",
        "Agentic plus 45 a page",
    ):
        assert said in page
    assert "600 new calls a minute" in page
    assert "$1.25 per 1,000 credits, at most $500 a month" in page


async def test_a_preview_tells_the_cents_that_are_then_invoiced(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    await running.used(one, 15_000, days_ago=1)
    async with running.signed_in(one) as client:
        preview = await client.get(TO_PRO)
        assert "Upgrade for $468.75" in text(preview.text)
        running.clock.forward(minutes=9)
        done = await client.post(TO_PRO, data=form(preview.text, TO_PRO))
        assert done.status_code == 303
        landed = await shown(client, done.headers["location"])
    assert "You are on Pro now." in landed
    assert "is of $468.75" in landed
    assert (await running.desk.accounts.show(one.id)).plan_id == "pro"


async def test_a_price_is_shown_again_once_it_is_honoured_no_more(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    async with running.signed_in(one) as client:
        preview = await client.get(TO_PRO)
        running.clock.forward(minutes=11)
        late = await client.post(TO_PRO, data=form(preview.text, TO_PRO))
        assert late.headers["location"] == TO_PRO
        assert "The price you saw was honoured until" in await shown(client, TO_PRO)
    assert (await running.desk.accounts.show(one.id)).plan_id == "starter"


async def test_a_form_sent_twice_upgrades_and_charges_once(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    async with running.signed_in(one) as client:
        fields = form((await client.get(TO_PRO)).text, TO_PRO)
        running.clock.forward(seconds=1)
        replies = await asyncio.gather(*(client.post(TO_PRO, data=fields) for _ in range(3)))
    assert {reply.status_code for reply in replies} == {303}
    invoices = [view for view in await running.desk.invoices.of_account(one.id) if view.status != "draft"]
    assert len(invoices) == 2, "the opening's and the upgrade's"


async def test_a_form_of_an_earlier_period_changes_nothing(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    async with running.signed_in(one) as client:
        old = form((await client.get(TO_FREE)).text, TO_FREE)
    running.clock.forward(days=31)
    async with running.signed_in(one) as client:
        token = form((await client.get(TO_FREE)).text, TO_FREE)["form_token"]
        late = await client.post(TO_FREE, data={**old, "form_token": token})
        assert late.headers["location"] == TO_FREE
    assert (await running.desk.accounts.show(one.id)).pending_plan_id is None


async def test_cancelling_waits_for_the_periods_end_and_is_taken_back(running: Running) -> None:
    one = await running.someone("pro", days_ago=3)
    async with running.signed_in(one) as client:
        preview = await client.get(TO_FREE)
        assert "Cancel Pro" in text(preview.text)
        done = await client.post(TO_FREE, data=form(preview.text, TO_FREE))
        landed = await shown(client, done.headers["location"])
        assert "Your change to Free waits for" in landed
        assert (await running.desk.accounts.show(one.id)).pending_plan_id == "free"
        page = (await client.get(BILLING)).text
        undone = await client.post(f"{PRICING}/undo", data=form(page, f"{PRICING}/undo"))
        assert "You stay on Pro." in await shown(client, undone.headers["location"])
    assert (await running.desk.accounts.show(one.id)).pending_plan_id is None


async def test_what_was_said_is_said_once(running: Running) -> None:
    one = await running.someone("pro")
    async with running.signed_in(one) as client:
        await client.get(f"{PRICING}/pro")
        assert "You are on Pro already." in await shown(client, BILLING)
        assert "You are on Pro already." not in await shown(client, BILLING)


async def test_nobody_puts_words_into_our_mouth(running: Running) -> None:
    one = await running.someone("pro")
    async with running.signed_in(one) as client:
        client.cookies["said"] = "WyJnb29kIiwiUGF5IG1lIl0.0000"
        assert "Pay me" not in await shown(client, BILLING)


async def test_a_contract_is_not_changed_on_the_dashboard(running: Running) -> None:
    one = await running.someone("enterprise")
    async with running.signed_in(one) as client:
        page = await client.get(TO_PRO)
        assert page.headers["location"] == PRICING
        assert "contract" in await shown(client, PRICING)


async def test_a_plan_that_is_not_sold_is_not_there(running: Running) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        assert (await client.get(f"{PRICING}/gold")).status_code == 404


@pytest.mark.parametrize(
    ("needed", "says", "leads_to"),
    [
        (PaymentNeeded("no_payment_method", "add a payment method first"), "Add a payment method", "payment-methods"),
        (PaymentNeeded("past_due", "invoice INV-1 is past due"), "Invoice INV-1 is past due.", "invoices"),
        (
            PaymentNeeded("action_required", "the owner must confirm", action_url="https://bank.example/confirm?a=b"),
            "Confirm with your bank",
            "https://bank.example/confirm?a=b",
        ),
    ],
)
async def test_a_payment_that_fails_changes_nothing_and_says_what_to_do(
    running: Running, monkeypatch: pytest.MonkeyPatch, needed: PaymentNeeded, says: str, leads_to: str
) -> None:
    one = await running.someone("free")

    async def unpaid(*_: object, **__: object) -> None:
        raise needed

    async with running.signed_in(one) as client:
        fields = form((await client.get(TO_PRO)).text, TO_PRO)
        monkeypatch.setattr(Accounts, "change_plan", unpaid)
        reply = await client.post(TO_PRO, data=fields)
    assert reply.status_code == 402
    assert "Nothing was changed." in reply.text
    assert says in text(reply.text)
    assert leads_to in reply.text


async def test_who_has_nothing_to_pay_with_is_told_before_they_try(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await running.someone("free")

    async def none(*_: object) -> list[PaymentMethod]:
        return []

    async def card(*_: object) -> list[PaymentMethod]:
        return [PaymentMethod("pm_1", MethodKind.CARD, "visa", "4242", 1, 2030, default=True)]

    monkeypatch.setattr(Payments, "charges", True)
    async with running.signed_in(one) as client:
        monkeypatch.setattr(PaymentMethods, "of_account", none)
        page = await shown(client, TO_PRO)
        assert "Add a payment method first" in page
        assert "Pay $500.00" not in page
        monkeypatch.setattr(PaymentMethods, "of_account", card)
        page = await shown(client, TO_PRO)
        assert "Paid by Visa ending in 4242." in page
        assert "Pay $500.00 and upgrade" in page


async def test_the_books_say_who_changed_the_plan(running: Running) -> None:
    one = await running.someone("free", days_ago=1)
    async with running.signed_in(one) as client:
        fields = form((await client.get(TO_PRO)).text, TO_PRO)
        assert fields["period"] != str(epoch_ms(running.clock()))
        await client.post(TO_PRO, data=fields)
    async with running.books.read() as conn:
        (entry,) = [each for each in await audit.of_account(conn, one.id) if each.action == "account.plan"]
    assert entry.actor == f"dashboard:{one.key_id}"
