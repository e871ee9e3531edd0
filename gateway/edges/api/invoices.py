"""The account's invoices: a list, each in full, and as the files that they are."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import Field
from starlette.responses import Response, StreamingResponse

from gateway.domain.invoice import InvoiceStatus
from gateway.edges.api.endpoint import Answer, Area, Ask, Document, Endpoint
from gateway.edges.api.paging import PageQuery, page, place, scope_of
from gateway.edges.api.replies.billing import ExportedInvoice, Invoice, Invoices
from gateway.edges.desk import Desk
from gateway.edges.documents.invoice_csv import csv_text
from gateway.edges.documents.invoice_json import as_file, export, invoice_json
from gateway.edges.documents.invoice_pdf import invoice_pdf
from gateway.flows.faults import CallerFault
from gateway.flows.invoice_view import InvoiceView
from gateway.wire.problems import Fault

# Drawing a PDF takes a processor for tens of milliseconds.
_PDFS_AT_ONCE: Final = 2
_SUMMARY: Final = (
    *("id", "number", "account_id", "status", "period", "issued_at", "due_at", "currency", "total_cents", "due_cents"),
)


class InvoicesQuery(PageQuery):
    """Which invoices."""

    status: InvoiceStatus | None = Field(None)


def invoice_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """An account's invoices. One of another account is not there."""
    path = f"{area.base}/invoices"

    async def listed(ask: Ask) -> Document:
        return await list_document(desk, ask, area.account_of(ask))

    async def found(ask: Ask) -> InvoiceView:
        return await desk.invoices.find(ask.path("invoice_id"), owner=area.account_of(ask))

    return [list_endpoint(path, listed, "Invoices, the newest first"), *file_endpoints(desk, path, found)]


def list_endpoint(path: str, listed: Answer, summary_: str) -> Endpoint:
    """A list of invoices, of one account or all."""
    return Endpoint(
        "GET",
        path,
        listed,
        summary_,
        "invoices",
        reply=Invoices,
        query=InvoicesQuery,
        problems=(Fault.NO_SUCH_RESOURCE,),
    )


async def list_document(desk: Desk, ask: Ask, account_id: str | None) -> Document:
    """A page of an account's invoices, or (None) of all accounts'. WrongParameter, NoSuchThing."""
    wanted: InvoicesQuery = ask.query
    within = scope_of(ask, wanted.status)
    found, after = await desk.invoices.page(
        account_id, status=wanted.status, after=place(ask, within), size=wanted.page_size
    )
    return page([summary(view) for view in found], after, within)


def file_endpoints(desk: Desk, path: str, found: Callable[[Ask], Awaitable[InvoiceView]]) -> list[Endpoint]:
    """One invoice, in all its forms. `found` gives the one that is asked for."""
    pdfs = asyncio.Semaphore(_PDFS_AT_ONCE)
    issued_only = (Fault.NO_SUCH_RESOURCE, Fault.BAD_REQUEST)

    async def shown(ask: Ask) -> Document:
        return invoice_json(await found(ask))

    async def as_pdf(ask: Ask) -> Response:
        view = _issued(await found(ask))
        async with pdfs:
            drawn = await invoice_pdf(view.frozen or "", view.content_hash or "")
        return Response(drawn, headers=as_file(view, "pdf"), media_type="application/pdf")

    async def as_csv(ask: Ask) -> Response:
        view = _issued(await found(ask))
        return StreamingResponse(
            csv_text(desk.invoices.events(view.id)), headers=as_file(view, "csv"), media_type="text/csv"
        )

    async def as_json(ask: Ask) -> Response:
        view = _issued(await found(ask))
        return Response(export(view), headers=as_file(view, "json"), media_type="application/json")

    def file(suffix: str, answer: Answer, summary: str, **told: Any) -> Endpoint:
        return Endpoint(
            "GET", f"{path}/{{invoice_id}}.{suffix}", answer, summary, "invoices", problems=issued_only, **told
        )

    binary, text = {"type": "string", "format": "binary"}, {"type": "string"}
    return [
        file("pdf", as_pdf, "An issued invoice as PDF, its data attached", files={"application/pdf": binary}),
        file("csv", as_csv, "Every usage event behind an issued invoice", files={"text/csv": text}),
        file("json", as_json, "An issued invoice as it was frozen, to be verified", reply=ExportedInvoice),
        Endpoint(
            "GET",
            f"{path}/{{invoice_id}}",
            shown,
            "One invoice, each cent down to product and mode",
            "invoices",
            reply=Invoice,
            problems=(Fault.NO_SUCH_RESOURCE,),
        ),
    ]


def summary(view: InvoiceView) -> dict[str, Any]:
    """An invoice in a list."""
    whole = invoice_json(view)
    return {name: whole[name] for name in _SUMMARY}


def _issued(view: InvoiceView) -> InvoiceView:
    if view.frozen is None:
        raise CallerFault("a draft changes until it is issued, so there is no file of it yet")
    return view
