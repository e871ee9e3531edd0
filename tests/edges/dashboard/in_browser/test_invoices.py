"""An invoice, from the list down to one of its calls, and its files."""

import csv
import io
import json

import pytest

from gateway.domain.credits import millicredits
from tests.edges.dashboard.conftest import BILLING
from tests.edges.dashboard.in_browser.conftest import Operations, Served
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab, pattern

INVOICES = f"{BILLING}/invoices"
ONE = f"{INVOICES}/{{invoice_id}}"


@pytest.fixture
def owners(served: Served, operations: Operations) -> Served:
    """Where invoices have been issued."""
    return Served(served.running, served.app, served.base, operations.people, operations.ids)


@drives(f"GET {INVOICES}", f"GET {ONE}", f"GET {BILLING}/usage/calls", f"GET {BILLING}/usage/calls/{{request_id}}")
async def test_a_cent_of_an_invoice_leads_to_the_calls_behind_it(owners: Served, tab: Tab) -> None:
    await owners.enter(tab, owners.people["billed"])
    await tab.open(INVOICES)
    invoice = await owners.running.desk.invoices.find(owners.ids["invoice"])
    await tab.follow(invoice.document["number"], first=True)
    await tab.faultless()
    parts = [part for line in invoice.document["lines"] for part in line["sub_lines"]]
    (part,) = [part for part in parts if part["product"] == "extract"]
    await tab.page.get_by_role("link", name=pattern("Extract, ")).click()
    await tab.page.wait_for_url("**/usage/calls?*")
    rows = tab.page.get_by_role("row").filter(has=tab.page.get_by_role("cell"))
    await rows.first.wait_for()
    amounts = [(await row.get_by_role("cell").last.inner_text()).replace(",", "") for row in await rows.all()]
    assert sum(map(millicredits, amounts)) == millicredits(part["credits"]), "the calls come to what is charged"
    await rows.first.get_by_role("link").click()
    await tab.says("What happened")
    await tab.says(f"Charged: {int(amounts[0]):,} credits")


@drives(f"GET {ONE}.pdf", f"GET {ONE}.csv", f"GET {ONE}.json")
async def test_an_invoice_is_taken_along_as_three_files(owners: Served, tab: Tab) -> None:
    invoice = await owners.running.desk.invoices.find(owners.ids["invoice"])
    await owners.enter(tab, owners.people["billed"])
    await tab.open(f"{INVOICES}/{invoice.id}")
    number = invoice.document["number"]
    name, pdf = await tab.takes("PDF")
    assert number in name
    assert pdf.startswith(b"%PDF-")
    _, rows = await tab.takes("CSV")
    events = list(csv.DictReader(io.StringIO(rows.decode("utf-8-sig"))))
    booked = [event async for event in owners.running.desk.invoices.events(invoice.id)]
    assert len(events) == len(booked) > 0
    _, text = await tab.takes("JSON")
    assert number in json.dumps(json.loads(text))
    await tab.open(INVOICES)
    _, from_list = await tab.takes(f"PDF of {number}")
    assert from_list.startswith(b"%PDF-")
