"""Issued invoices and credit notes: frozen documents with gapless numbers, and what became of them.

Draws no lines and computes no amounts: `domain.invoice` does. A document's bytes are kept as they were issued.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BigInteger, cast, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.ids import new_id
from gateway.books.tables import (
    closed_event_parts,
    closed_events,
    credit_notes,
    document_numbers,
    invoice_lines,
    invoice_sub_lines,
    invoices,
    usage_events,
)
from gateway.domain.invoice import InvoiceStatus, Line, LineKind

# As many as a download's first bytes can wait for, and far fewer than a statement may have parameters.
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class BookedInvoice:
    """One invoice. `document` is its JSON as issued; the amounts are in cents; to be paid until `due_ms`."""

    id: str
    account_id: str
    closing_id: str
    number: str
    status: InvoiceStatus
    period_start_ms: int
    period_end_ms: int
    issued_ms: int
    total_cents: int
    paid_cents: int
    credited_cents: int
    settled_ms: int | None
    document: str
    content_hash: str
    due_ms: int

    @property
    def due_cents(self) -> int:
        """What is still to be paid; below zero where it is to be paid back."""
        if self.status is InvoiceStatus.VOID:
            return 0
        return self.total_cents - self.paid_cents - self.credited_cents


@dataclass(frozen=True, slots=True)
class CreditNote:
    """Money given back on an issued invoice, with a reason."""

    id: str
    invoice_id: str
    number: str
    amount_cents: int
    reason: str
    issued_ms: int


@dataclass(frozen=True, slots=True)
class InvoicedEvent:
    """A usage event behind an invoice, and what became of its credits."""

    event_id: str
    request_id: str
    admitted_at_ms: int
    project_id: str
    key_id: str
    product: str
    mode: str
    unit: str
    units: int | None
    included_millicredits: int
    pay_as_you_go_millicredits: int
    written_off_millicredits: int
    line_id: str | None


async def next_number(conn: AsyncConnection, series: str, year: int) -> int:
    """The next number of a year. Whoever has asked holds the series until their transaction ends: no gaps."""
    adding = upsert(conn, document_numbers).values(series=series, year=year, last=1)
    statement = adding.on_conflict_do_update(
        index_elements=["series", "year"], set_={"last": document_numbers.c.last + 1}
    ).returning(document_numbers.c.last)
    number: int = (await conn.execute(statement)).scalar_one()
    return number


def line_id(invoice_id: str, position: int) -> str:
    """The id of an invoice's line, counted from 1."""
    return f"{invoice_id}.{position}"


async def add(conn: AsyncConnection, invoice: BookedInvoice, lines: Sequence[Line]) -> None:
    """Book an invoice with its lines and their parts."""
    await conn.execute(
        insert(invoices).values(
            id=invoice.id,
            account_id=invoice.account_id,
            closing_id=invoice.closing_id,
            number=invoice.number,
            status=invoice.status,
            period_start_ms=invoice.period_start_ms,
            period_end_ms=invoice.period_end_ms,
            issued_ms=invoice.issued_ms,
            total_cents=invoice.total_cents,
            paid_cents=invoice.paid_cents,
            credited_cents=invoice.credited_cents,
            settled_ms=invoice.settled_ms,
            document=invoice.document,
            content_hash=invoice.content_hash,
            due_ms=invoice.due_ms,
        )
    )
    await conn.execute(
        insert(invoice_lines),
        [
            {
                "id": line_id(invoice.id, position),
                "invoice_id": invoice.id,
                "position": position,
                "kind": line.kind,
                "plan_id": line.period.plan_id,
                "service_start_ms": line.period.start_ms,
                "service_end_ms": line.period.end_ms,
                "millicredits": line.millicredits,
                "amount_cents": line.amount_cents,
                "corrects": line.corrects,
            }
            for position, line in enumerate(lines, start=1)
        ],
    )
    parts = [
        {
            "line_id": line_id(invoice.id, position),
            "product": part.product,
            "mode": part.mode,
            "millicredits": part.millicredits,
            "amount_cents": part.amount_cents,
        }
        for position, line in enumerate(lines, start=1)
        for part in line.sub_lines
    ]
    if parts:
        await conn.execute(insert(invoice_sub_lines), parts)


