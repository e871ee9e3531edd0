"""`gateway invoice`: what programs read, the files it writes, and that a changed file is found out."""

import csv
import io
import json
from pathlib import Path

import pypdfium2
import pytest
from sqlalchemy import text

from gateway.books import periods, usage
from gateway.stores import Stores
from tests.edges.cli.conftest import Terminal
from tests.made_up import CREDIT, event


@pytest.fixture
def account_id(terminal: Terminal) -> str:
    """A Starter account that has used 40,004 credits and was then put on Pro."""
    account_id = terminal.account("starter")

    async def work(stores: Stores) -> None:
        async with stores.books.begin() as conn:
            period = await periods.latest(conn, account_id)
            assert period is not None
            used = [
                event(account_id, 1, captured=40_000 * CREDIT, period_start_ms=period.start_ms),
                event(account_id, 2, captured=4 * CREDIT, period_start_ms=period.start_ms, product="extract"),
            ]
            await usage.book(conn, used)

    terminal.beside(work)
    return account_id


def test_a_list_shows_the_draft_and_what_was_issued(terminal: Terminal, account_id: str) -> None:
    draft, first = terminal("invoice", "list", "--account", account_id, "--json").json["invoices"]
    assert (draft["status"], draft["number"], draft["total_cents"]) == ("draft", None, 5_001)
    assert [line["amount_cents"] for line in draft["lines"]] == [1, 5_000]
    assert draft["lines"][0]["credits"] == 4
    assert draft["lines"][0]["sub_lines"] == [
        {"product": "extract", "mode": "agentic", "credits": 4, "amount_cents": 1}
    ]
    assert (first["status"], first["total_cents"], first["due_cents"]) == ("issued", 5_000, 5_000)
    assert set(first) >= {"id", "number", "status", "period", "total_cents", "due_cents", "lines"}
    told = terminal("invoice", "list", "--account", account_id).out.splitlines()
    assert told[0].split("\t") == ["number", "status", "period", "total", "due", "id"]
    assert told[2].split("\t")[1:2] + told[2].split("\t")[3:5] == ["issued", "$50.00", "$50.00"]


def test_a_preview_tells_what_the_upgrade_is_then_invoiced(terminal: Terminal, account_id: str) -> None:
    told = terminal("account", "plan", account_id, "pro", "--preview", "--json").json
    assert (told["total_cents"], [line["amount_cents"] for line in told["lines"]]) == (50_001, [1, 50_000])
    done = terminal("account", "plan", account_id, "pro", "--json").json
    assert done["total_cents"] == 50_001
    shown = terminal("invoice", "show", done["invoice"], "--json").json
    assert (shown["number"], shown["total_cents"]) == (done["invoice"], 50_001)
    assert "Starter" in terminal("invoice", "show", done["invoice"]).out


def test_an_invoice_is_paid_voided_credited_and_given_up(terminal: Terminal) -> None:
    names = []
    for _ in range(3):
        account_id = terminal.account("starter")
        names.append(terminal("invoice", "list", "--account", account_id, "--json").json["invoices"][1]["id"])
    assert terminal("invoice", "pay", names[0], "--json").json["status"] == "paid"
    again = terminal("invoice", "pay", names[0], "--json")
    assert (again.code, again.out) == (1, "")
    assert "is paid: it cannot be paid" in again.err
    assert terminal("invoice", "void", names[1], "--reason", "a mistake", "--json").json["due_cents"] == 0
    credited = terminal("invoice", "credit", names[2], "--usd", "12.50", "--reason", "an outage", "--json").json
    assert (credited["due_cents"], credited["credit_notes"][0]["amount_cents"]) == (3_750, 1_250)
    given_up = terminal("invoice", "uncollectible", names[2], "--reason", "closed down", "--json").json
    assert (given_up["status"], given_up["due_cents"]) == ("uncollectible", 3_750)


def test_issuing_when_nothing_is_due_says_so(terminal: Terminal, account_id: str) -> None:
    assert terminal("invoice", "issue").out == "Nothing is due.\n"
    assert terminal("invoice", "issue", "--account", account_id, "--json").json == {"invoices": []}


