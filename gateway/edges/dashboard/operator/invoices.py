"""Issued invoices of all accounts, each one, and what becomes of it: paid, void, given up, credited."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.domain.invoice import InvoiceEvent, InvoiceStatus, next_status
from gateway.edges.dashboard import formats
from gateway.edges.dashboard.invoices import SAID, Shown
from gateway.edges.dashboard.operator.account_changes import reason
from gateway.edges.dashboard.operator.change_page import REASON, ChangePage, Drawn, Input, Made, change_routes
from gateway.edges.dashboard.operator.lists import after, onward, text
from gateway.edges.dashboard.operator.typed import cents
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.faults import WrongParameter
from gateway.flows.invoice_view import InvoiceView

PAGE: Final = 40
OVERDUE: Final = "overdue"
ISSUED: Final = [status for status in InvoiceStatus if status is not InvoiceStatus.DRAFT]


def invoice_routes(pages: Pages) -> list[Route]:
    """`/admin/invoices` and what is below it. An invoice goes by its id or its number."""
    desk = pages.parts.desk
    home = f"{pages.door.home}/invoices"

    async def listed(visit: Visit) -> Response:
        status = text(visit, "status")
        if status and status not in {*ISSUED, OVERDUE}:
            raise WrongParameter("status", f"there is no status {status!r} of an issued invoice")
        found, place = await desk.invoices.page(
            None,
            status=InvoiceStatus(status) if status and status != OVERDUE else None,
            overdue=status == OVERDUE,
            after=after(visit, "invoices", status),
            size=PAGE,
        )
        return visit.page(
            "admin/invoices.html",
            title="Invoices",
            section="invoices",
            invoices=[Shown(view, visit.now_ms) for view in found],
            chosen=status,
            statuses=[*((one.value, SAID[one][0]) for one in ISSUED), (OVERDUE, "Overdue")],
            onward=onward(place, {"status": status}, "invoices", status),
        )

    async def look(visit: Visit) -> Response:
        shown = await _found(desk, visit)
        account = await desk.accounts.show(shown.document["account_id"])
        return visit.page(
            "admin/invoice.html",
            title=f"Invoice {shown.number}",
            section="invoices",
            it=shown,
            account=account.account,
            may={event: next_status(shown.view.status, event) is not None for event in InvoiceEvent},
            creditable=_creditable(shown) > 0,
        )

    one = f"{home}/{{invoice_id}}"
    return [
        pages.get(home, listed),
        pages.get(one, look),
        *change_routes(pages, f"{one}/pay", *_becoming(desk, "paid")),
        *change_routes(pages, f"{one}/void", *_becoming(desk, "void")),
        *change_routes(pages, f"{one}/uncollectible", *_becoming(desk, "uncollectible")),
        *change_routes(pages, f"{one}/credit", *_crediting(desk)),
    ]


async def _found(desk: Desk, visit: Visit) -> Shown:
    return Shown(await desk.invoices.find(visit.request.path_params["invoice_id"]), visit.now_ms)


def _back(visit: Visit, shown: Shown) -> tuple[str, str]:
    return f"Invoice {shown.number}", f"{visit.pages.door.home}/invoices/{shown.id}"


def _creditable(shown: Shown) -> int:
    """What a credit note can still give back, in cents."""
    if shown.view.status in {InvoiceStatus.DRAFT, InvoiceStatus.VOID}:
        return 0
    return int(shown.document["total_cents"]) - shown.view.credited_cents


_MEANS: Final = {
    "paid": (
        "Mark as paid",
        ["Everything that is due counts as paid, by a transfer or in another way. No card is charged."],
        "accent",
    ),
    "void": (
        "Void the invoice",
        [
            "It is as if it had never been asked for: nothing is due any more.",
            "Its usage is charged on no other invoice. The number stays taken. It cannot be taken back.",
        ],
        "bad",
    ),
    "uncollectible": (
        "Give up on the invoice",
        ["It counts as uncollectible: nobody is asked for it any more. It can still be marked as paid."],
        "bad",
    ),
}


def _becoming(desk: Desk, what: str) -> tuple[Drawn, Made]:
    title, says, tone = _MEANS[what]
    deeds: dict[str, Callable[..., Awaitable[InvoiceView]]] = {
        "paid": desk.invoices.pay,
        "void": desk.invoices.void,
        "uncollectible": desk.invoices.write_off,
    }

    async def page(visit: Visit) -> ChangePage:
        shown = await _found(desk, visit)
        due = f"{formats.money(shown.view.due_cents)} of invoice {shown.number} is due."
        hint = "Such as the transfer's reference. " if what == "paid" else ""
        return ChangePage(
            title,
            "invoices",
            _back(visit, shown),
            [due, *says],
            [replace(REASON, hint=f"{hint}{REASON.hint}")],
            title,
            tone,
        )

    async def change(visit: Visit) -> tuple[str, str]:
        shown = await _found(desk, visit)
        await deeds[what](shown.id, reason=reason(visit), actor=visit.visitor.actor)
        return _back(visit, shown)[1], f"Invoice {shown.number} is {what}."

    return page, change


def _crediting(desk: Desk) -> tuple[Drawn, Made]:
    async def page(visit: Visit) -> ChangePage:
        shown = await _found(desk, visit)
        most = formats.money(_creditable(shown))
        return ChangePage(
            "Issue a credit note",
            "invoices",
            _back(visit, shown),
            [
                f"At most {most} can be given back. What is due shrinks by it.",
                "It has a number of its own and cannot be taken back. No card is refunded.",
            ],
            [Input("dollars", "Amount in dollars", "number", hint="Such as 12.50."), REASON],
            "Issue the credit note",
        )

    async def change(visit: Visit) -> tuple[str, str]:
        shown = await _found(desk, visit)
        note = await desk.invoices.credit(
            shown.id, cents(visit, "dollars"), reason=reason(visit), actor=visit.visitor.actor
        )
        said = f"Credit note {note.number} of {formats.money(note.amount_cents)} is issued."
        return _back(visit, shown)[1], said

    return page, change
