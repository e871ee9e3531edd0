"""Invoices: a list, each in full down to the calls behind a line, as files, and paid on the spot where that can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.books.payment_attempts import Attempt
from gateway.domain.credits import millicredits
from gateway.domain.instant import epoch_ms
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.payment import AttemptState
from gateway.edges.dashboard import formats
from gateway.edges.dashboard.addresses import place_after
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.edges.documents.invoice_csv import csv_text
from gateway.edges.documents.invoice_json import as_file, export
from gateway.edges.documents.invoice_pdf import invoice_pdf
from gateway.flows.faults import CallerFault, PaymentNeeded
from gateway.flows.invoice_view import InvoiceView
from gateway.payments.provider import ActionRequired, Failed, Outcome, Paid
from gateway.wire import page_token

PAGE: Final = 24
# Status, as it is said and how it is meant.
SAID: Final[Mapping[InvoiceStatus, tuple[str, str]]] = {
    InvoiceStatus.DRAFT: ("Draft", "plain"),
    InvoiceStatus.ISSUED: ("Issued", "accent"),
    InvoiceStatus.PAID: ("Paid", "good"),
    InvoiceStatus.VOID: ("Void", "plain"),
    InvoiceStatus.UNCOLLECTIBLE: ("Uncollectible", "bad"),
}
ATTEMPTS: Final[Mapping[AttemptState, tuple[str, str]]] = {
    state: (state.value.replace("_", " ").capitalize(), tone)
    for state, tone in ((one, "good" if one is AttemptState.SUCCEEDED else "plain") for one in AttemptState)
} | {AttemptState.FAILED: ("Failed", "bad")}


@dataclass(frozen=True, slots=True)
class Part:
    """What one product and mode made of a line. `calls` is the query of the calls behind it."""

    product: str
    mode: str
    millicredits: int
    cents: int
    calls: str


@dataclass(frozen=True, slots=True)
class Line:
    """One charge, with the calls behind it where there are any."""

    description: str
    start_ms: int
    end_ms: int
    cents: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """An invoice as its pages show it, as of `now_ms`."""

    view: InvoiceView
    now_ms: int

    @property
    def id(self) -> str:
        """The invoice's id; a draft has one of its own."""
        return self.view.id

    @property
    def number(self) -> str | None:
        """None for a draft."""
        number: str | None = self.view.document["number"]
        return number

    @property
    def document(self) -> Mapping[str, Any]:
        """What it says."""
        return self.view.document

    @property
    def is_draft(self) -> bool:
        """Whether it still changes."""
        return self.view.status is InvoiceStatus.DRAFT

    @property
    def issued_ms(self) -> int | None:
        """None for a draft."""
        return _ms(self.document["issued_at"])

    @property
    def due_ms(self) -> int | None:
        """When it is to be paid; None where that is not known yet."""
        return _ms(self.document.get("due_at"))

    @property
    def start_ms(self) -> int:
        """Of its period."""
        return _ms(self.document["period"]["start"]) or 0

    @property
    def end_ms(self) -> int:
        """Of its period."""
        return _ms(self.document["period"]["end"]) or 0

    @property
    def overdue(self) -> bool:
        """Whether it should have been paid by now."""
        asked = self.view.status is InvoiceStatus.ISSUED and self.view.due_cents > 0
        return asked and self.due_ms is not None and self.due_ms < self.now_ms

    @property
    def said(self) -> tuple[str, str]:
        """The status in a word, and its tone."""
        return ("Overdue", "bad") if self.overdue else SAID[self.view.status]

    @property
    def payable(self) -> bool:
        """Whether money is asked for."""
        return self.view.status in {InvoiceStatus.ISSUED, InvoiceStatus.UNCOLLECTIBLE} and self.view.due_cents > 0

    @property
    def tax_percent(self) -> str:
        """As in "19" or "8.25"."""
        millionths = int(self.document["tax"]["parts_per_million"])
        whole, part = divmod(millionths, 10_000)
        return f"{whole}.{part:04d}".rstrip("0").rstrip(".")

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every charge."""
        return tuple(_line(line) for line in self.document["lines"])


def invoice_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/invoices` and what is below it."""
    desk = pages.parts.desk
    home = f"{pages.door.home}/invoices"

    async def listed(visit: Visit) -> Response:
        scope = page_token.scope(visit.account_id, "invoices")
        found, after = await desk.invoices.page(
            visit.account_id, after=place_after(visit.request.query_params, scope), size=PAGE
        )
        invoices = [Shown(view, visit.own_now_ms) for view in found]
        older = None if after is None else formats.query({"after": page_token.make(scope, *after)})
        due = [one for one in invoices if one.payable and one.view.status is InvoiceStatus.ISSUED]
        return visit.page(
            "invoices.html",
            title="Invoices",
            section="invoices",
            invoices=invoices,
            older=older,
            due=due,
            charges=desk.payments.charges,
            methods=await desk.payment_methods.of_account(visit.account_id),
        )

    async def shown(visit: Visit) -> Response:
        return await _page(desk, visit, await _mine(desk, visit))

    async def pay(visit: Visit) -> Response:
        invoice = await _mine(desk, visit)
        back = f"{home}/{invoice.id}"
        return_url = f"{pages.browsers.origin(visit.request)}{back}"
        try:
            outcome = await desk.payments.pay_now(
                visit.account_id, invoice.id, visit.visitor.actor, return_url=return_url
            )
        except PaymentNeeded:
            return visit.go(f"{pages.door.home}/payment-methods", "Add a payment method first, then pay.", Tone.BAD)
        except CallerFault as fault:
            return visit.go(back, f"{str(fault)[:1].upper()}{str(fault)[1:]}.", Tone.BAD)
        return visit.go(back, *_said_of(outcome, invoice.number))

    one = f"{home}/{{invoice_id}}"
    return [
        pages.get(home, listed),
        *_file_routes(pages, one),
        pages.get(one, shown),
        pages.post(f"{one}/pay", pay),
    ]


