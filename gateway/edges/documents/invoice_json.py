"""An invoice as JSON: what programs read of it as it stands, and the export that can be verified later.

`lines` are the frozen document's, their credits as numbers; the export holds the document's very bytes.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.books.invoices import CreditNote
from gateway.flows.invoice_document import instant_text
from gateway.flows.invoice_view import InvoiceView


def invoice_json(view: InvoiceView) -> dict[str, Any]:
    """Document and standing in one."""
    said = view.document
    return {
        "id": view.id,
        "number": said["number"],
        "account_id": said["account_id"],
        "status": view.status.value,
        "period": said["period"],
        "issued_at": said["issued_at"],
        "due_at": said["due_at"],
        "settled_at": None if view.settled_ms is None else instant_text(view.settled_ms),
        "currency": said["currency"],
        "subtotal_cents": said["subtotal_cents"],
        "tax": said["tax"],
        "tax_cents": said["tax_cents"],
        "total_cents": said["total_cents"],
        "credited_cents": view.credited_cents,
        "paid_cents": view.paid_cents,
        "due_cents": view.due_cents,
        "seller": said["seller"],
        "buyer": said["buyer"],
        "lines": [line_json(line) for line in said["lines"]],
        "credit_notes": [credit_note_json(note) for note in view.credit_notes],
        "content_hash": view.content_hash,
    }


def export(view: InvoiceView) -> bytes:
    """An issued invoice as a file: the document's bytes as a string, and their hash."""
    told = {"content_hash": view.content_hash, "document": view.frozen}
    return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def as_file(view: InvoiceView, kind: str) -> dict[str, str]:
    """The headers that make an answer a file named after the invoice's number."""
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in str(view.document["number"]))
    return {"content-disposition": f'attachment; filename="invoice-{name}.{kind}"', "cache-control": "no-store"}


def line_json(line: Mapping[str, Any]) -> dict[str, Any]:
    """A document's line with its credits as numbers."""
    parts = [{**part, "credits": orjson.Fragment(part["credits"])} for part in line["sub_lines"]]
    return {**line, "credits": orjson.Fragment(line["credits"]), "sub_lines": parts}


def credit_note_json(note: CreditNote) -> dict[str, Any]:
    """Money given back on an invoice."""
    return {
        "id": note.id,
        "number": note.number,
        "amount_cents": note.amount_cents,
        "reason": note.reason,
        "issued_at": instant_text(note.issued_ms),
    }
