"""Proving that a file is an invoice as it was issued: its hash, its sums, and what the books have under its number.

Reads the PDFs and the JSON exports that `gateway invoice` writes. Says what is wrong; repairs nothing.
"""

from dataclasses import dataclass
from typing import Any

import orjson
import pypdfium2

from gateway.edges.documents.invoice_pdf import ATTACHED_AS
from gateway.flows.invoice_document import arithmetic_fault, content_hash


class NoInvoice(Exception):
    """The file holds no invoice of ours."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a file says: the document, its bytes, and the hash that the file names (a PDF names it only on paper)."""

    document: dict[str, Any]
    frozen: bytes
    hash_named: str | None

    @property
    def content_hash(self) -> str:
        """The hash of what is there."""
        return content_hash(self.frozen)


def claimed(file: bytes) -> Claimed:
    """Read a file. NoInvoice."""
    if file.startswith(b"%PDF-"):
        return _document(_attached(file), None)
    try:
        export = orjson.loads(file)
        return _document(str(export["document"]).encode(), str(export["content_hash"]))
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise NoInvoice("the file is neither an invoice's PDF nor its JSON export") from error


def faults(said: Claimed, booked_hash: str | None) -> list[str]:
    """Everything that is wrong; `booked_hash` is what the books have under the invoice's id, None for nothing."""
    found = []
    if said.hash_named not in {None, said.content_hash}:
        found.append("the document is not the one whose hash the file names")
    try:
        wrong = arithmetic_fault(said.document)
    except (KeyError, TypeError, ValueError):
        wrong = "the document lacks what an invoice says"
    if wrong is not None:
        found.append(wrong)
    if booked_hash is None:
        found.append("the books know no such invoice")
    elif booked_hash != said.content_hash:
        found.append("the document is not the one that was issued")
    return found


def _attached(file: bytes) -> bytes:
    try:
        pdf = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        raise NoInvoice("the file is a PDF that cannot be read") from error
    try:
        for index in range(pdf.count_attachments()):
            attachment = pdf.get_attachment(index)
            if attachment.get_name() == ATTACHED_AS:
                return bytes(attachment.get_data())
    finally:
        pdf.close()
    raise NoInvoice("the file is a PDF without an invoice's data in it")


def _document(frozen: bytes, hash_named: str | None) -> Claimed:
    try:
        document = orjson.loads(frozen)
    except orjson.JSONDecodeError as error:
        raise NoInvoice("the invoice's data in the file cannot be read") from error
    if not isinstance(document, dict):
        raise NoInvoice("the invoice's data in the file cannot be read")
    return Claimed(document, frozen, hash_named)
