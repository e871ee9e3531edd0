"""The usage events behind an invoice as CSV: what each took of the allowance, and what was charged for it."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

from gateway.books.invoices import InvoicedEvent
from gateway.domain.credits import credits_text
from gateway.edges.documents.sheet import sheet
from gateway.flows.invoice_document import instant_text

_ROWS_AT_ONCE: Final = 500
COLUMNS: Final = (
    "event_id",
    "request_id",
    "admitted_at",
    "project_id",
    "key_id",
    "product",
    "mode",
    "unit",
    "units",
    "included_credits",
    "pay_as_you_go_credits",
    "written_off_credits",
    "line_id",
)


def row(event: InvoicedEvent) -> list[object]:
    """One event, in the order of `COLUMNS`."""
    return [
        event.event_id,
        event.request_id,
        instant_text(event.admitted_at_ms),
        event.project_id,
        event.key_id,
        event.product,
        event.mode,
        event.unit,
        event.units,
        credits_text(event.included_millicredits),
        credits_text(event.pay_as_you_go_millicredits),
        credits_text(event.written_off_millicredits),
        event.line_id,
    ]


async def csv_text(events: AsyncGenerator[InvoicedEvent, None]) -> AsyncIterator[str]:
    """RFC 4180 with a head line, a few hundred rows at a time: an invoice may have millions."""
    waiting: list[Sequence[object]] = [COLUMNS]
    async with aclosing(events):
        async for event in events:
            waiting.append(row(event))
            if len(waiting) >= _ROWS_AT_ONCE:
                yield sheet(waiting)
                waiting = []
    yield sheet(waiting)
