"""Invoices of all accounts for the operator, and what becomes of them: paid, void, given up, credited."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import Field

from gateway.books.invoices import CreditNote
from gateway.edges.api.admin_accounts import Reason
from gateway.edges.api.endpoint import Ask, Document, Endpoint, Strict
from gateway.edges.api.invoices import file_endpoints, list_document, list_endpoint
from gateway.edges.api.replies.admin import CreditedInvoice
from gateway.edges.api.replies.billing import Invoice
from gateway.edges.desk import Desk
from gateway.edges.documents.invoice_json import credit_note_json, invoice_json
from gateway.flows.invoice_view import InvoiceView
from gateway.wire.problems import Fault

BASE: Final = "/admin/v1/invoices"
_MOST_CENTS: Final = 10**12


class PayWish(Strict):
    """How it was paid, if that is worth a word."""

    reason: str = Field("", max_length=500)


class ReasonWish(Strict):
    """Why."""

    reason: Reason


class CreditWish(Strict):
    """How much is given back, and why."""

    amount_cents: int = Field(ge=1, le=_MOST_CENTS)
    reason: Reason


def invoice_admin_endpoints(desk: Desk) -> list[Endpoint]:
    """`{invoice_id}` is an id or a number."""

    async def listed(ask: Ask) -> Document:
        return await list_document(desk, ask, None)

    async def found(ask: Ask) -> InvoiceView:
        return await desk.invoices.find(ask.path("invoice_id"))

    async def credited(ask: Ask) -> Document:
        wish: CreditWish = ask.body
        name = ask.path("invoice_id")
        note: CreditNote = await desk.invoices.credit(name, wish.amount_cents, reason=wish.reason, actor=ask.actor)
        return {"credit_note": credit_note_json(note), "invoice": invoice_json(await desk.invoices.find(name))}

    def becoming(change: Callable[..., Awaitable[InvoiceView]]) -> Callable[[Ask], Awaitable[Document]]:
        async def answer(ask: Ask) -> Document:
            wish: PayWish | ReasonWish = ask.body
            return invoice_json(await change(ask.path("invoice_id"), reason=wish.reason, actor=ask.actor))

        return answer

    def endpoint(verb: str, answer: Any, summary: str, body: type[Strict], reply: Any = Invoice) -> Endpoint:
        path = f"{BASE}/{{invoice_id}}/{verb}"
        problems = (Fault.NO_SUCH_RESOURCE,)
        return Endpoint("POST", path, answer, summary, "invoices", reply=reply, body=body, problems=problems)

    invoices = desk.invoices
    return [
        list_endpoint(BASE, listed, "Issued invoices of all accounts, the newest first"),
        *file_endpoints(desk, BASE, found),
        endpoint("pay", becoming(invoices.pay), "Note that it was paid, in whatever way", PayWish),
        endpoint("void", becoming(invoices.void), "Make it as if it had never been asked for", ReasonWish),
        endpoint("uncollectible", becoming(invoices.write_off), "Give up hope of being paid", ReasonWish),
        endpoint("credit", credited, "Give money back by a credit note", CreditWish, CreditedInvoice),
    ]
