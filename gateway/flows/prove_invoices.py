"""Proving invoices from the books alone: every credit used is charged once, and every document is what it was.

Per closed period: stamps on events = what the closings made of them, split as the rule says, below the ceiling. Per
invoice: sub-lines = lines = total, to the cent, and the document's hash. Over all: numbers without gaps. Changes
nothing.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, closings, grants, invoices, limits, periods
from gateway.books.books import Books
from gateway.books.closings import Closed
from gateway.books.periods import BookedPeriod
from gateway.domain.rating import split_usage
from gateway.flows.faults import NoSuchThing
from gateway.flows.invoice_document import arithmetic_fault, content_hash, instant_text


async def prove_invoices(books: Books, account_ids: Sequence[str] | None = None) -> list[str]:
    """What is wrong, in words, with the accounts named or all; empty where all is well.

    NoSuchThing, BooksUnavailable.
    """
    async with books.read() as conn:
        known = [account.id for account in await accounts.every(conn)]
        wrong = _gaps(await invoices.every_number(conn))
    if account_ids is not None and (unknown := sorted(set(account_ids) - set(known))):
        raise NoSuchThing("account", unknown[0])
    for account_id in known if account_ids is None else account_ids:
        async with books.read() as conn:
            wrong += [f"{account_id}: {what}" for what in await _account_faults(conn, account_id)]
    return wrong


async def _account_faults(conn: AsyncConnection, account_id: str) -> list[str]:
    found: list[str] = []
    closed = await closings.of_periods(conn, account_id)
    stamped = await closings.stamped(conn, account_id)
    for period in await periods.of_account(conn, account_id):
        if period.closed_by is not None:
            found += await _period_faults(conn, period, closed, stamped)
    for invoice in await invoices.of_account(conn, account_id):
        if content_hash(invoice.document.encode()) != invoice.content_hash:
            found.append(f"invoice {invoice.number} is not the document that was hashed")
        said = orjson.loads(invoice.document)
        if (fault := arithmetic_fault(said)) is not None:
            found.append(f"invoice {invoice.number}: {fault}")
        lines = await invoices.line_sums(conn, invoice.id)
        if lines != (said["subtotal_cents"], sum(len(line["sub_lines"]) > 0 for line in said["lines"])):
            found.append(f"invoice {invoice.number}: its lines in the books are not the document's")
        if await invoices.charged_on_lines(conn, invoice.id) != await closings.on_lines(conn, invoice.closing_id):
            found.append(f"invoice {invoice.number}: its lines do not charge what its events are stamped with")
        if said["total_cents"] != invoice.total_cents:
            found.append(f"invoice {invoice.number} asks for {invoice.total_cents} cents, its document for another sum")
    return found


async def _period_faults(
    conn: AsyncConnection, period: BookedPeriod, closed: Mapping[int, Closed], stamped: Mapping[int, tuple[int, ...]]
) -> list[str]:
    found = []
    name = f"the period from {instant_text(period.start_ms)}"
    made = closed.get(period.start_ms, Closed()).split
    amounts = (made.included_millicredits, made.pay_as_you_go_millicredits, made.written_off_millicredits)
    if stamped.get(period.start_ms, (0, 0, 0)) != amounts:
        found.append(f"{name}: its events are stamped with {stamped.get(period.start_ms)}, its closings made {amounts}")
    ceilings = {step.millicredits for step in await limits.steps_of(conn, period)}
    ruled = split_usage(
        made.usage_millicredits,
        granted_millicredits=await grants.granted(conn, period.account_id, period.start_ms),
        overage_millicredits=max(ceilings),
    )
    if ruled.included_millicredits != made.included_millicredits or (len(ceilings) == 1 and ruled != made):
        found.append(f"{name}: usage was split as {made}, the rule says {ruled}")
    elif made.pay_as_you_go_millicredits > ruled.pay_as_you_go_millicredits:
        # The ceiling changed on the way: what lies above the lower one is charged where it was admitted before.
        found.append(f"{name}: usage was split as {made}, beyond the highest ceiling it had: {ruled}")
    return found


def _gaps(numbers: Sequence[str]) -> list[str]:
    wrong = []
    for series, given in groupby(sorted(numbers), key=lambda number: number.rpartition("-")[0]):
        counted = [int(number.rpartition("-")[2]) for number in given]
        if counted != list(range(1, len(counted) + 1)):
            wrong.append(f"the numbers of {series} have a gap")
    return wrong
