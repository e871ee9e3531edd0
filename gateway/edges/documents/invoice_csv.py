"""The usage events behind an invoice as CSV rows: what each took of the allowance, and what was charged for it."""

from typing import Final

from gateway.books.invoices import InvoicedEvent
from gateway.domain.credits import credits_text
from gateway.flows.invoice_document import instant_text

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
