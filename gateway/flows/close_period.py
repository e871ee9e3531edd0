"""Closing a boundary of an account's periods: its usage is stamped and rated, the next fee charged, an invoice issued.

Everything within one transaction of the caller's that holds the account's lock, so it happens once, whoever asks. When
a boundary is due is for `issue_invoice`; which lines there are is for `invoice_lines`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, billing_details, closings, contracts, invoices, ledger_entries, periods
from gateway.books.billing_details import SELLER, BillingDetails
from gateway.books.ids import new_id
from gateway.books.invoices import BookedInvoice
from gateway.books.ledger_entries import LedgerAccount
from gateway.books.periods import BookedPeriod
from gateway.domain.instant import DAY_MS, from_epoch_ms
from gateway.domain.invoice import InvoiceStatus, Line, TaxRate, disagreement, totals
from gateway.domain.plan import Plan
from gateway.domain.rating import UsageSplit
from gateway.domain.webhook import EventType
from gateway.flows.faults import InvoicingStopped
from gateway.flows.invoice_document import document, frozen
from gateway.flows.invoice_lines import Assumed, Boundary, Charges, draw_up
from gateway.flows.roll_over import roll_over
from gateway.flows.tell_account import emit, invoice_data

INVOICE_SERIES = "invoice"


@dataclass(frozen=True, slots=True)
class Parties:
    """Who stands on the invoice, and the tax that it bears."""

    seller: BillingDetails
    buyer: BillingDetails
    tax: TaxRate | None


async def close_boundary(
    conn: AsyncConnection, plans: Mapping[str, Plan], boundary: Boundary, at_ms: int, assumed: Assumed
) -> BookedInvoice | None:
    """Charge everything that is due there; the invoice, None where there was nothing to put on one.

    InvoicingStopped where the numbers disagree: nothing is guessed, and nothing is written.
    """
    closing_id, invoice_id = new_id("cls"), new_id("inv")
    await closings.add(conn, closing_id, boundary.account_id, boundary_ms=boundary.at_ms, at_ms=at_ms)
    drawn = await draw_up(conn, plans, boundary, assumed, Charges(boundary.account_id, (closing_id, invoice_id)))
    await closings.add_usage(conn, closing_id, boundary.account_id, drawn.usages)
    if boundary.opening is not None:
        await periods.mark_opened(conn, boundary.opening, closing_id)
    if boundary.ending is not None:
        await periods.mark_closed(conn, boundary.ending, closing_id)
        closed = drawn.closed_by_now(boundary.ending.start_ms)
        await _prove(conn, boundary.ending, closed, drawn.ceilings_millicredits[boundary.ending.start_ms])
        if assumed.rolls_over and boundary.ending.rollover_parts_per_million:
            held = assumed.held_millicredits.get(boundary.ending.start_ms, 0)
            await roll_over(conn, boundary.ending, closed.usage_millicredits + held, at_ms)
    if not drawn.lines:
        return None
    due_ms = at_ms + await _net_days(conn, plans, boundary) * DAY_MS
    return await _issue(conn, boundary, drawn.lines, (closing_id, invoice_id), at_ms=at_ms, due_ms=due_ms)


async def parties(conn: AsyncConnection, account_id: str, account_name: str) -> Parties:
    """Seller and buyer as they are now. Without a tax of its own, an account bears the seller's."""
    known = await billing_details.of_parties(conn, SELLER, account_id)
    seller = known.get(SELLER) or BillingDetails(SELLER)
    buyer = known.get(account_id) or BillingDetails(account_id)
    if not buyer.name:
        buyer = replace(buyer, name=account_name)
    taxed = buyer if buyer.tax_name else seller
    tax = TaxRate(taxed.tax_name, taxed.tax_parts_per_million) if taxed.tax_name else None
    return Parties(seller, buyer, tax)


async def _issue(
    conn: AsyncConnection, boundary: Boundary, lines: Sequence[Line], ids: tuple[str, str], *, at_ms: int, due_ms: int
) -> BookedInvoice:
    """Freeze the lines, under the next number."""
    closing_id, invoice_id = ids
    account_id = boundary.account_id
    named = await parties(conn, account_id, await _account_name(conn, account_id))
    sums = totals(lines, named.tax)
    if wrong := disagreement(lines, sums, named.tax):
        raise InvoicingStopped(account_id, wrong)
    year = from_epoch_ms(at_ms).year
    rate_cards = await closings.rate_cards(conn, closing_id)
    # Last, because everyone else who issues waits for the number from here on.
    number = f"{year}-{await invoices.next_number(conn, INVOICE_SERIES, year):06d}"
    text, content_hash = frozen(
        document(
            invoice_id=invoice_id,
            number=number,
            account_id=account_id,
            period_ms=boundary.invoiced_ms,
            issued_ms=at_ms,
            due_ms=due_ms,
            seller=named.seller,
            buyer=named.buyer,
            lines=lines,
            tax=named.tax,
            sums=sums,
            rate_cards=rate_cards,
        )
    )
    start_ms, end_ms = boundary.invoiced_ms
    free = sums.total_cents == 0
    issued = BookedInvoice(
        id=invoice_id,
        account_id=account_id,
        closing_id=closing_id,
        number=number,
        status=InvoiceStatus.PAID if free else InvoiceStatus.ISSUED,
        period_start_ms=start_ms,
        period_end_ms=end_ms,
        issued_ms=at_ms,
        total_cents=sums.total_cents,
        paid_cents=0,
        credited_cents=0,
        settled_ms=at_ms if free else None,
        document=text,
        content_hash=content_hash,
        due_ms=due_ms,
    )
    await invoices.add(conn, issued, lines)
    await emit(conn, account_id, EventType.INVOICE_ISSUED, invoice_data(issued), at_ms)
    return issued


async def _net_days(conn: AsyncConnection, plans: Mapping[str, Plan], boundary: Boundary) -> int:
    """How long the invoice may wait: as agreed for the period that begins, else for the one that ends."""
    period = boundary.opening or boundary.ending
    if period is None:
        return 0
    if period.contract_version is not None:
        agreed = await contracts.get(conn, period.account_id, period.contract_version)
        if agreed is not None:
            return agreed.contract.net_days
    plan = plans.get(period.plan_id)
    return 0 if plan is None else plan.net_days


async def _prove(conn: AsyncConnection, period: BookedPeriod, closed: UsageSplit, ceiling_millicredits: int) -> None:
    """The ledger agrees with all that was closed; a period's pay-as-you-go stays below its ceiling."""
    balances = await ledger_entries.balances(conn, period.account_id, period.start_ms)
    if sum(balances.values()) != 0:
        raise InvoicingStopped(period.account_id, f"the ledger of a period does not sum to zero: {balances}")
    if closed.usage_millicredits > balances[LedgerAccount.USED]:
        raise InvoicingStopped(period.account_id, "more was closed than the ledger has as used")
    if closed.pay_as_you_go_millicredits > ceiling_millicredits:
        raise InvoicingStopped(period.account_id, "pay-as-you-go is beyond the period's ceiling")


async def _account_name(conn: AsyncConnection, account_id: str) -> str:
    account = await accounts.get(conn, account_id)
    return account.name if account is not None else account_id