async def find(conn: AsyncConnection, name: str, *, lock: bool = False) -> BookedInvoice | None:
    """The invoice of this id or number. With `lock`, nobody else changes it before this transaction ends."""
    query = select(invoices).where((invoices.c.id == name) | (invoices.c.number == name))
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    return None if row is None else _invoice(row)


async def of_account(conn: AsyncConnection, account_id: str) -> list[BookedInvoice]:
    """The account's invoices, newest first."""
    query = select(invoices).where(invoices.c.account_id == account_id)
    ordered = query.order_by(invoices.c.issued_ms.desc(), invoices.c.number.desc())
    return [_invoice(row) for row in await conn.execute(ordered)]


async def page(
    conn: AsyncConnection,
    account_id: str | None,
    *,
    statuses: Collection[InvoiceStatus] | None,
    owed_since_ms: int | None = None,
    after: tuple[int, str] | None,
    limit: int,
) -> list[BookedInvoice]:
    """Invoices behind `after`, newest first; `account_id` None: of all accounts.

    `owed_since_ms`: only issued ones that were due before that instant and are not paid.
    """
    table = invoices.c
    query = select(invoices)
    if account_id is not None:
        query = query.where(table.account_id == account_id)
    if statuses is not None:
        query = query.where(table.status.in_(sorted(statuses)))
    if owed_since_ms is not None:
        due = table.total_cents - table.paid_cents - table.credited_cents
        query = query.where(table.status == InvoiceStatus.ISSUED, table.due_ms < owed_since_ms, due > 0)
    if after is not None:
        query = query.where(tuple_(table.issued_ms, table.id) < after)
    rows = await conn.execute(query.order_by(table.issued_ms.desc(), table.id.desc()).limit(limit))
    return [_invoice(row) for row in rows]


async def fee_charged(conn: AsyncConnection, account_id: str, service_start_ms: int) -> tuple[int, str, str]:
    """The fees charged for a period that begins then, less those given back; the last one's plan and invoice number."""
    table = invoice_lines.c
    query = (
        select(table.amount_cents, table.plan_id, invoices.c.number)
        .join(invoices, invoices.c.id == table.invoice_id)
        .where(
            invoices.c.account_id == account_id,
            table.service_start_ms == service_start_ms,
            table.kind.in_([LineKind.PLAN_FEE, LineKind.REPLACED_FEE]),
        )
        .order_by(invoices.c.number, table.position.desc())
    )
    cents, plan_id, number = 0, "", ""
    for row in await conn.execute(query):
        cents, plan_id, number = cents + row[0], row[1], row[2]
    return cents, plan_id, number


async def every_number(conn: AsyncConnection) -> list[str]:
    """All numbers given, of invoices and of credit notes."""
    given = select(invoices.c.number).union_all(select(credit_notes.c.number))
    return list((await conn.execute(given)).scalars())


async def line_sums(conn: AsyncConnection, invoice_id: str) -> tuple[int, int]:
    """What an invoice's lines come to, and how many of them are what their sub-lines come to."""
    parts = (
        select(invoice_sub_lines.c.line_id, cast(func.sum(invoice_sub_lines.c.amount_cents), BigInteger).label("cents"))
        .group_by(invoice_sub_lines.c.line_id)
        .subquery()
    )
    table = invoice_lines.c
    query = (
        select(table.amount_cents, parts.c.cents)
        .outerjoin(parts, parts.c.line_id == table.id)
        .where(table.invoice_id == invoice_id)
    )
    rows = (await conn.execute(query)).all()
    return sum(row[0] for row in rows), sum(row[0] == row[1] for row in rows)


async def charged_on_lines(conn: AsyncConnection, invoice_id: str) -> dict[str, int]:
    """The millicredits that an invoice's pay-as-you-go lines charge, by line."""
    table = invoice_lines.c
    query = select(table.id, table.millicredits).where(
        table.invoice_id == invoice_id, table.kind == LineKind.PAY_AS_YOU_GO
    )
    return {row[0]: row[1] for row in await conn.execute(query)}


async def set_status(
    conn: AsyncConnection, invoice_id: str, status: InvoiceStatus, *, paid_cents: int, settled_ms: int | None
) -> None:
    """What became of it."""
    await conn.execute(
        update(invoices)
        .where(invoices.c.id == invoice_id)
        .values(status=status, paid_cents=paid_cents, settled_ms=settled_ms)
    )


