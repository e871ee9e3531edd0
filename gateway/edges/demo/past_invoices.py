"""The invoices of the demo's history, issued and paid as they would have been: each in its own time.

The gateway's own closing and collecting do it, at a clock that is wound forward. Who has a card is charged, once in
vain at first; of the others the newest invoice is left to be paid by whoever looks.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from gateway.books import periods
from gateway.domain.instant import from_epoch_ms
from gateway.domain.invoice import InvoiceStatus
from gateway.flows.billing import Billing
from gateway.flows.fake_bank import FakeBank
from gateway.flows.invoices import Invoices
from gateway.flows.issue_invoice import ISSUED_AFTER_MS, Closer
from gateway.flows.till import Till, till_over
from gateway.payments.fake import Fake
from gateway.stores import Stores

PAID_AFTER: Final = timedelta(days=19)
# The background work looks every minute, so an invoice is rarely issued to the second.
NOTICED_AFTER: Final = timedelta(milliseconds=ISSUED_AFTER_MS, minutes=1)
CARD_ADDED_AFTER: Final = timedelta(minutes=4)
# The owner chose a card without funds, and the other one again when the payment had failed.
OTHER_CARD_BEFORE: Final = timedelta(days=6, hours=3)
CARD_BACK_AFTER: Final = timedelta(hours=16, minutes=27)
IN_VAIN: Final = 1


async def issue_past(stores: Stores, account_ids: Sequence[str], *, with_cards: Sequence[str]) -> None:
    """Close every period of these accounts that is over, oldest first, and have its invoice paid.

    The first of `with_cards` paid with a card that had no funds, once.
    """
    cards = [await _add_card(stores, account_id) for account_id in with_cards]
    endings = await _endings(stores, account_ids)
    in_vain = [one for one in endings if one[1] in with_cards[:1]][IN_VAIN : IN_VAIN + 1]
    for at, account_id in endings:
        if (at, account_id) in in_vain:
            await _till(stores, at - OTHER_CARD_BEFORE).methods.add_fake(account_id, "fake_no_funds", actor="demo")
        await Closer(billing_at(stores, at), longest_hold_ms=lambda: 0).close_account(account_id)
        if account_id in with_cards:
            await _till(stores, at).collector.collect(account_id)
        if (at, account_id) in in_vain:
            await _till(stores, at + CARD_BACK_AFTER).methods.set_default(account_id, cards[0], actor="demo")
    for account_id in account_ids:
        if account_id not in with_cards:
            await _pay_old(stores, account_id)


async def _add_card(stores: Stores, account_id: str) -> str:
    """A card that pays, added soon after the account was opened; its id."""
    async with stores.books.read() as conn:
        opened_ms = min(period.start_ms for period in await periods.of_account(conn, account_id))
    till = _till(stores, from_epoch_ms(opened_ms) + CARD_ADDED_AFTER)
    added = await till.methods.add_fake(account_id, "fake_ok", actor="demo")
    await till.collector.collect(account_id)
    return added.id


def _till(stores: Stores, at: datetime) -> Till:
    return till_over(billing_at(stores, at), Fake(FakeBank(stores.books)))


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
    shown = await Invoices(stores.billing).of_account(account_id)
    issued = [one for one in shown if one.status is InvoiceStatus.ISSUED]
    for one in issued[1:]:
        paid_at = datetime.fromisoformat(one.document["issued_at"]) + PAID_AFTER
        flow = Invoices(billing_at(stores, min(paid_at, stores.clock())))
        await flow.pay(one.id, reason="bank transfer, made up for the demo", actor="demo")


def billing_at(stores: Stores, at: datetime) -> Billing:
    """What the flows work with, at a clock that shows one instant."""
    return replace(stores.billing, clock=lambda: at)
