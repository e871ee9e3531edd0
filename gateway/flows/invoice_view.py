"""An invoice as it stands: what people are shown, whichever door they come by. Computes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import invoices
from gateway.books.invoices import BookedInvoice, CreditNote
from gateway.domain.invoice import InvoiceStatus


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """An invoice as it stands. `document` is what it says; a draft's changes until it is issued, and has no hash."""

    document: Mapping[str, Any]
    status: InvoiceStatus
    due_cents: int
    paid_cents: int = 0
    credited_cents: int = 0
    settled_ms: int | None = None
    frozen: str | None = None
    content_hash: str | None = None
    credit_notes: tuple[CreditNote, ...] = ()

    @property
    def id(self) -> str:
        """The invoice's id."""
        return str(self.document["id"])


async def views_of(conn: AsyncConnection, booked: Sequence[BookedInvoice]) -> list[InvoiceView]:
    """As people see them, their credit notes looked up at once."""
    notes = await invoices.credit_notes_of(conn, [one.id for one in booked])
    return [_view(one, notes.get(one.id, ())) for one in booked]


def _view(invoice: BookedInvoice, notes: Sequence[CreditNote]) -> InvoiceView:
    return InvoiceView(
        document=orjson.loads(invoice.document),
        status=invoice.status,
        due_cents=invoice.due_cents,
        paid_cents=invoice.paid_cents,
        credited_cents=invoice.credited_cents,
        settled_ms=invoice.settled_ms,
        frozen=invoice.document,
        content_hash=invoice.content_hash,
        credit_notes=tuple(notes),
    )
