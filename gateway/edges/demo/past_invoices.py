"""The invoices of the demo's history, issued and paid as they would have been: each in its own time.

The gateway's own closing does it, at a clock that is wound forward; the newest invoice of each account is left to be
collected by the demo's gateway from who has a card, and to be paid by whoever looks from who has none.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from gateway.books import periods
from gateway.domain.instant import from_epoch_ms
from gateway.domain.invoice import InvoiceStatus
from gateway.flows.invoices import Invoices
from gateway.flows.issue_invoice import ISSUED_AFTER_MS, Closer
from gateway.stores import Stores

PAID_AFTER: Final = timedelta(days=3)
# The background work looks every minute, so an invoice is rarely issued to the second.
NOTICED_AFTER: Final = timedelta(milliseconds=ISSUED_AFTER_MS, minutes=1)


async def issue_past(stores: Stores, account_ids: Sequence[str]) -> None:
    """Close every period of these accounts that is over, oldest first, and have all but the newest invoices paid."""
    for at, account_id in await _endings(stores, account_ids):
        clock = stopped_at(at)
        closer = Closer(
            books=stores.books,
            ledger=stores.ledger,
            plans=stores.current.plans,
            longest_hold_ms=lambda: 0,
            clock=clock,
        )
        await closer.close_account(account_id)
    for account_id in account_ids:
        await _pay_old(stores, account_id)


async def _endings(stores: Stores, account_ids: Sequence[str]) -> list[tuple[datetime, str]]:
    """When each period that is over was charged, and whose it was, in order."""
    found = []
    async with stores.books.read() as conn:
        for account_id in account_ids:
            for period in await periods.of_account(conn, account_id):
                charged = from_epoch_ms(period.end_ms) + NOTICED_AFTER
                if charged <= stores.clock():
                    found.append((charged, account_id))
    return sorted(found)


async def _pay_old(stores: Stores, account_id: str) -> None:
    """Note a bank transfer for every invoice but the newest."""
    shown = await _invoices(stores, stores.clock()).of_account(account_id)
    issued = [one for one in shown if one.status is InvoiceStatus.ISSUED]
    for one in issued[1:]:
        paid_at = datetime.fromisoformat(one.document["issued_at"]) + PAID_AFTER
        flow = _invoices(stores, min(paid_at, stores.clock()))
        await flow.pay(one.id, reason="bank transfer, made up for the demo", actor="demo")


def _invoices(stores: Stores, at: datetime) -> Invoices:
    return Invoices(books=stores.books, plans=stores.current.plans, clock=stopped_at(at), ledger=stores.ledger)


def stopped_at(at: datetime) -> Callable[[], datetime]:
    """A clock that shows one instant."""
    return lambda: at
