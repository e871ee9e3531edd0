"""A sandbox account's own clock: what it shows, and advancing it, so that an account can be walked through months.

Only forward, and only of an account that was opened as a sandbox. The walk stops at every instant at which something is
due (a period to be closed, an invoice to be collected, a payment to be tried again) and does it there and then, so that
many short steps leave the same as one long one. Limits, holds, jobs and deliveries stay in the world's time.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, invoice_collections, periods
from gateway.books.accounts import Account
from gateway.books.audit import AuditEntry
from gateway.books.invoices import BookedInvoice
from gateway.domain.instant import DAY_MS, from_epoch_ms
from gateway.domain.terms import AccountStatus
from gateway.flows.billing import Billing
from gateway.flows.faults import CallerFault
from gateway.flows.invoice_lines import boundaries
from gateway.flows.issue_invoice import ISSUED_AFTER_MS, Closer
from gateway.flows.known_account import known_account
from gateway.flows.terms import catch_up
from gateway.payments.provider import ProviderUnavailable

# Five years: half of what `agreed` books in one go, so that no period is passed over.
FARTHEST_MS: Final = 5 * 366 * DAY_MS
# Stops of one walk: a month has a boundary and a handful of tries to collect.
MOST_STOPS: Final = 2_000


class Collects(Protocol):
    """The part of the collector that is needed here."""

    async def collect(self, account_id: str) -> int:
        """Try everything of an account that is due. ProviderUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class OwnClock:
    """What an account's clock shows. `offset_ms` is how far it is ahead; None: a real account, by the world's clock.

    `issued` are the invoices that were issued on the way there.
    """

    account_id: str
    now_ms: int
    offset_ms: int | None
    issued: tuple[BookedInvoice, ...] = ()


class OwnClocks:
    """The clocks of all accounts. `closer` and `collector` do on the way what else they do once a minute."""

    def __init__(self, billing: Billing, *, closer: Closer, collector: Collects | None = None) -> None:
        self._billing = billing
        self._closer = closer
        self._collector = collector

    async def show(self, account_id: str) -> OwnClock:
        """What it shows now. NoSuchThing, BooksUnavailable."""
        async with self._billing.books.read() as conn:
            account = await known_account(conn, account_id)
        return OwnClock(account_id, account.own_ms(self._billing.now_ms()), account.clock_offset_ms)

    async def advance(
        self, account_id: str, *, by_ms: int | None = None, to_ms: int | None = None, actor: str = "cli"
    ) -> OwnClock:
        """Walk there. CallerFault for a real or a closed account, or an instant it cannot go to; NoSuchThing.

        InvoicingStopped, BooksUnavailable, StoreUnavailable: it stands where it got to, and goes on when asked again.
        """
        target_ms = await self._agree(account_id, by_ms, to_ms, actor)
        issued: list[BookedInvoice] = []
        for _ in range(MOST_STOPS):
            there = await self._step(account_id, target_ms)
            await self._billing.tell(account_id)
            issued += await self._closer.close_account(account_id)
            await self._collect(account_id)
            if there:
                break
        shown = await self.show(account_id)
        return OwnClock(account_id, shown.now_ms, shown.offset_ms, tuple(issued))

    async def _agree(self, account_id: str, by_ms: int | None, to_ms: int | None, actor: str) -> int:
        """Where to, in epoch ms; noted in the audit log."""
        world_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            account = await _sandbox(conn, account_id)
            own_ms = account.own_ms(world_ms)
            target_ms = own_ms + (by_ms or 0) if to_ms is None else to_ms
            if target_ms <= own_ms:
                raise CallerFault(f"a clock only goes forward, and this one shows {_text(own_ms)}")
            if target_ms > world_ms + FARTHEST_MS:
                raise CallerFault(f"a clock goes at most five years ahead, to {_text(world_ms + FARTHEST_MS)}")
            detail = {"from_ms": own_ms, "to_ms": target_ms}
            await audit.write(conn, AuditEntry(own_ms, actor, "account.clock", account_id, account_id, detail))
        return target_ms

    async def _step(self, account_id: str, target_ms: int) -> bool:
        """Go on to the next instant at which something is due, or to the target; whether that is where we are now."""
        async with self._billing.books.begin() as conn:
            account = await _sandbox(conn, account_id)
            world_ms = self._billing.now_ms()
            own_ms = account.own_ms(world_ms)
            stop_ms = min(target_ms, await _next_due_ms(conn, account_id, own_ms) or target_ms)
            if stop_ms > own_ms:
                await accounts.set_clock(conn, account_id, stop_ms - world_ms)
                await catch_up(conn, self._billing.plans(), account_id, stop_ms)
                await accounts.raise_terms_version(conn, account_id)
        return stop_ms >= target_ms

    async def _collect(self, account_id: str) -> None:
        if self._collector is None:
            return
        try:
            await self._collector.collect(account_id)
        except ProviderUnavailable:
            return  # the background work tries again


async def _sandbox(conn: AsyncConnection, account_id: str) -> Account:
    """The account, locked, if it has a clock that may be advanced."""
    account = await known_account(conn, account_id, lock=True)
    if not account.sandbox:
        raise CallerFault(
            f"account {account_id} is a real one, which lives by the world's clock; "
            "only accounts that were opened with --sandbox have a clock of their own"
        )
    if account.status is AccountStatus.CLOSED:
        raise CallerFault(f"account {account_id} is closed")
    return account


async def _next_due_ms(conn: AsyncConnection, account_id: str, own_ms: int) -> int | None:
    """The next instant after `own_ms` at which the closer or the collector has something to do."""
    waits_ms = [
        boundary.at_ms + (0 if boundary.ending is None else ISSUED_AFTER_MS)
        for boundary in boundaries(await periods.uncharged(conn, account_id))
    ]
    collected_ms = await invoice_collections.next_ms(conn, account_id, own_ms)
    if collected_ms is not None:
        waits_ms.append(collected_ms)
    return min((at_ms for at_ms in waits_ms if at_ms > own_ms), default=None)


def _text(at_ms: int) -> str:
    return f"{from_epoch_ms(at_ms):%Y-%m-%d %H:%M:%S} UTC"
