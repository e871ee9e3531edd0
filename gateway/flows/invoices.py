"""An account's invoices: drafts computed as somebody looks, issued ones as they were frozen, and what becomes of them.

Takes no payment: `pay` notes one that came another way.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, billing_details, invoices
from gateway.books.audit import AuditEntry
from gateway.books.billing_details import SELLER, BillingDetails
from gateway.books.invoices import BookedInvoice, CreditNote, InvoicedEvent
from gateway.domain.instant import from_epoch_ms
from gateway.domain.invoice import MILLION, InvoiceEvent, InvoiceStatus, next_status
from gateway.domain.webhook import EventType
from gateway.flows.billing import Billing
from gateway.flows.draft_invoices import DRAFT, drafts_of
from gateway.flows.dunning_rules import settle
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.invoice_view import InvoiceView, views_of
from gateway.flows.known_account import known_account
from gateway.flows.tell_account import emit, invoice_data

CREDIT_NOTE_SERIES: Final = "credit_note"
_LONGEST_REASON: Final = 500


class Invoices:
    """All invoices. While Redis is away, a draft is what the books have."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    async def of_account(self, account_id: str) -> list[InvoiceView]:
        """Drafts, then what was issued, newest first. NoSuchThing."""
        drafts = await drafts_of(self._billing, account_id)
        async with self._billing.books.read() as conn:
            booked = await invoices.of_account(conn, account_id)
            return drafts[::-1] + await views_of(conn, booked)

    async def page(
        self,
        account_id: str | None,
        *,
        status: InvoiceStatus | None = None,
        overdue: bool = False,
        after: tuple[int, str] | None = None,
        size: int,
    ) -> tuple[list[InvoiceView], tuple[int, str] | None]:
        """Some invoices, newest first, and where to go on. An account's drafts lead its first page.

        `overdue`: of the issued ones, those that should have been paid by now.
        """
        drafts: list[InvoiceView] = []
        if account_id is not None and after is None and status in {None, InvoiceStatus.DRAFT} and not overdue:
            drafts = (await drafts_of(self._billing, account_id))[::-1]
        if status is InvoiceStatus.DRAFT:
            return drafts, None
        statuses = None if status is None else {status}
        owed_since_ms = self._billing.now_ms() if overdue else None
        async with self._billing.books.read() as conn:
            booked = await invoices.page(
                conn, account_id, statuses=statuses, owed_since_ms=owed_since_ms, after=after, limit=size + 1
            )
            views = await views_of(conn, booked[:size])
        last = booked[size - 1] if len(booked) > size else None
        return drafts + views, None if last is None else (last.issued_ms, last.id)

    async def running_total_cents(self, account_id: str) -> int:
        """What the running period would be invoiced if it ended now; 0 where nothing would be. NoSuchThing."""
        drafts = await drafts_of(self._billing, account_id)
        return drafts[-1].due_cents if drafts else 0

    async def find(self, name: str, *, owner: str | None = None) -> InvoiceView:
        """The invoice of this id or number, if it is the owner's (None: anybody's). NoSuchThing."""
        if name.startswith(DRAFT):
            account_id = f"acc_{name.removeprefix(DRAFT).partition('_')[0]}"
            if owner not in {None, account_id}:
                raise NoSuchThing("invoice", name)
            found = [one for one in await drafts_of(self._billing, account_id, name) if one.id == name]
            if not found:
                raise NoSuchThing("invoice", name)
            return found[0]
        async with self._billing.books.read() as conn:
            booked = await _find(conn, name)
            if owner not in {None, booked.account_id}:
                raise NoSuchThing("invoice", name)
            return (await views_of(conn, [booked]))[0]

    async def events(self, name: str) -> AsyncGenerator[InvoicedEvent, None]:
        """Every usage event behind an issued invoice, which never change. NoSuchThing.

        Each page is read by itself: whoever takes them slowly keeps no connection of the books for it.
        """
        async with self._billing.books.read() as conn:
            invoice = await _find(conn, name)
        last = ""
        while True:
            async with self._billing.books.read() as conn:
                events = await invoices.events_page(conn, invoice.id, after=last)
            if not events:
                return
            for event in events:
                yield event
            last = events[-1].event_id

    async def pay(self, name: str, *, reason: str = "", actor: str = "cli") -> InvoiceView:
        """Note that everything due was paid. CallerFault where that makes no sense."""
        return await self._change(name, InvoiceEvent.PAY, reason, actor)

    async def void(self, name: str, *, reason: str, actor: str = "cli") -> InvoiceView:
        """Make it as if it had never been asked for; its usage is charged nowhere else. CallerFault."""
        return await self._change(name, InvoiceEvent.VOID, _said(reason), actor)

    async def write_off(self, name: str, *, reason: str, actor: str = "cli") -> InvoiceView:
        """Give up hope of being paid. CallerFault."""
        return await self._change(name, InvoiceEvent.WRITE_OFF, _said(reason), actor)

    async def credit(self, name: str, amount_cents: int, *, reason: str, actor: str = "cli") -> CreditNote:
        """Give money back by a credit note; what is due shrinks. CallerFault for more than the invoice asked."""
        at_ms, why = self._billing.now_ms(), _said(reason)
        async with self._billing.books.begin() as conn:
            invoice = await _locked(conn, name)
            at_ms = await accounts.own_ms(conn, invoice.account_id, at_ms)
            left = invoice.total_cents - invoice.credited_cents
            if invoice.status is InvoiceStatus.VOID:
                raise CallerFault(f"invoice {invoice.number} is void")
            if not 0 < amount_cents <= left:
                raise CallerFault(f"a credit note on invoice {invoice.number} is of 1 to {left} cents")
            year = from_epoch_ms(at_ms).year
            number = f"CN-{year}-{await invoices.next_number(conn, CREDIT_NOTE_SERIES, year):06d}"
            note = await invoices.add_credit_note(
                conn, invoice, number=number, amount_cents=amount_cents, reason=why, at_ms=at_ms
            )
            if invoice.status is InvoiceStatus.ISSUED and amount_cents == invoice.due_cents:
                await invoices.set_status(
                    conn, invoice.id, InvoiceStatus.PAID, paid_cents=invoice.paid_cents, settled_ms=at_ms
                )
                credited = invoice.credited_cents + amount_cents
                settled = replace(invoice, status=InvoiceStatus.PAID, credited_cents=credited, settled_ms=at_ms)
                await emit(conn, invoice.account_id, EventType.INVOICE_PAID, invoice_data(settled), at_ms)
                await settle(conn, invoice.account_id, invoice.id, at_ms=at_ms)
            detail = {"amount_cents": amount_cents, "credit_note": number, "reason": why}
            await _note(conn, invoice, at_ms=at_ms, actor=actor, action="invoice.credit", detail=detail)
        await self._billing.tell(invoice.account_id)
        return note

    async def details(self, party: str) -> BillingDetails:
        """Who stands on invoices as the seller, or as this account. NoSuchThing."""
        async with self._billing.books.read() as conn:
            if party != SELLER:
                await known_account(conn, party)
            return await billing_details.get(conn, party) or BillingDetails(party)

    async def change_details(
        self, party: str, changes: Mapping[str, str | int], *, actor: str = "cli"
    ) -> BillingDetails:
        """Keep these fields of a party for invoices from now on; the others stay, whoever else is changing them.

        All of them as they are then. NoSuchThing, CallerFault.
        """
        at_ms, account_id = self._billing.now_ms(), "" if party == SELLER else party
        async with self._billing.books.begin() as conn:
            if account_id:
                await known_account(conn, account_id, lock=True)
            before = await billing_details.get(conn, party) or BillingDetails(party)
            after = replace(before, **changes)  # type: ignore[arg-type] # fields by their names
            if not 0 <= after.tax_parts_per_million <= MILLION:
                raise CallerFault("a tax is from 0 to 100 percent")
            if after.tax_parts_per_million and not after.tax_name:
                raise CallerFault("a tax needs a name, as it stands on invoices")
            if after != before:
                await billing_details.put(conn, after)
                detail = {"before": asdict(before), "after": asdict(after)}
                await audit.write(conn, AuditEntry(at_ms, actor, "billing.details", account_id, party, detail))
        return after

    async def _change(self, name: str, event: InvoiceEvent, reason: str, actor: str) -> InvoiceView:
        at_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            invoice = await _locked(conn, name)
            at_ms = await accounts.own_ms(conn, invoice.account_id, at_ms)
            status = next_status(invoice.status, event)
            if status is None:
                raise CallerFault(f"invoice {invoice.number} is {invoice.status}: it cannot be {_PAST[event]}")
            paid = invoice.paid_cents + invoice.due_cents if event is InvoiceEvent.PAY else invoice.paid_cents
            await invoices.set_status(conn, invoice.id, status, paid_cents=paid, settled_ms=at_ms)
            detail = {
                "number": invoice.number,
                "reason": reason,
                "before": {"status": invoice.status.value, "paid_cents": invoice.paid_cents},
                "after": {"status": status.value, "paid_cents": paid},
            }
            await _note(conn, invoice, at_ms=at_ms, actor=actor, action=f"invoice.{event}", detail=detail)
            changed = replace(invoice, status=status, paid_cents=paid, settled_ms=at_ms)
            if status is InvoiceStatus.PAID:
                await emit(conn, invoice.account_id, EventType.INVOICE_PAID, invoice_data(changed), at_ms)
            await settle(conn, invoice.account_id, invoice.id, at_ms=at_ms)
            (view,) = await views_of(conn, [changed])
        await self._billing.tell(invoice.account_id)
        return view


_PAST: Final = {
    InvoiceEvent.ISSUE: "issued",
    InvoiceEvent.PAY: "paid",
    InvoiceEvent.VOID: "voided",
    InvoiceEvent.WRITE_OFF: "written off",
}


async def _find(conn: AsyncConnection, name: str, *, lock: bool = False) -> BookedInvoice:
    invoice = await invoices.find(conn, name, lock=lock)
    if invoice is None:
        raise NoSuchThing("invoice", name)
    return invoice


async def _locked(conn: AsyncConnection, name: str) -> BookedInvoice:
    """The invoice, behind its account: whoever collects takes them in this order too, so nobody waits in a circle."""
    await accounts.get(conn, (await _find(conn, name)).account_id, lock=True)
    return await _find(conn, name, lock=True)


def _said(reason: str) -> str:
    if not 0 < len(reason.strip()) <= _LONGEST_REASON:
        raise CallerFault("this needs a reason, which the account's owner may read")
    return reason


async def _note(
    conn: AsyncConnection, invoice: BookedInvoice, *, at_ms: int, actor: str, action: str, detail: Mapping[str, Any]
) -> None:
    await audit.write(conn, AuditEntry(at_ms, actor, action, invoice.account_id, invoice.id, detail))
