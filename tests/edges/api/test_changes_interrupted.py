"""Changes whose process, books or Redis fail halfway: what the same request gets when it is sent again."""

from typing import Any
from unittest.mock import AsyncMock

import pytest

from gateway.books.faults import BooksUnavailable
from gateway.flows import accounts as plan_changes
from gateway.flows.accounts import Accounts
from gateway.flows.faults import PaymentNeeded
from gateway.ledger.faults import StoreUnavailable
from tests.edges.api.conftest import Running

PATH = "/api/v1/billing/subscription"
KEY = {"idempotency-key": "once"}


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *, after: bool) -> None:
    """Let the change of a plan fail, before or after it was made."""
    change = Accounts.change_plan

    async def fail(self: Accounts, *args: Any, **named: Any) -> None:
        if after:
            await change(self, *args, **named)
        raise error

    monkeypatch.setattr(Accounts, "change_plan", fail)


async def test_what_was_not_paid_for_may_be_asked_for_again_with_the_same_key(running: Running) -> None:
    _, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        with pytest.MonkeyPatch.context() as patched:
            failing(patched, PaymentNeeded("no_payment_method", "add a payment method first"), after=False)
            failed = await caller.put(PATH, json={"plan": "pro"}, headers=KEY)
        again = await caller.put(PATH, json={"plan": "pro"}, headers=KEY)
    assert (failed.status_code, failed.json()["code"]) == (402, "payment_required")
    assert (failed.json()["reason"], failed.json()["detail"]) == ("no_payment_method", "add a payment method first")
    assert (again.status_code, again.json()["subscription"]["plan"]["id"]) == (200, "pro")


@pytest.mark.parametrize(
    ("error", "status"), [(BooksUnavailable("gone as they committed"), 503), (RuntimeError("a mistake of ours"), 500)]
)
async def test_a_change_that_may_have_been_made_is_not_made_a_second_time(
    running: Running, error: Exception, status: int
) -> None:
    _, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        with pytest.MonkeyPatch.context() as patched:
            failing(patched, error, after=True)
            failed = await caller.put(PATH, json={"plan": "pro"}, headers=KEY)
        again = await caller.put(PATH, json={"plan": "pro"}, headers=KEY)
        numbers = (await caller.get("/api/v1/billing/invoices", params={"status": "issued"})).json()["items"]
    assert failed.status_code == status
    assert str(error) not in failed.text
    assert (again.status_code, again.json()["code"]) == (409, "idempotency_reply_gone")
    assert len(numbers) == 2


@pytest.mark.parametrize(
    ("error", "status"), [(BooksUnavailable("locked"), 503), (StoreUnavailable("away"), 503), (RuntimeError(), 500)]
)
async def test_a_change_that_broke_before_it_was_made_is_made_when_it_is_sent_again(
    running: Running, error: Exception, status: int
) -> None:
    _, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        with pytest.MonkeyPatch.context() as patched:
            # In the middle of the transaction, which is undone.
            patched.setattr(plan_changes, "charge_change", AsyncMock(side_effect=error))
            failed = await caller.put(PATH, json={"plan": "pro"}, headers=KEY)
        again = await caller.put(PATH, json={"plan": "pro"}, headers=KEY)
        repeated = await caller.put(PATH, json={"plan": "pro"}, headers=KEY)
        numbers = (await caller.get("/api/v1/billing/invoices", params={"status": "issued"})).json()["items"]
    assert failed.status_code == status
    assert (again.status_code, again.json()["subscription"]["plan"]["id"]) == (200, "pro")
    assert repeated.json() == again.json()
    assert len(numbers) == 2


async def test_while_redis_is_away_billing_can_be_read_and_changed(running: Running) -> None:
    _, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        assert (await caller.get(PATH)).status_code == 200
        await running.store.close()
        assert (await caller.get(PATH)).json()["plan"]["id"] == "starter"
        assert (await caller.get("/api/v1/billing/invoices")).status_code == 200
        put = await caller.put(PATH, json={"plan": "free"})
    assert put.json()["subscription"]["pending"]["plan"]["id"] == "free"
