"""The invoices' pages: what they say is what the invoice says, and it is nobody else's."""

import re

from gateway.domain.invoice import InvoiceStatus
from tests.edges.dashboard.conftest import BILLING, Running

INVOICES = f"{BILLING}/invoices"


def draft_in(page: str) -> str:
    found = re.search(r'invoices/(draft_[^"?]+)', page)
    assert found is not None
    return found[1]


async def test_the_draft_leads_and_each_invoice_leads_to_its_lines(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    await running.used(one, 50_000, product="parse", mode="agentic")
    issued = next(
        each for each in await running.desk.invoices.of_account(one.id) if each.status is InvoiceStatus.ISSUED
    )
    async with running.signed_in(one) as client:
        listed = (await client.get(INVOICES)).text
        draft = (await client.get(f"{INVOICES}/{draft_in(listed)}")).text
        shown = (await client.get(f"{INVOICES}/{issued.id}")).text
    rows = listed.partition("<tbody>")[2]
    assert rows.index("Draft") < rows.index(str(issued.document["number"]))
    assert "10,000 credits beyond the Starter plan" in draft
    assert "$12.50" in draft
    assert "Starter plan, 40,000 credits included" in shown
    assert "$50.00" in shown


async def test_a_line_leads_to_the_calls_that_made_it(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    event = await running.used(one, 50_000, product="parse", mode="agentic")
    async with running.signed_in(one) as client:
        listed = (await client.get(INVOICES)).text
        draft = (await client.get(f"{INVOICES}/{draft_in(listed)}")).text
        calls = re.search(r'href="([^"]*/usage/calls[^"]*)"', draft)
        assert calls is not None
        assert event.facts.request_id in (await client.get(calls[1].replace("&amp;", "&"))).text


async def test_an_issued_invoice_is_a_pdf_a_csv_and_a_json_and_a_draft_is_none_yet(running: Running) -> None:
    one = await running.someone("pro", days_ago=3)
    issued = next(
        each for each in await running.desk.invoices.of_account(one.id) if each.status is InvoiceStatus.ISSUED
    )
    async with running.signed_in(one) as client:
        pdf = await client.get(f"{INVOICES}/{issued.id}.pdf")
        rows = await client.get(f"{INVOICES}/{issued.id}.csv")
        export = await client.get(f"{INVOICES}/{issued.id}.json")
        listed = (await client.get(INVOICES)).text
        refused = await client.get(f"{INVOICES}/{draft_in(listed)}.pdf")
    assert pdf.content.startswith(b"%PDF")
    assert rows.text.startswith("event_id,")
    assert export.json()["content_hash"] == issued.content_hash
    assert refused.status_code == 400


async def test_nobody_sees_the_invoices_of_another_account(running: Running) -> None:
    mine, theirs = await running.someone("pro", days_ago=3), await running.someone("pro", days_ago=3)
    ids = [each.id for each in await running.desk.invoices.of_account(theirs.id)]
    assert len(ids) == 2
    async with running.signed_in(mine) as client:
        token = (await client.get(BILLING)).text
        for invoice_id in ids:
            for form in ("", ".pdf", ".csv", ".json"):
                assert (await client.get(f"{INVOICES}/{invoice_id}{form}")).status_code == 404
            form_token = re.search(r'name="form_token" value="([^"]*)"', token)
            assert form_token is not None
            paid = await client.post(f"{INVOICES}/{invoice_id}/pay", data={"form_token": form_token[1]})
            assert paid.status_code == 404


async def test_a_free_account_is_told_why_it_has_none(running: Running) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        assert "Free accounts get none" in (await client.get(INVOICES)).text
