import re

import pytest

from gateway.books import audit
from gateway.flows.faults import InvoicingStopped
from tests.edges.dashboard.conftest import Running, Someone
from tests.edges.dashboard.forms import text
from tests.edges.dashboard.operator.conftest import Operating
from tests.edges.dashboard.operator.test_accounts import ACTOR


async def invoice_of(operating: Operating, one: Someone) -> str:
    """The number of the account's first invoice."""
    await operating.parts.issue_due(one.id)
    found, _ = await operating.running.desk.invoices.page(one.id, size=9)
    return next(str(view.document["number"]) for view in found if view.document["number"])


async def noted(running: Running, one: Someone) -> audit.AuditEntry:
    """The newest line about one of the account's invoices in the audit log."""
    async with running.books.read() as conn:
        return next(e for e in await audit.of_account(conn, one.id) if e.action.startswith("invoice."))


async def test_invoices_of_all_accounts_are_listed_by_status(operating: Operating, acme: Someone) -> None:
    number = await invoice_of(operating, acme)
    page = text(await operating.page("/admin/invoices"))
    assert number in page
    assert "$50.00" in page
    assert number in await operating.page("/admin/invoices?status=issued")
    assert number not in await operating.page("/admin/invoices?status=void")
    assert number in await operating.page("/admin/invoices?status=overdue")
    await operating.does(f"/admin/invoices/{number}/pay", reason="by transfer")
    assert number not in await operating.page("/admin/invoices?status=overdue")
    for wrong in ("status=draft", "status=what", "after=what"):
        await operating.page(f"/admin/invoices?{wrong}", 400)


@pytest.mark.parametrize(
    ("verb", "action", "said"),
    [
        ("pay", "invoice.pay", "is paid"),
        ("void", "invoice.void", "is void"),
        ("uncollectible", "invoice.write_off", "is uncollectible"),
    ],
)
async def test_an_invoice_becomes_what_is_said_once_and_for_a_reason(
    operating: Operating, acme: Someone, verb: str, action: str, said: str
) -> None:
    number = await invoice_of(operating, acme)
    path = f"/admin/invoices/{number}/{verb}"
    assert (await operating.sends(path, reason="")).status_code == 422
    assert f"Invoice {number} {said}." in text(await operating.does(path, reason="as agreed"))
    entry = await noted(operating.running, acme)
    assert (entry.action, entry.actor, entry.detail["reason"]) == (action, ACTOR, "as agreed")
    refused = await operating.sends(path, reason="as agreed")
    assert refused.status_code == 422
    assert "Nothing was changed." in refused.text
    await operating.page(f"/admin/invoices/2020-999999/{verb}", 404)


async def test_money_is_given_back_by_a_credit_note(operating: Operating, acme: Someone) -> None:
    number = await invoice_of(operating, acme)
    path = f"/admin/invoices/{number}/credit"
    page = text(await operating.does(path, dollars="$12.50", reason="an outage"))
    assert "of $12.50 is issued" in page
    assert "Due $37.50" in page
    assert (await noted(operating.running, acme)).detail["amount_cents"] == 1_250
    for wrong in ("37.51", "0", "-5", "lots", "1.005"):
        assert (await operating.sends(path, dollars=wrong, reason="more")).status_code == 422, wrong


async def test_due_invoices_are_issued_on_the_spot(operating: Operating, monkeypatch: pytest.MonkeyPatch) -> None:
    late = await operating.running.someone("starter", "Late", days_ago=40)
    path = f"/admin/accounts/{late.id}/issue"

    async def stopped(*_: object) -> None:
        raise InvoicingStopped(late.id, "the ledger does not sum to zero")

    with monkeypatch.context() as patched:
        patched.setattr("gateway.flows.issue_invoice.Closer._close_first", stopped)
        refused = await operating.sends(path)
    assert refused.status_code == 422
    assert "the ledger does not sum to zero" in refused.text
    assert re.search(r"Issued \d{4}-\d{6}\.", text(await operating.does(path)))
    assert "No invoice is due." in text(await operating.does(path))
