"""Invoices on paper, whatever their buyers are called."""

import hashlib
from typing import Any

import orjson
import pypdfium2
import pytest

from gateway.edges.documents.invoice_pdf import MARK, invoice_pdf
from gateway.edges.documents.verify import claimed

SPAN = {"start": "2026-10-25T00:00:00.000Z", "end": "2026-11-25T00:00:00.000Z"}


def invoice_of(buyer: str) -> dict[str, Any]:
    party = {"name": buyer, "address": f"{buyer}\n1 Main Street", "email": "", "tax_id": ""}
    line = {
        "kind": "plan_fee",
        "description": "Starter plan, 40,000 credits included",
        "service_period": SPAN,
        "credits": "40000",
        "amount_cents": 5000,
        "sub_lines": [],
    }
    return {
        "number": "2026-000001",
        "account_id": "acc_1",
        "period": SPAN,
        "issued_at": SPAN["end"],
        "due_at": SPAN["end"],
        "currency": "USD",
        "seller": {**party, "name": "Seller"},
        "buyer": party,
        "lines": [line],
        "subtotal_cents": 5000,
        "tax": None,
        "tax_cents": 0,
        "total_cents": 5000,
        "rate_cards": [],
    }


async def drawn(buyer: str) -> tuple[bytes, str, str]:
    """The PDF, its words and the document that was drawn."""
    frozen = orjson.dumps(invoice_of(buyer), option=orjson.OPT_SORT_KEYS).decode()
    pdf = await invoice_pdf(frozen, f"sha256:{hashlib.sha256(frozen.encode()).hexdigest()}")
    return pdf, pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_range(), frozen


@pytest.mark.parametrize(
    "buyer",
    [
        "株式会社 Nihon",
        "한국어",
        "ไทย",
        "\u202eevil \U0001f4a9",
        "\uffff\ufffd",
        "שלום",
        "مرحبا",
        "\U000e0001 \x7f \x07",
    ],
)
async def test_every_buyer_has_a_pdf_that_can_be_verified(buyer: str) -> None:
    pdf, words, frozen = await drawn(buyer)
    assert claimed(pdf).frozen == frozen.encode()
    assert "$50.00" in words


async def test_letters_that_no_font_has_are_marked_and_everything_else_is_shown() -> None:
    _, words, _ = await drawn("Acme \U0010fffd Ltd")
    assert f"Acme {MARK} Ltd" in words
    assert "the attached invoice.json has them all" in words


async def test_nothing_in_a_name_is_markup() -> None:
    name = '#read("/etc/passwd") $x$ *b* @ref <a> [c]'
    _, words, _ = await drawn(name)
    assert name in words.replace("\r\n", " ")
    assert "has them all" not in words


async def test_the_same_invoice_makes_the_same_bytes() -> None:
    assert (await drawn("株式会社"))[0] == (await drawn("株式会社"))[0]


async def test_marked_letters_leave_a_file_that_can_be_archived() -> None:
    assert b"pdfaid:part" in (await drawn("Acme \U0010fffd Ltd"))[0]
