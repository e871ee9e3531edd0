"""Billing details: kept, checked, and with a tax that stays the operator's."""

from gateway.books import audit
from gateway.books.billing_details import SELLER
from tests.edges.dashboard.conftest import BILLING, Running
from tests.edges.dashboard.forms import form, text

DETAILS = f"{BILLING}/details"


async def test_details_are_kept_and_the_tax_stays_the_operators(running: Running) -> None:
    one = await running.someone("free")
    await running.desk.invoices.change_details(SELLER, {"tax_name": "VAT", "tax_parts_per_million": 82_500})
    async with running.signed_in(one) as client:
        page = (await client.get(DETAILS)).text
        assert "8.25% VAT" in text(page)
        fields = {
            **form(page, DETAILS),
            "name": "Acme <GmbH>",
            "address": "Main St 1\r\nBerlin\r\n",
            "email": "a@b.example",
        }
        sent = {**fields, "tax_id": "DE1", "tax_parts_per_million": "0", "tax_name": "none"}
        for _ in range(2):
            assert (await client.post(DETAILS, data=sent)).headers["location"] == DETAILS
        shown = (await client.get(DETAILS)).text
    assert "Acme &lt;GmbH&gt;" in shown
    assert "8.25% VAT" in text(shown)
    kept = await running.desk.invoices.details(one.id)
    assert (kept.name, kept.address, kept.email, kept.tax_id) == (
        "Acme <GmbH>",
        "Main St 1\nBerlin",
        "a@b.example",
        "DE1",
    )
    assert kept.tax_parts_per_million == 0
    async with running.books.read() as conn:
        (entry,) = [each for each in await audit.of_account(conn, one.id) if each.action == "billing.details"]
    assert entry.actor == f"dashboard:{one.key_id}"


async def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_stays(running: Running) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        fields = {**form((await client.get(DETAILS)).text, DETAILS), "address": "Main St 1", "name": "x" * 201}
        reply = await client.post(DETAILS, data={**fields, "email": "nobody", "tax_id": "a\x00b"})
    assert reply.status_code == 422
    said = text(reply.text)
    assert "At most 200 characters; these are 201." in said
    assert "This is no email address" in said
    assert "cannot be printed" in said
    assert "Main St 1" in reply.text
    assert (await running.desk.invoices.details(one.id)).address == ""


async def test_members_see_details_and_change_none(running: Running) -> None:
    member = await running.someone("free", products=frozenset({"parse"}))
    async with running.signed_in(member) as client:
        page = (await client.get(DETAILS)).text
        assert "Not given" in page
        assert "<form" not in page.partition("<main")[2]
        token = {"form_token": form(page, "/settings/sign-out")["form_token"]}
        assert (await client.post(DETAILS, data=token)).status_code == 403
