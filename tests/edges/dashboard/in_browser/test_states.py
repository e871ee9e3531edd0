"""Pages that nobody wishes for: refused, not there, broken, and of an account that has ended."""

import pytest

from gateway.flows.accounts import Accounts
from gateway.ledger.faults import StoreUnavailable
from tests.edges.dashboard.conftest import BILLING
from tests.edges.dashboard.in_browser.conftest import Operations, Served
from tests.edges.dashboard.in_browser.tab import Tab

FAULTS = [
    ("member", f"{BILLING}/keys/new", 403, "You may not do this"),
    ("pro", f"{BILLING}/no-such-page", 404, "Not here"),
    ("pro", f"{BILLING}/usage?range=ever", 400, "That did not work"),
]


@pytest.mark.parametrize(("who", "path", "status", "says"), FAULTS)
async def test_a_page_of_a_fault_is_a_page(
    served: Served, scripted: Tab, who: str, path: str, status: int, says: str
) -> None:
    await served.enter(scripted, who)
    await scripted.open(path, status)
    await scripted.says(says)
    await scripted.faultless()


@pytest.mark.parametrize(
    ("fault", "status", "says"),
    [(StoreUnavailable("gone"), 503, "Not available right now"), (ZeroDivisionError(), 500, "If you ask for help")],
)
async def test_what_breaks_behind_a_page_is_told_on_one(
    served: Served, scripted: Tab, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: int, says: str
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise fault

    await served.enter(scripted, "pro")
    with monkeypatch.context() as patched:
        patched.setattr(Accounts, "show", broken)
        await scripted.open(BILLING, status)
    await scripted.says(says)
    await scripted.faultless()


async def test_an_operator_s_unknown_page_is_a_page(operations: Operations, scripted: Tab) -> None:
    await operations.operate(scripted)
    await scripted.open("/admin/no-such-page", 404)
    await scripted.faultless()


async def test_a_form_of_another_session_changes_nothing(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    await served.enter(tab, one)
    await tab.open(f"{BILLING}/details")
    await served.enter(tab, one)
    await tab.type("Name", "Somebody else")
    await tab.press("Save")
    await tab.says("This form was not sent from a page that you have open here")
    await tab.was_refused(403)
    await tab.faultless()
    assert (await served.running.desk.invoices.details(one.id)).name == ""


async def test_a_closed_account_is_still_readable(served: Served, scripted: Tab) -> None:
    one = await served.running.someone("starter", days_ago=3)
    await served.running.desk.accounts.close(one.id, reason="asked for")
    await served.enter(scripted, one)
    await scripted.open(BILLING)
    await scripted.says("This account is closed.")
    await scripted.faultless()


async def test_a_payment_that_failed_is_told(charging: Served, scripted: Tab) -> None:
    one, desk = await charging.running.someone("starter"), charging.running.desk
    await desk.payment_methods.add_fake(one.id, "fake_declined", actor="test")
    (invoice,) = [view for view in await desk.invoices.of_account(one.id) if view.status != "draft"]
    await desk.payments.pay_now(one.id, invoice.id, "test")
    await charging.enter(scripted, one)
    await scripted.open(f"{BILLING}/payment-methods")
    await scripted.says("Card declined")
    await scripted.faultless()
