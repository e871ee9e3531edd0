"""How an account pays: its payment methods, listed, added, charged by default, removed.

Methods are added at the provider, never here: no card number reaches the gateway. The books keep what can be shown.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, invoice_collections, payment_methods, subscriptions
from gateway.books.payment_methods import BookedCustomer, BookedMethod, new_method_id
from gateway.domain.instant import DAY_MS
from gateway.domain.payment import MethodKind, PaymentMethod
from gateway.flows.ask_provider import asked
from gateway.flows.billing import Billing
from gateway.flows.dunning import Collector
from gateway.flows.faults import CallerFault, NoSuchThing, PaymentNeeded
from gateway.flows.known_account import known_account, open_account
from gateway.flows.method_changes import booked, keep_after_all, make_default, remove, take_over
from gateway.payments.fake import TEST_CARDS, Fake, fake_method
from gateway.payments.provider import Adding, AddingKind, Customer, Provider, ProviderUnavailable

MOST_METHODS: Final = 20
# A page for adding a card stays open no longer.
ADDING_WITHIN_MS: Final = DAY_MS


class PaymentMethods:
    """All accounts' methods at the one provider of the settings."""

    def __init__(self, billing: Billing, provider: Provider, collector: Collector) -> None:
        self._billing = billing
        self._provider = provider
        self._collector = collector

    async def of_account(self, account_id: str) -> list[PaymentMethod]:
        """The account's methods, the default first. NoSuchThing.

        While one may just have been added at the provider, it is asked; where it is away, what is known is shown.
        """
        async with self._billing.books.read() as conn:
            await known_account(conn, account_id)
            customer = await payment_methods.customer(conn, account_id, self._provider.name)
        if not self._provider.charges:
            transfer = MethodKind.BANK_TRANSFER
            return [PaymentMethod(transfer.value, transfer, "", "", None, None, default=True)]
        if customer is not None and customer.adding_since_ms is not None:
            with suppress(ProviderUnavailable):  # the webhook, or whoever looks next, brings it
                await self.refresh(account_id)
        async with self._billing.books.read() as conn:
            known = await payment_methods.of_account(conn, account_id, self._provider.name)
        return [_shown(one) for one in sorted(known, key=lambda one: not one.is_default)]

    async def begin_adding(self, account_id: str, *, return_url: str) -> Adding:
        """What the owner does next to add a method. NoSuchThing, PaymentNeeded where the provider is away."""
        customer = await self._customer(account_id)
        adding = await asked(self._provider.begin_adding(_told(customer), return_url=return_url))
        if adding.kind is AddingKind.REDIRECT:
            async with self._billing.books.begin() as conn:
                await payment_methods.set_adding(conn, account_id, self._provider.name, self._billing.now_ms())
        return adding

    async def add_fake(self, account_id: str, test_card: str, *, actor: str) -> PaymentMethod:
        """Add a test card of the fake provider; it becomes the default. NoSuchThing, CallerFault."""
        if not isinstance(self._provider, Fake):
            raise CallerFault("test cards are for the provider `fake`; this gateway's is another")
        if test_card not in TEST_CARDS:
            raise CallerFault(f"there is no test card {test_card!r}; there are {', '.join(TEST_CARDS)}")
        await self._customer(account_id)
        method_id, name = new_method_id(), self._provider.name
        at_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            await open_account(conn, account_id)
            known = await payment_methods.of_account(conn, account_id, name)
            if len(known) >= MOST_METHODS:
                raise CallerFault(f"an account has at most {MOST_METHODS} payment methods; remove one first")
            added = booked(account_id, name, method_id, fake_method(test_card, method_id), at_ms)
            await payment_methods.add(conn, added)
            await make_default(conn, added, known, at_ms=at_ms, actor=actor, action="payment_method.add")
        await self._collect_now(account_id)
        return _shown(replace(added, is_default=True))

    async def set_default(self, account_id: str, method_id: str, actor: str) -> None:
        """Charge this one from now on; what is past due is tried with it at once. NoSuchThing, PaymentNeeded."""
        customer, method = await self._mine(account_id, method_id)
        await asked(self._provider.set_default(_told(customer), method.ref))
        at_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            await open_account(conn, account_id)
            known = await payment_methods.of_account(conn, account_id, self._provider.name)
            if not any(one.id == method_id for one in known):
                raise NoSuchThing("payment method", method_id)
            await make_default(conn, method, known, at_ms=at_ms, actor=actor)
        await self._collect_now(account_id)

    async def remove(self, account_id: str, method_id: str, actor: str) -> None:
        """Forget a method; another becomes the default where it was. NoSuchThing, PaymentNeeded.

        CallerFault for the last one of an account that owes, or whose plan has a price.
        """
        customer, method = await self._mine(account_id, method_id)
        # In the books first, behind the account's lock: of two that are removed at once, one may be the last.
        await self._forget(method, actor)
        try:
            await asked(self._provider.remove(_told(customer), method.ref))
        except PaymentNeeded:
            # A process that dies before this leaves it to whoever refreshes next.
            async with self._billing.books.begin() as conn:
                await accounts.get(conn, account_id, lock=True)
                await keep_after_all(conn, method, at_ms=self._billing.now_ms(), actor=actor)
            raise
        await self._collect_now(account_id)

    async def _forget(self, method: BookedMethod, actor: str) -> None:
        account_id, at_ms = method.account_id, self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            await open_account(conn, account_id)
            await self._may_be_removed(conn, account_id, method.id, at_ms)
            await remove(conn, method, at_ms=at_ms, actor=actor)
            left = await payment_methods.of_account(conn, account_id, self._provider.name)
            if left and not any(one.is_default for one in left):
                await make_default(conn, left[-1], left, at_ms=at_ms, actor=actor)

    async def refresh(self, account_id: str) -> None:
        """Have the books know the methods that the provider knows. ProviderUnavailable.

        A method that is new becomes the default: somebody has just added it.
        """
        customer = await self._customer(account_id)
        there = (await self._provider.methods(_told(customer)))[:MOST_METHODS]
        name, at_ms = self._provider.name, self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            await accounts.get(conn, account_id, lock=True)
            known = await payment_methods.of_account(conn, account_id, name)
            new = await take_over(conn, account_id, name, there, at_ms)
            for gone in known:
                if gone.ref not in {one.ref for one in there}:
                    await remove(conn, gone, at_ms=at_ms, actor=name)
            left = await payment_methods.of_account(conn, account_id, name)
            if new:
                await make_default(conn, new[-1], left, at_ms=at_ms, actor=name, action="payment_method.add")
            elif left and not any(one.is_default for one in left):
                await make_default(conn, left[-1], left, at_ms=at_ms, actor=name)
            since_ms = customer.adding_since_ms
            if since_ms is not None and (new or at_ms - since_ms > ADDING_WITHIN_MS):
                await payment_methods.set_adding(conn, account_id, name, None)
        if new:
            await self._provider.set_default(_told(customer), new[-1].ref)
        await self._collect_now(account_id)

    async def _collect_now(self, account_id: str) -> None:
        """Try what is past due with the new card; where the provider is away, the background work does."""
        with suppress(ProviderUnavailable):
            await self._collector.collect(account_id, only_past_due=True)

    async def _may_be_removed(self, conn: AsyncConnection, account_id: str, method_id: str, at_ms: int) -> None:
        known = await payment_methods.of_account(conn, account_id, self._provider.name)
        if all(one.id != method_id for one in known):
            raise NoSuchThing("payment method", method_id)
        if len(known) > 1:
            return
        if await invoice_collections.past_due(conn, account_id):
            raise CallerFault("an invoice is past due; pay it, or add another payment method, before removing this one")
        agreed = await subscriptions.of_account(conn, account_id)
        plan = next((self._billing.plans().get(one.plan_id) for one in agreed if one.in_force(at_ms)), None)
        if plan is not None and plan.price_cents > 0 and not plan.contract:
            raise CallerFault(f"plan {plan.name} is paid by this; add another payment method, or go to Free, first")

    async def _customer(self, account_id: str) -> BookedCustomer:
        """The account as the provider knows it, told of it now where it was not."""
        name = self._provider.name
        async with self._billing.books.read() as conn:
            await known_account(conn, account_id)
            known = await payment_methods.customer(conn, account_id, name)
        if known is not None:
            return known
        ref = await asked(self._provider.customer(account_id))
        async with self._billing.books.begin() as conn:
            await payment_methods.add_customer(conn, account_id, name, ref)
            return await payment_methods.customer(conn, account_id, name) or BookedCustomer(account_id, ref, None)

    async def _mine(self, account_id: str, method_id: str) -> tuple[BookedCustomer, BookedMethod]:
        async with self._billing.books.read() as conn:
            known = await payment_methods.of_account(conn, account_id, self._provider.name)
            customer = await payment_methods.customer(conn, account_id, self._provider.name)
        for one in known:
            if one.id == method_id and customer is not None:
                return customer, one
        raise NoSuchThing("payment method", method_id)


def _told(customer: BookedCustomer) -> Customer:
    return Customer(customer.account_id, customer.ref)


def _shown(method: BookedMethod) -> PaymentMethod:
    return PaymentMethod(
        method.id,
        method.kind,
        method.brand,
        method.last4,
        method.exp_month,
        method.exp_year,
        default=method.is_default,
    )
