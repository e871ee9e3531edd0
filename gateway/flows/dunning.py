"""Collecting issued invoices: by the default method when they are due, and again by schedule where that failed.

Runs in any number of processes: an invoice has one attempt under way at most. Accounts without a method, and all
accounts under a provider that takes no money by itself, just keep their invoices due: nobody is suspended for a bank
transfer that is late; a person decides that.
"""

import asyncio
from dataclasses import replace
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import (
    accounts,
    invoice_collections,
    invoices,
    payment_attempts,
    payment_events,
    payment_methods,
)
from gateway.books.faults import BooksUnavailable
from gateway.books.invoice_collections import Collection, DueInvoice
from gateway.books.invoices import BookedInvoice
from gateway.books.payment_attempts import Attempt
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.invoice import InvoiceEvent, next_status
from gateway.domain.payment import CollectionState, Trigger
from gateway.flows.attempt_payment import Attempts, new_attempt
from gateway.flows.billing import Billing
from gateway.flows.dunning_rules import become_free, failed_by_schedule, settle
from gateway.flows.faults import InvoicingStopped
from gateway.flows.in_redis import InRedis
from gateway.payments.provider import Provider, ProviderUnavailable

LOOK_EVERY_S: Final = 20.0
PAGE: Final = 200
# Providers repeat what was not taken for some days, and on demand for a month. A repeat after that changes nothing.
KEEP_NEWS_MS: Final = 40 * DAY_MS
TRIM_EVERY_MS: Final = HOUR_MS
NO_METHOD: Final = "no_payment_method"

log = structlog.get_logger()