async def add_credit_note(
    conn: AsyncConnection, invoice: BookedInvoice, *, number: str, amount_cents: int, reason: str, at_ms: int
) -> CreditNote:
    """Book a credit note, and count it on its invoice."""
    note = CreditNote(new_id("crn"), invoice.id, number, amount_cents, reason, at_ms)
    await conn.execute(
        insert(credit_notes).values(
            id=note.id,
            invoice_id=note.invoice_id,
            number=note.number,
            amount_cents=note.amount_cents,
            reason=note.reason,
            issued_ms=note.issued_ms,
        )
    )
    raised = invoices.c.credited_cents + amount_cents
    await conn.execute(update(invoices).where(invoices.c.id == invoice.id).values(credited_cents=raised))
    return note


async def credit_notes_of(conn: AsyncConnection, invoice_ids: Sequence[str]) -> dict[str, list[CreditNote]]:
    """The credit notes of these invoices, oldest first; those that have none are left out."""
    table = credit_notes.c
    columns = (table.id, table.invoice_id, table.number, table.amount_cents, table.reason, table.issued_ms)
    found: dict[str, list[CreditNote]] = {}
    for first in range(0, len(invoice_ids), _PAGE):
        some = invoice_ids[first : first + _PAGE]
        query = select(*columns).where(table.invoice_id.in_(some)).order_by(table.issued_ms, table.number)
        for row in await conn.execute(query):
            found.setdefault(row.invoice_id, []).append(CreditNote(*row))
    return found


async def events_page(conn: AsyncConnection, invoice_id: str, *, after: str) -> list[InvoicedEvent]:
    """Some usage events behind an invoice, those inside the allowance too, in the order of their ids; [] at the end.

    One whose pay-as-you-go reaches into further tiers comes once for each line that charges a part of it.
    """
    event, stamp = usage_events.c, closed_events.c
    columns = (
        *(event.id, event.request_id, event.admitted_at_ms, event.project_id, event.key_id),
        *(event.product, event.mode, event.unit, event.units),
        *(stamp.included_millicredits, stamp.pay_as_you_go_millicredits, stamp.written_off_millicredits),
        stamp.line_id,
    )
    closing = select(invoices.c.closing_id).where(invoices.c.id == invoice_id).scalar_subquery()
    # By the stamps' own ids, which their index has in order: no page reads those behind it.
    query = (
        select(*columns)
        .join(closed_events, stamp.event_id == event.id)
        .where(stamp.closing_id == closing, stamp.event_id > after)
        .order_by(stamp.event_id)
        .limit(_PAGE)
    )
    rows = (await conn.execute(query)).all()
    further = await _further_parts(conn, [row[0] for row in rows if row.line_id is not None])
    found: list[InvoicedEvent] = []
    for row in rows:
        first, parts = InvoicedEvent(*tuple(row)), further.get(row[0], [])
        on_first = first.pay_as_you_go_millicredits - sum(amount for _, amount in parts)
        found.append(replace(first, pay_as_you_go_millicredits=on_first))
        nothing_else = replace(first, included_millicredits=0, written_off_millicredits=0)
        found += [replace(nothing_else, pay_as_you_go_millicredits=amount, line_id=line) for line, amount in parts]
    return found


async def _further_parts(conn: AsyncConnection, event_ids: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
    """The parts of events on the lines of further tiers, in the order of the lines."""
    if not event_ids:
        return {}
    table = closed_event_parts.c
    query = select(table.event_id, table.line_id, table.millicredits).where(table.event_id.in_(event_ids))
    found: dict[str, list[tuple[str, int]]] = {}
    for event_id, line, amount in await conn.execute(query):
        found.setdefault(event_id, []).append((line, amount))
    return {event_id: sorted(parts, key=_position) for event_id, parts in found.items()}


def _position(part: tuple[str, int]) -> int:
    return int(part[0].rpartition(".")[2])


def _invoice(row: Any) -> BookedInvoice:
    invoice_id, account_id, closing_id, number, status, *rest = row
    return BookedInvoice(invoice_id, account_id, closing_id, number, InvoiceStatus(status), *rest)
