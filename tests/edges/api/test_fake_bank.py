"""The page of the fake bank: a payment that waits is confirmed or refused there, and nothing else is."""

from dataclasses import replace

import httpx
import pytest

from gateway.edges.api.account import account_api
from gateway.edges.api.fake_bank import fake_bank_routes
from gateway.edges.api.front import Front
from gateway.flows.fake_bank import FakeBank
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.till import Till, till_over
from gateway.payments.fake import Fake
from gateway.payments.provider import ActionRequired
from tests.billing import billing_over
from tests.edges.api.conftest import Running, proxied
from tests.made_up import PLANS

BACK = "http://gateway/settings/billing/invoices"


@pytest.fixture
def till(running: Running) -> Till:
    tell = TellLedger(books=running.books, ledger=running.ledger, plans=lambda: PLANS, clock=running.clock)
    provider = Fake(FakeBank(running.books), "http://gateway")
    till = till_over(billing_over(running.books, running.clock, tell=tell), provider)
    running.parts = replace(running.parts, pages=fake_bank_routes(till.payments))
    running.front = Front(own=account_api(running.parts), proxy=proxied)
    return till


async def waiting(running: Running, till: Till) -> tuple[str, str, str]:
    """An account, its invoice, and the address where its owner is asked."""
    opened, _ = await running.open_account("starter")
    await till.methods.add_fake(opened.id, "fake_3ds", actor="owner")
    (_, invoice) = await running.parts.desk.invoices.of_account(opened.id)
    outcome = await till.payments.pay_now(opened.id, invoice.id, "owner", return_url=BACK)
    assert isinstance(outcome, ActionRequired)
    return opened.id, invoice.id, outcome.url


@pytest.mark.parametrize(("answer", "status"), [("yes", "paid"), ("no", "issued")])
async def test_the_owner_confirms_or_refuses_and_comes_back(
    running: Running, till: Till, answer: str, status: str
) -> None:
    _, invoice_id, url = await waiting(running, till)
    async with running.caller() as owner:
        page = await owner.get(url)
        assert (page.status_code, "$50.00: Invoice" in page.text) == (200, True)
        reply = await owner.post(url, data={"answer": answer})
        assert (reply.status_code, reply.headers["location"]) == (303, BACK)
        assert (await owner.get(url)).status_code == 404
    assert (await running.parts.desk.invoices.find(invoice_id)).status == status


async def test_who_was_not_sent_there_finds_nothing(running: Running, till: Till) -> None:
    _, _, url = await waiting(running, till)
    async with running.caller() as owner:
        assert (await owner.get("/fake-bank/pay_unknown")).status_code == 404
        assert (await owner.post("/fake-bank/pay_unknown", data={"answer": "yes"})).status_code == 404
        assert (await owner.post(url, content=b"x" * 100)).status_code == 413


async def test_under_another_provider_there_is_no_such_page(running: Running) -> None:
    assert fake_bank_routes(running.parts.desk.payments) == []
    async with running.caller() as caller:
        reply: httpx.Response = await caller.get("/fake-bank/pay_1")
    assert reply.status_code == 404
