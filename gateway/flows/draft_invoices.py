"""Drafts: the invoices that would be issued if an account's open periods ended now.

What Redis knows and the books do not have yet is booked first, so that a draft misses nothing. Issues nothing.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, periods, usage
from gateway.domain.instant import epoch_ms
from gateway.domain.invoice import InvoiceStatus, totals
from gateway.domain.plan import Plan
from gateway.flows.agreed import agreed_by
from gateway.flows.billing import Billing
from gateway.flows.close_period import parties
from gateway.flows.faults import NoSuchThing
from gateway.flows.in_redis import InRedis
from gateway.flows.invoice_document import document
from gateway.flows.invoice_lines import Assumed, Boundary, Charges, boundaries, draw_up
from gateway.flows.invoice_view import InvoiceView

# What a draft's id begins with.
DRAFT: Final = "draft_"


async def drafts_of(billing: Billing, account_id: str, sought: str = "") -> list[InvoiceView]:
    """What would be issued now, oldest first: ended periods that still wait, and the running one.

    `sought`: the invoice that a NoSuchThing names, where one was asked for by its id.
    """
    now = billing.clock()
    terms = await billing.terms_of(account_id, now)
    if terms is None:
        raise NoSuchThing("invoice", sought) if sought else NoSuchThing("account", account_id)
    known = await billing.in_redis(account_id)
    if known.unbooked:
        async with billing.books.begin() as conn:
            await usage.book(conn, known.unbooked)
    async with billing.books.read() as conn:
        return await _drawn_up(conn, billing.plans(), account_id, terms.own_ms(epoch_ms(now)), known)


async def _drawn_up(
    conn: AsyncConnection, plans: Mapping[str, Plan], account_id: str, now_ms: int, known: InRedis
) -> list[InvoiceView]:
    account = await accounts.get(conn, account_id)
    named = await parties(conn, account_id, account.name if account is not None else account_id)
    drafts: list[InvoiceView] = []
    for boundary in await _open_boundaries(conn, plans, account_id, now_ms):
        assumed = Assumed(known.held_millicredits, late=not drafts)
        drawn = await draw_up(conn, plans, boundary, assumed, Charges(account_id))
        if not drawn.lines:
            continue
        sums = totals(drawn.lines, named.tax)
        shown = document(
            invoice_id=f"{DRAFT}{account_id.removeprefix('acc_')}_{boundary.at_ms}",
            number=None,
            account_id=account_id,
            period_ms=boundary.invoiced_ms,
            issued_ms=None,
            due_ms=None,
            seller=named.seller,
            buyer=named.buyer,
            lines=drawn.lines,
            tax=named.tax,
            sums=sums,
            rate_cards=(),
        )
        drafts.append(InvoiceView(shown, InvoiceStatus.DRAFT, sums.total_cents))
    return drafts


async def _open_boundaries(
    conn: AsyncConnection, plans: Mapping[str, Plan], account_id: str, now_ms: int
) -> list[Boundary]:
    """Those that are past and not closed, and the end of the running period with what follows as agreed now."""
    booked = await periods.of_account(conn, account_id)
    running = next((period for period in booked if period.start_ms <= now_ms < period.end_ms), None)
    still_open = [one for one in boundaries(booked) if one.at_ms <= now_ms]
    if running is not None:
        following = next((period for period in booked if period.start_ms == running.end_ms), None)
        if following is None:
            agreed = await agreed_by(conn, plans, account_id)
            following = agreed.sold(plans, account_id, running.end_ms, running)
        still_open.append(Boundary(running.end_ms, running, following))
    return still_open