class Collector:
    """Collects what is due. One per process."""

    def __init__(self, billing: Billing, provider: Provider, attempts: Attempts) -> None:
        self._billing = billing
        self._provider = provider
        self._attempts = attempts
        self._trimmed_ms = 0

    async def run(self) -> None:
        """Collects until cancelled, through any absence of the books or the provider."""
        while True:
            try:
                await self.turn()
            except (BooksUnavailable, ProviderUnavailable) as away:
                log.warning("invoices wait to be collected", reason=str(away))
            await asyncio.sleep(LOOK_EVERY_S)

    async def turn(self) -> int:
        """What was paid another way is settled, what is undecided asked about, what is due tried; how many tries."""
        await self._settle_meanwhile()
        if not self._provider.charges:
            return 0
        await self._forget_old_news()
        while await self._attempts.turn(limit=PAGE) == PAGE:
            pass
        return await self.collect()

    async def collect(self, account_id: str | None = None, *, only_past_due: bool = False) -> int:
        """Try everything that is due, of one account or of all; how many tries. ProviderUnavailable."""
        tried = await self._collect(account_id, only_past_due=only_past_due)
        last = "" if account_id is None else None
        while last is not None and (ahead := await self._ahead(last)):
            for sandbox in ahead:
                tried += await self._collect(sandbox, only_past_due=only_past_due)
            last = ahead[-1]
        return tried

    async def _ahead(self, after: str) -> list[str]:
        """Accounts that owe by clocks of their own, which are ahead."""
        async with self._billing.books.read() as conn:
            return await invoice_collections.sandboxes(conn, after=after, limit=PAGE)

    async def _collect(self, account_id: str | None, *, only_past_due: bool) -> int:
        tried, last = 0, ""
        while chosen := await self._due(account_id, last, only_past_due=only_past_due):
            for one in chosen:
                try:
                    tried += await self._collect_one(one)
                except (BooksUnavailable, ProviderUnavailable):
                    raise
                except Exception:
                    # Of one account's making: the others' invoices are collected, and serving goes on.
                    log.exception("collecting failed", account_id=one.account_id, invoice_id=one.invoice_id)
            last = chosen[-1].invoice_id
        return tried

    async def _collect_one(self, due: DueInvoice) -> bool:
        trigger = Trigger.SCHEDULE if due.by_schedule else Trigger.CARD_CHANGED
        started = await self.start(due.invoice_id, trigger=trigger)
        if started is None:
            return False
        await self._attempts.make(started)
        return True

    async def start(self, invoice_id: str, *, trigger: Trigger, return_url: str | None = None) -> Attempt | None:
        """Keep a new attempt; None where nothing is due, one is under way or has paid it, or there is no method.

        By schedule, having no method any more is a failure like any other.
        """
        now_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            invoice = await self._payable(conn, invoice_id)
            if invoice is None or await payment_attempts.holding(conn, invoice.id) is not None:
                return None
            at_ms = await accounts.own_ms(conn, invoice.account_id, now_ms)
            collection = await invoice_collections.get(conn, invoice.id)
            # Another process may have tried since this one looked.
            if collection is not None and not _wanted(collection, trigger, at_ms):
                return None
            name = self._provider.name
            method = await payment_methods.default(conn, invoice.account_id, name)
            customer = await payment_methods.customer(conn, invoice.account_id, name)
            if method is not None and customer is not None:
                if collection is not None:
                    await invoice_collections.put(conn, replace(collection, asked_ms=None))
                attempt = new_attempt(
                    account_id=invoice.account_id,
                    provider=name,
                    customer_ref=customer.ref,
                    method=method,
                    amount_cents=invoice.due_cents,
                    description=f"Invoice {invoice.number}",
                    trigger=trigger,
                    at_ms=at_ms,
                    asked_ms=now_ms,
                    invoice_id=invoice.id,
                    return_url=return_url,
                )
                await payment_attempts.add(conn, attempt)
                return attempt
        if collection is not None and trigger is Trigger.SCHEDULE:
            await self._fail_without_method(invoice, now_ms)
        return None

    async def _payable(self, conn: AsyncConnection, invoice_id: str) -> BookedInvoice | None:
        """The invoice, with its account locked; None where there is nothing for the provider to take."""
        seen = await invoices.find(conn, invoice_id)
        if seen is None:
            return None
        await accounts.get(conn, seen.account_id, lock=True)
        invoice = await invoices.find(conn, invoice_id, lock=True)
        if invoice is None or next_status(invoice.status, InvoiceEvent.PAY) is None:
            return None
        return invoice if invoice.due_cents >= max(1, self._provider.least_cents) else None

    async def _fail_without_method(self, seen: BookedInvoice, at_ms: int) -> None:
        known = await self._billing.in_redis(seen.account_id)
        try:
            await self._failed(seen.id, known, at_ms, to_the_end=True)
        except InvoicingStopped:
            log.exception("an account cannot become Free", account_id=seen.account_id)
            await self._failed(seen.id, known, at_ms, to_the_end=False)
        await self._billing.tell(seen.account_id)

    async def _failed(self, invoice_id: str, known: InRedis, at_ms: int, *, to_the_end: bool) -> None:
        async with self._billing.books.begin() as conn:
            invoice = await self._payable(conn, invoice_id)
            collection = await invoice_collections.get(conn, invoice_id)
            if invoice is None or collection is None:
                return
            at_ms = await accounts.own_ms(conn, invoice.account_id, at_ms)
            if not _wanted(collection, Trigger.SCHEDULE, at_ms):
                return
            state = await failed_by_schedule(conn, self._billing.plans(), invoice, NO_METHOD, at_ms=at_ms)
            if state is CollectionState.GIVEN_UP and to_the_end:
                await become_free(conn, self._billing.plans(), invoice, known=known, at_ms=at_ms)

    async def _due(self, account_id: str | None, after: str, *, only_past_due: bool) -> list[DueInvoice]:
        at_ms = self._billing.now_ms()
        async with self._billing.books.read() as conn:
            return await invoice_collections.due(
                conn,
                self._provider.name,
                at_ms=at_ms if account_id is None else await accounts.own_ms(conn, account_id, at_ms),
                least_cents=self._provider.least_cents,
                account_id=account_id,
                only_past_due=only_past_due,
                after=after,
                limit=PAGE,
            )

    async def _settle_meanwhile(self) -> None:
        """Whose invoices were paid by hand, voided or credited is active again."""
        async with self._billing.books.read() as conn:
            settled = await invoice_collections.settled_meanwhile(conn, limit=PAGE)
        for invoice_id, account_id in settled:
            try:
                async with self._billing.books.begin() as conn:
                    await accounts.get(conn, account_id, lock=True)
                    at_ms = await accounts.own_ms(conn, account_id, self._billing.now_ms())
                    await settle(conn, account_id, invoice_id, at_ms=at_ms)
            except BooksUnavailable:
                raise
            except Exception:
                # Of one account's making: the others are served, and collecting goes on.
                log.exception("settling failed", account_id=account_id, invoice_id=invoice_id)
                continue
            await self._billing.tell(account_id)

    async def _forget_old_news(self) -> None:
        now_ms = self._billing.now_ms()
        if now_ms - self._trimmed_ms < TRIM_EVERY_MS:
            return
        self._trimmed_ms = now_ms
        forgotten = True
        while forgotten:
            async with self._billing.books.begin() as conn:
                forgotten = bool(await payment_events.trim(conn, before_ms=now_ms - KEEP_NEWS_MS))


def _wanted(collection: Collection, trigger: Trigger, at_ms: int) -> bool:
    """Whether this is still to be tried for that reason. Somebody who asks may always try."""
    match trigger:
        case Trigger.SCHEDULE:
            past_due = collection.state is CollectionState.PAST_DUE
            return past_due and collection.next_try_ms is not None and collection.next_try_ms <= at_ms
        case Trigger.CARD_CHANGED:
            return collection.asked_ms is not None
        case _:
            return True
