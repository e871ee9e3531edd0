"""Telling an account that something happened: written down in the transaction in which it happens, sent afterwards.

Whatever undoes the change undoes the telling, and a process that dies loses neither. `deliver_webhooks` sends. Whom it
concerns is told by what they subscribed to; where nobody has, nothing is written.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, webhook_endpoints, webhooks
from gateway.books.ids import new_id
from gateway.books.invoices import BookedInvoice
from gateway.domain.instant import from_epoch_ms
from gateway.domain.webhook import EventType
from gateway.wire.standard_webhook import event_body, instant_text


async def emit(
    conn: AsyncConnection, account_id: str, event_type: EventType, data: Mapping[str, Any], at_ms: int
) -> str | None:
    """Tell the account's endpoints that want to hear of this; the message's id, None where none does.

    Call it once for each thing that happens, in the transaction that makes it happen: after a failed payment with
    `EventType.INVOICE_PAYMENT_FAILED` and `invoice_data`, for example. `data` is what JSON can say, with no secret in
    it; the account's id is added.
    """
    endpoints = await webhook_endpoints.in_use(conn, account_id)
    wanting = [one.id for one in endpoints if one.event_types is None or event_type in one.event_types]
    if not wanting:
        return None
    message_id = new_id("msg")
    await webhooks.add_message(
        conn,
        message_id=message_id,
        account_id=account_id,
        event_type=event_type,
        body=event_body(event_type, from_epoch_ms(at_ms), {"account_id": account_id, **data}),
        endpoint_ids=wanting,
        # Sent in the world's time, whatever the account's own clock shows.
        at_ms=at_ms - await accounts.own_ms(conn, account_id, 0),
    )
    return message_id


def invoice_data(invoice: BookedInvoice, **more: Any) -> dict[str, Any]:
    """What events about an invoice say; `more` for what only some of them know, such as when it is tried again."""
    return {
        "invoice_id": invoice.id,
        "number": invoice.number,
        "status": str(invoice.status),
        "total_cents": invoice.total_cents,
        "due_cents": invoice.due_cents,
        "currency": "usd",
        "period": {"start": instant_text(invoice.period_start_ms), "end": instant_text(invoice.period_end_ms)},
        **more,
    }


def plan_data(previous: str, plan: str, effective_ms: int, invoice: BookedInvoice | None) -> dict[str, Any]:
    """What `plan.changed` says. The same plan twice: a change that was pending was taken back."""
    return {
        "previous_plan": previous,
        "plan": plan,
        "effective_at": instant_text(effective_ms),
        "invoice_id": None if invoice is None else invoice.id,
    }