def test_files_are_verified_and_changed_ones_found_out(terminal: Terminal, account_id: str, tmp_path: Path) -> None:
    number = terminal("account", "plan", account_id, "pro", "--json").json["invoice"]
    pdf, exported = tmp_path / "invoice.pdf", tmp_path / "invoice.json"
    assert terminal("invoice", "pdf", number, "--out", str(pdf)).code == 0
    assert terminal("invoice", "export", number, "--out", str(exported)).code == 0
    for file in (pdf, exported):
        assert terminal("invoice", "verify", str(file), "--json").json["ok"]
    words = pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_range()
    for shown in (number, "Acme", "$500.01", "Extract, agentic"):
        assert shown in words
    again = tmp_path / "again.pdf"
    terminal("invoice", "pdf", number, "--out", str(again))
    assert again.read_bytes() == pdf.read_bytes()
    export = json.loads(exported.read_bytes())
    export["document"] = export["document"].replace('"amount_cents":50000', '"amount_cents":40000')
    exported.write_text(json.dumps(export))
    verdict = terminal("invoice", "verify", str(exported), "--json")
    assert verdict.code == 1
    assert len(verdict.json["faults"]) == 3
    exported.write_text("{}")
    assert "neither an invoice's PDF nor its JSON export" in terminal("invoice", "verify", str(exported)).err


def test_the_csv_has_every_event_behind_an_invoice(terminal: Terminal, account_id: str) -> None:
    number = terminal("account", "plan", account_id, "pro", "--json").json["invoice"]
    rows = list(csv.DictReader(io.StringIO(terminal("invoice", "csv", number).out)))
    assert [(row["included_credits"], row["pay_as_you_go_credits"]) for row in rows] == [("40000", "0"), ("0", "4")]
    assert rows[0]["line_id"] == ""


def test_a_check_proves_the_books_and_finds_what_is_wrong(terminal: Terminal, account_id: str) -> None:
    terminal("account", "plan", account_id, "pro")
    assert terminal("invoice", "check", "--json").json == {"ok": True, "faults": []}

    async def tamper(stores: Stores) -> None:
        async with stores.books.begin() as conn:
            await conn.execute(text("DROP TRIGGER closed_events_no_delete"))
            await conn.execute(text("DELETE FROM closed_events WHERE pay_as_you_go_millicredits > 0"))
            await conn.execute(text("UPDATE document_numbers SET last = last + 1"))

    terminal.beside(tamper)
    terminal.account("starter")
    found = terminal("invoice", "check")
    assert found.code == 1
    assert "the numbers of" in found.err
    assert f"{account_id}: the period from" in found.err


def test_a_document_that_cannot_be_written_says_where(terminal: Terminal, account_id: str, tmp_path: Path) -> None:
    number = terminal("invoice", "list", "--account", account_id, "--json").json["invoices"][-1]["number"]
    for verb in ("pdf", "export"):
        refused = terminal("invoice", verb, number, "--out", str(tmp_path / "nowhere" / "file"))
        assert refused.code == 1
        assert "nowhere/file: No such file or directory." in refused.err


def test_a_draft_is_no_document(terminal: Terminal, account_id: str) -> None:
    draft = terminal("invoice", "list", "--account", account_id, "--json").json["invoices"][0]["id"]
    refused = terminal("invoice", "pdf", draft)
    assert refused.code == 1
    assert "a draft changes until it is issued" in refused.err


def test_details_stand_on_the_next_invoice(terminal: Terminal) -> None:
    seller = ("--name", "Seller #1 Ltd", "--address", "1 *Road*\nTown", "--tax-name", "VAT", "--tax-percent", "7.7")
    assert terminal("invoice", "details", "seller", *seller, "--json").json["tax_parts_per_million"] == 77_000
    account_id = terminal.account("starter")
    first = terminal("invoice", "list", "--account", account_id, "--json").json["invoices"][1]
    assert (first["seller"]["name"], first["tax_cents"], first["total_cents"]) == ("Seller #1 Ltd", 385, 5_385)
    assert terminal("invoice", "details", account_id, "--name", "Acme GmbH", "--json").json["name"] == "Acme GmbH"
    assert terminal("invoice", "details", "seller", "--tax-percent", "101").code == 2
    assert terminal("invoice", "details", "acc_none").code == 1