def _file_routes(pages: Pages, one: str) -> list[Route]:
    """An issued invoice as the files that it is."""
    desk = pages.parts.desk

    async def as_pdf(visit: Visit) -> Response:
        view = _issued(await _mine(desk, visit))
        drawn = await invoice_pdf(view.frozen or "", view.content_hash or "")
        return Response(drawn, headers=as_file(view, "pdf"), media_type="application/pdf")

    async def as_csv(visit: Visit) -> Response:
        view = _issued(await _mine(desk, visit))
        rows = csv_text(desk.invoices.events(view.id))
        return StreamingResponse(rows, headers=as_file(view, "csv"), media_type="text/csv")

    async def as_json(visit: Visit) -> Response:
        view = _issued(await _mine(desk, visit))
        return Response(export(view), headers=as_file(view, "json"), media_type="application/json")

    return [
        pages.get(f"{one}.pdf", as_pdf),
        pages.get(f"{one}.csv", as_csv),
        pages.get(f"{one}.json", as_json),
    ]


async def _mine(desk: Desk, visit: Visit) -> Shown:
    """The invoice of the path, if it is the visitor's account's. NoSuchThing."""
    view = await desk.invoices.find(visit.request.path_params["invoice_id"], owner=visit.account_id)
    return Shown(view, visit.own_now_ms)


def _said_of(outcome: Outcome, number: str | None) -> tuple[str, Tone]:
    match outcome:
        case Paid():
            return f"Invoice {number} is paid. Thank you.", Tone.GOOD
        case Failed(reason=reason):
            return f"The payment failed ({reason}). Try another payment method, or ask your bank.", Tone.BAD
        case ActionRequired():
            return "Your bank wants you to confirm this payment: follow the link below.", Tone.PLAIN
        case _:
            return "The payment is on its way; your bank takes a moment.", Tone.PLAIN


async def _page(desk: Desk, visit: Visit, invoice: Shown) -> Response:
    attempts = [one for one in await desk.payments.attempts(visit.account_id) if one.invoice_id == invoice.id]
    waiting = next((one for one in attempts if one.state is AttemptState.ACTION_REQUIRED), None)
    return visit.page(
        "invoice.html",
        title=f"Invoice {invoice.number}" if invoice.number else "Draft invoice",
        section="invoices",
        it=invoice,
        attempts=attempts,
        confirm_url=_confirm_url(waiting),
        attempt_said=ATTEMPTS,
        charges=desk.payments.charges,
        methods=await desk.payment_methods.of_account(visit.account_id),
    )


def _confirm_url(attempt: Attempt | None) -> str | None:
    """Where the owner confirms a payment: a page of the provider's, or of ours."""
    url = attempt.action_url if attempt is not None else None
    return url if url is not None and url.startswith(("https://", "/", "http://")) else None


def _issued(invoice: Shown) -> InvoiceView:
    if invoice.is_draft:
        raise CallerFault("a draft changes until it is issued, so there is no file of it yet")
    return invoice.view


def _line(line: Mapping[str, Any]) -> Line:
    period = line["service_period"]
    parts: Sequence[Mapping[str, Any]] = line["sub_lines"]
    return Line(
        line["description"],
        _ms(period["start"]) or 0,
        _ms(period["end"]) or 0,
        line["amount_cents"],
        tuple(
            Part(
                part["product"],
                part["mode"],
                millicredits(part["credits"]),
                part["amount_cents"],
                formats.query(
                    {
                        "start": period["start"],
                        "end": period["end"],
                        "product": part["product"],
                        "mode": part["mode"],
                    }
                ),
            )
            for part in parts
        ),
    )


def _ms(text: str | None) -> int | None:
    return None if text is None else epoch_ms(datetime.fromisoformat(text))
