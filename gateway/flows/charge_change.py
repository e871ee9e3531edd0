"""Charging the opening of an account and a change of its plan at once, and telling beforehand to the cent.

An upgrade's invoice: pay-as-you-go so far, the new plan's whole price, less the value of what was paid for and not
used, what is held counted as used. What was told is honoured for ten minutes: whatever is used in between goes on the
next invoice. The change itself is made by `change_plan`, in the same transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, periods, plan_previews, usage
from gateway.books.invoices import BookedInvoice
from gateway.books.periods import BookedPeriod
from gateway.books.plan_previews import BookedPreview
from gateway.domain.instant import epoch_ms, from_epoch_ms
from gateway.domain.invoice import Line, Totals, totals
from gateway.domain.period import period_at
from gateway.domain.plan import Plan
from gateway.flows.change_plan import Standing
from gateway.flows.close_period import close_boundary, parties
from gateway.flows.in_redis import InRedis
from gateway.flows.invoice_lines import Assumed, Boundary, Charges, boundaries, draw_up

HONOURED_MS: Final = 10 * 60 * 1000


@dataclass(frozen=True, slots=True)
class ToldPrice:
    """What a change at once would be invoiced, as told. `honoured_until_ms` None: to one who may not change it."""

    lines: tuple[Line, ...]
    sums: Totals
    honoured_until_ms: int | None


async def charge_opening(
    conn: AsyncConnection, plans: Mapping[str, Plan], account_id: str, at_ms: int
) -> BookedInvoice | None:
    """The first fee of a new account; None for a plan without a price."""
    first, *_ = boundaries(await periods.uncharged(conn, account_id))
    return await close_boundary(conn, plans, first, at_ms, Assumed())


async def honoured(conn: AsyncConnection, now: Standing, plan: Plan, at_ms: int) -> BookedPreview | None:
    """What was told within the last ten minutes for this change."""
    return await plan_previews.newest(
        conn,
        now.running.account_id,
        plan_id=plan.id,
        period_start_ms=now.running.start_ms,
        since_ms=at_ms - HONOURED_MS,
    )


async def charge_change(
    conn: AsyncConnection,
    plans: Mapping[str, Plan],
    now: Standing,
    effective_ms: int,
    *,
    known: InRedis,
    told: BookedPreview | None,
    at_ms: int,
) -> BookedInvoice | None:
    """The invoice of a change that was just made at once. `now` is how the account stood before."""
    account_id = now.running.account_id
    if known.unbooked:
        await usage.book(conn, known.unbooked)
    for boundary in boundaries(await periods.uncharged(conn, account_id)):
        if boundary.at_ms == effective_ms:
            if effective_ms == now.running.start_ms:
                # The running period was given another plan as it began; what ended there is closed in its own time.
                boundary = replace(boundary, ending=None)  # noqa: PLW2901
            return await close_boundary(conn, plans, boundary, at_ms, _assumed(boundary, known, told))
    return None


async def tell_price(
    conn: AsyncConnection,
    plans: Mapping[str, Plan],
    now: Standing,
    plan: Plan,
    *,
    known: InRedis,
    at_ms: int,
    honour: bool = True,
) -> ToldPrice:
    """What `charge_change` would invoice now, kept if it is to be honoured. Books what Redis knew."""
    account_id = now.running.account_id
    if known.unbooked:
        await usage.book(conn, known.unbooked)
    boundary = _foreseen(now, plan, at_ms)
    up_to_seq = await accounts.booked_seq(conn, account_id)
    if known.seq is not None:
        up_to_seq = min(up_to_seq, known.seq)
    assumed = replace(_assumed(boundary, known, None), up_to_seq=up_to_seq)
    drawn = await draw_up(conn, plans, boundary, assumed, Charges(account_id))
    account = await accounts.get(conn, account_id)
    named = await parties(conn, account_id, account.name if account is not None else account_id)
    sums = totals(drawn.lines, named.tax)
    if not honour:
        return ToldPrice(tuple(drawn.lines), sums, None)
    await plan_previews.add(
        conn,
        BookedPreview(
            account_id=account_id,
            plan_id=plan.id,
            period_start_ms=now.running.start_ms,
            up_to_seq=up_to_seq,
            held_millicredits=assumed.held_millicredits.get(now.running.start_ms, 0),
            price_cents=plan.price_cents,
            total_cents=sums.total_cents,
            made_ms=at_ms,
        ),
    )
    return ToldPrice(tuple(drawn.lines), sums, at_ms + HONOURED_MS)


def _foreseen(now: Standing, plan: Plan, at_ms: int) -> Boundary:
    """The boundary that `change_plan.switch_now` would make."""
    running = now.running
    start_ms = max(at_ms, running.start_ms)
    anchor = from_epoch_ms(start_ms)
    end_ms = epoch_ms(period_at(anchor, anchor, months=plan.months).end)
    opening = BookedPeriod(running.account_id, start_ms, end_ms, now.subscription.id, plan.id, 0, 0).sold_as(plan)
    ending = replace(running, end_ms=start_ms) if start_ms > running.start_ms else None
    return Boundary(start_ms, ending, opening)


def _assumed(boundary: Boundary, known: InRedis, told: BookedPreview | None) -> Assumed:
    ending, opening = boundary.ending, boundary.opening
    held = dict(known.held_millicredits)
    if ending is None or opening is None:
        return Assumed(held)
    dearer = (opening.price_cents or 0) > (ending.price_cents or 0)
    if told is None:
        # What was held when Redis was asked may have been settled and booked since: it must not count twice.
        return Assumed(held, gives_back=dearer, up_to_seq=known.seq)
    held[ending.start_ms] = told.held_millicredits
    return Assumed(held, gives_back=dearer, up_to_seq=told.up_to_seq)
