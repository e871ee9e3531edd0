"""Issuing what is due, in any number of processes, period by period: a process that slept catches up.

A period is closed an hour after its end, once none of its holds is open; after the longest hold there can be none, so
one that still shows as open keeps nobody waiting. Usage that Redis has and the books have not is booked on the way. The
opening of an account is invoiced at once; so is an upgrade, in the transaction that makes it (`flows.accounts`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import structlog

from gateway.books import accounts, periods, usage
from gateway.books.accounts import Account
from gateway.books.faults import BooksUnavailable
from gateway.books.invoices import BookedInvoice
from gateway.books.periods import BookedPeriod
from gateway.domain.instant import HOUR_MS
from gateway.flows.billing import Billing
from gateway.flows.close_period import close_boundary
from gateway.flows.faults import InvoicingStopped
from gateway.flows.in_redis import InRedis, in_redis
from gateway.flows.invoice_lines import Assumed, Boundary, boundaries
from gateway.flows.terms import catch_up
from gateway.ledger.faults import StoreUnavailable

ISSUED_AFTER_MS: Final = HOUR_MS
LOOK_EVERY_S: Final = 60.0
# Fifty years of months for one account in one go.
MOST_AT_ONCE: Final = 600
PAGE: Final = 500

log = structlog.get_logger()


class Closer:
    """Closes what is due. `longest_hold_ms` is how long a hold can live at most."""

    def __init__(self, billing: Billing, *, longest_hold_ms: Callable[[], int]) -> None:
        self._billing = billing
        self._longest_hold_ms = longest_hold_ms

    async def run(self) -> None:
        """Closes what is due every minute, until cancelled."""
        while True:
            try:
                for invoice in await self.close_due():
                    log.info("invoice issued", number=invoice.number, account_id=invoice.account_id)
            except (BooksUnavailable, StoreUnavailable) as away:
                log.warning("periods wait to be closed", reason=str(away))
            await asyncio.sleep(LOOK_EVERY_S)

    async def close_due(self) -> list[BookedInvoice]:
        """Every account's due boundaries; what was issued. An account whose numbers disagree is left out, loudly."""
        issued: list[BookedInvoice] = []
        last = ""
        while chosen := await self._accounts_to_close(last):
            for account_id in chosen:
                try:
                    issued += await self.close_account(account_id)
                except InvoicingStopped as stopped:
                    log.error("invoicing stopped", account_id=account_id, what=stopped.what)  # noqa: TRY400
                except (BooksUnavailable, StoreUnavailable):
                    raise
                except Exception:
                    # Of one account's making: the others get their invoices, and serving goes on.
                    log.exception("invoicing failed", account_id=account_id)
            last = chosen[-1]
        return issued

    async def close_account(self, account_id: str) -> list[BookedInvoice]:
        """One account's due boundaries, oldest first. InvoicingStopped, BooksUnavailable, StoreUnavailable."""
        issued: list[BookedInvoice] = []
        async with self._billing.books.read() as conn:
            now_ms = await accounts.own_ms(conn, account_id, self._billing.now_ms())
            due = _first_due(await periods.uncharged(conn, account_id), now_ms) is not None
        for _ in range(MOST_AT_ONCE):
            if not due:
                break
            known = await in_redis(self._billing.ledger, account_id)
            invoice, due = await self._close_first(account_id, known)
            if invoice is not None:
                issued.append(invoice)
        return issued

    def _must_wait(self, boundary: Boundary, known: InRedis, account: Account, now_ms: int) -> bool:
        """Whether calls of the ending period are still running. A sandbox's clock tells nothing of how long they do."""
        if boundary.ending is None or boundary.ending.start_ms not in known.held_millicredits:
            return False
        return account.sandbox or now_ms < boundary.at_ms + ISSUED_AFTER_MS + self._longest_hold_ms()

    async def _close_first(self, account_id: str, known: InRedis) -> tuple[BookedInvoice | None, bool]:
        """Close the first due boundary, whoever else tries; what was issued, and whether another boundary is due."""
        async with self._billing.books.begin() as conn:
            account = await accounts.get(conn, account_id, lock=True)
            if account is None:
                return None, False
            now_ms = account.own_ms(self._billing.now_ms())
            await catch_up(conn, self._billing.plans(), account_id, now_ms)
            uncharged = await periods.uncharged(conn, account_id)
            boundary = _first_due(uncharged, now_ms)
            if boundary is None or self._must_wait(boundary, known, account, now_ms):
                return None, False
            await usage.book(conn, known.unbooked)
            assumed = Assumed(known.held_millicredits, rolls_over=True)
            issued = await close_boundary(conn, self._billing.plans(), boundary, now_ms, assumed)
        if boundary.ending is not None and boundary.ending.rollover_parts_per_million:
            await self._billing.tell(account_id)
        return issued, _first_due([_charged_at(boundary, period) for period in uncharged], now_ms) is not None

    async def _accounts_to_close(self, after: str) -> list[str]:
        now_ms = self._billing.now_ms()
        async with self._billing.books.read() as conn:
            return await periods.accounts_to_close(
                conn, begun_ms=now_ms, ended_ms=now_ms - ISSUED_AFTER_MS, after=after, limit=PAGE
            )


def _first_due(uncharged: Sequence[BookedPeriod], now_ms: int) -> Boundary | None:
    """The first boundary at which something is still to be charged, if its time has come."""
    for boundary in boundaries(uncharged):
        wait_ms = 0 if boundary.ending is None else ISSUED_AFTER_MS
        return boundary if boundary.at_ms + wait_ms <= now_ms else None
    return None


def _charged_at(boundary: Boundary, period: BookedPeriod) -> BookedPeriod:
    """A period as it is once the boundary is closed."""
    opened_by = "now" if period == boundary.opening else period.opened_by
    return replace(period, opened_by=opened_by, closed_by="now" if period == boundary.ending else period.closed_by)
