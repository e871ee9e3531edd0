"""How an account pays: its methods, and an invoice paid now.

Methods are added at the provider, never here: no card number reaches the gateway. The books keep what can be shown.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import (
    accounts,
    audit,
    invoice_collections,
    invoices,
    payment_attempts,
    payment_methods,
    subscriptions,
)
from gateway.books.audit import AuditEntry
from gateway.books.books import Books
from gateway.books.invoices import BookedInvoice
from gateway.books.payment_attempts import Attempt
from gateway.books.payment_methods import BookedCustomer, BookedMethod, new_method_id
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.payment import AttemptState, MethodKind, PaymentMethod, Trigger
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus
from gateway.flows.attempt_payment import Attempts, not_too_often
from gateway.flows.dunning import Collector
from gateway.flows.faults import CallerFault, NoSuchThing, PaymentNeeded
from gateway.payments.fake import TEST_CARDS, Fake, fake_method
from gateway.payments.provider import (
    Adding,
    AddingKind,
    Customer,
    Failed,
    Outcome,
    Provider,
    ProviderMethod,
    ProviderUnavailable,
)

MOST_METHODS: Final = 20
# A page for adding a card stays open no longer.
ADDING_WITHIN_MS: Final = DAY_MS
T = TypeVar("T")


class Payments:
    """All accounts' payment methods and payments, at the one provider of the settings."""

    def __init__(
        self,
        *,
        books: Books,
        provider: Provider,
        attempts: Attempts,
        collector: Collector,
        plans: Callable[[], Mapping[str, Plan]],
        clock: Callable[[], datetime],
    ) -> None:
        self._books = books
        self._provider = provider
        self._attempts = attempts
        self._collector = collector
        self._plans = plans
        self._clock = clock

    @property
    def provider(self) -> str:
        """Its name in the settings."""
        return self._provider.name

    @property
    def charges(self) -> bool:
        """Whether invoices are collected by themselves; False: a person marks them as paid."""
        return self._provider.charges

    async def methods(self, account_id: str) -> list[PaymentMethod]:
        """The account's methods, the default first. NoSuchThing.

        While one may just have been added at the provider, it is asked; where it is away, what is known is shown.
        """
        async with self._books.read() as conn:
            if await accounts.get(conn, account_id) is None:
                raise NoSuchThing("account", account_id)
            customer = await payment_methods.customer(conn, account_id, self._provider.name)
        if not self._provider.charges:
            transfer = MethodKind.BANK_TRANSFER
            return [PaymentMethod(transfer.value, transfer, "", "", None, None, default=True)]
        if customer is not None and customer.adding_since_ms is not None:
            with suppress(ProviderUnavailable):  # the webhook, or whoever looks next, brings it
                await self.refresh(account_id)
        async with self._books.read() as conn:
            booked = await payment_methods.of_account(conn, account_id, self._provider.name)
        return [_shown(one) for one in sorted(booked, key=lambda one: not one.is_default)]

    async def begin_adding(self, account_id: str, *, return_url: str) -> Adding:
        """What the owner does next to add a method. NoSuchThing, PaymentNeeded where the provider is away."""
        customer = await self._customer(account_id)
        adding = await asked(self._provider.begin_adding(_told(customer), return_url=return_url))
        if adding.kind is AddingKind.REDIRECT:
            async with self._books.begin() as conn:
                await payment_methods.set_adding(conn, account_id, self._provider.name, self._now_ms())
        return adding

    async def add_fake(self, account_id: str, test_card: str, *, actor: str) -> PaymentMethod:
        """Add a test card of the fake provider; it becomes the default. NoSuchThing, CallerFault."""
        if not isinstance(self._provider, Fake):
            raise CallerFault("test cards are for the provider `fake`; this gateway's is another")
        if test_card not in TEST_CARDS:
            raise CallerFault(f"there is no test card {test_card!r}; there are {', '.join(TEST_CARDS)}")
        await self._customer(account_id)
        method_id = new_method_id()
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            await self._open_account(conn, account_id)
            known = await payment_methods.of_account(conn, account_id, self._provider.name)
            if len(known) >= MOST_METHODS:
                raise CallerFault(f"an account has at most {MOST_METHODS} payment methods; remove one first")
            added = _booked(account_id, self._provider.name, method_id, fake_method(test_card, method_id), at_ms)
            await payment_methods.add(conn, added)
            await self._make_default(conn, added, known, at_ms=at_ms, actor=actor, action="payment_method.add")
        await self._collect_now(account_id)
        return _shown(replace(added, is_default=True))

    async def set_default(self, account_id: str, method_id: str, actor: str) -> None:
        """Charge this one from now on; what is past due is tried with it at once. NoSuchThing, PaymentNeeded."""
        customer, method = await self._mine(account_id, method_id)
        await asked(self._provider.set_default(_told(customer), method.ref))
        at_ms = self._now_ms()
        async with self._books.begin() as conn:
            await self._open_account(conn, account_id)
            known = await payment_methods.of_account(conn, account_id, self._provider.name)
            if not any(one.id == method_id for one in known):
                raise NoSuchThing("payment method", method_id)
            await self._make_default(conn, method, known, at_ms=at_ms, actor=actor, action="payment_method.default")
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
            await self._keep_after_all(method, actor)
            raise
        await self._collect_now(account_id)

    async def _forget(self, method: BookedMethod, actor: str) -> None:
        account_id, at_ms = method.account_id, self._now_ms()
        async with self._books.begin() as conn:
            await self._open_account(conn, account_id)
            await self._may_be_removed(conn, account_id, method.id, at_ms)
            await payment_methods.remove(conn, method.id, at_ms)
            await _note(
                conn,
                account_id,
                method.id,
                "payment_method.remove",
                actor=actor,
                at_ms=at_ms,
                detail={"last4": method.last4},
            )
            left = await payment_methods.of_account(conn, account_id, self._provider.name)
            if left and not any(one.is_default for one in left):
                action = "payment_method.default"
                await self._make_default(conn, left[-1], left, at_ms=at_ms, actor=actor, action=action)

    async def _keep_after_all(self, method: BookedMethod, actor: str) -> None:
        """The provider could not be told, so it still has the method; a process that dies here leaves that to it."""
        async with self._books.begin() as conn:
            await accounts.get(conn, method.account_id, lock=True)
            await payment_methods.revise(conn, method)
            detail = {"last4": method.last4, "reason": "the provider could not be told that it was removed"}
            await _note(
                conn,
                method.account_id,
                method.id,
                "payment_method.add",
                actor=actor,
                at_ms=self._now_ms(),
                detail=detail,
            )
            if method.is_default:
                known = await payment_methods.of_account(conn, method.account_id, self._provider.name)
                action, at_ms = "payment_method.default", self._now_ms()
                await self._make_default(conn, method, known, at_ms=at_ms, actor=actor, action=action)

    async def pay_now(self, account_id: str, invoice_id: str, actor: str, *, return_url: str | None = None) -> Outcome:
        """Pay an invoice by the default method, now. `return_url`: where the card's owner comes back to who confirms.

        NoSuchThing, PaymentNeeded (no method, provider away), CallerFault where nothing is due. A failure is answered,
        and does not count towards the last retry.
        """
        if not self._provider.charges:
            raise CallerFault("this gateway takes no payments by itself; an admin marks invoices as paid")
        for _ in range(2):
            async with self._books.read() as conn:
                invoice = await invoices.find(conn, invoice_id)
                if invoice is None or invoice.account_id != account_id:
                    raise NoSuchThing("invoice", invoice_id)
                held = await payment_attempts.holding(conn, invoice.id)
                method = await payment_methods.default(conn, account_id, self._provider.name)
            if held is not None and held.state is not AttemptState.SUCCEEDED:
                if held.provider != self._provider.name:
                    raise CallerFault(f"invoice {invoice.number} is being paid through {held.provider}; wait for that")
                # Who has another card now does not wait for the one that asks to be confirmed.
                other = method is not None and method.id != held.method_id
                outcome = await asked(self._attempts.resume(held, give_up=other))
                if other and isinstance(outcome, Failed):
                    continue
                if outcome is not None:
                    return outcome
            if method is None:
                raise PaymentNeeded("no_payment_method", "add a payment method first")
            async with self._books.read() as conn:
                await not_too_often(conn, account_id, await accounts.own_ms(conn, account_id, self._now_ms()))
            trigger = Trigger.ASKED
            attempt = await self._collector.start(invoice.id, trigger=trigger, return_url=return_url)
            if attempt is not None:
                await self._note_asked(attempt, invoice, actor)
                return await asked(self._attempts.make(attempt))
        raise CallerFault(f"invoice {invoice_id} has nothing that can be paid now")

    async def confirm_fake(self, account_id: str, attempt_id: str, *, agreed: bool) -> None:
        """What the owner of a fake card that asks answers. NoSuchThing."""
        async with self._books.read() as conn:
            attempt = await payment_attempts.get(conn, attempt_id)
        if attempt is None or attempt.account_id != account_id or not isinstance(self._provider, Fake):
            raise NoSuchThing("payment", attempt_id)
        await self._provider.confirm(attempt_id, agreed=agreed)
        await self._attempts.resume(attempt)

    async def attempt(self, attempt_id: str) -> Attempt:
        """One attempt, whoever's it is. NoSuchThing."""
        async with self._books.read() as conn:
            attempt = await payment_attempts.get(conn, attempt_id)
        if attempt is None:
            raise NoSuchThing("payment", attempt_id)
        return attempt

    async def attempts(self, account_id: str, *, limit: int = 100) -> list[Attempt]:
        """What was tried, newest first."""
        async with self._books.read() as conn:
            return await payment_attempts.of_account(conn, account_id, limit=limit)

    async def refresh(self, account_id: str) -> None:
        """Have the books know the methods that the provider knows. ProviderUnavailable.

        A method that is new becomes the default: somebody has just added it.
        """
        customer = await self._customer(account_id)
        there = (await self._provider.methods(_told(customer)))[:MOST_METHODS]
        name, at_ms = self._provider.name, self._now_ms()
        async with self._books.begin() as conn:
            await accounts.get(conn, account_id, lock=True)
            known = await payment_methods.of_account(conn, account_id, name)
            booked = await payment_methods.of_ref(conn, name, [one.ref for one in there])
            new = await self._take_over(conn, account_id, there, booked, at_ms)
            gone = [one for one in known if one.ref not in {now.ref for now in there}]
            for one in gone:
                await payment_methods.remove(conn, one.id, at_ms)
                await _note(
                    conn,
                    account_id,
                    one.id,
                    "payment_method.remove",
                    actor=name,
                    at_ms=at_ms,
                    detail={"last4": one.last4},
                )
            left = await payment_methods.of_account(conn, account_id, name)
            if new or (left and not any(one.is_default for one in left)):
                chosen = new[-1] if new else left[-1]
                action = "payment_method.add" if new else "payment_method.default"
                await self._make_default(conn, chosen, left, at_ms=at_ms, actor=name, action=action)
            since_ms = customer.adding_since_ms
            if since_ms is not None and (new or at_ms - since_ms > ADDING_WITHIN_MS):
                await payment_methods.set_adding(conn, account_id, name, None)
        if new:
            await self._provider.set_default(_told(customer), new[-1].ref)
        await self._collect_now(account_id)

    async def _take_over(
        self,
        conn: AsyncConnection,
        account_id: str,
        there: Sequence[ProviderMethod],
        booked: Mapping[str, BookedMethod],
        at_ms: int,
    ) -> list[BookedMethod]:
        """Book what the provider has; those that are new here, oldest first as the provider lists newest first."""
        new = []
        for one in reversed(there):
            before = booked.get(one.ref)
            if before is not None and before.account_id != account_id:
                continue
            now = _booked(account_id, self._provider.name, new_method_id(), one, at_ms)
            if before is not None:
                await payment_methods.revise(conn, replace(now, id=before.id))
                continue
            await payment_methods.add(conn, now)
            new.append(now)
        return new

    async def _make_default(
        self,
        conn: AsyncConnection,
        method: BookedMethod,
        known: Sequence[BookedMethod],
        *,
        at_ms: int,
        actor: str,
        action: str,
    ) -> None:
        """Charge this one; what is past due is to be tried with it at once."""
        before = next((one for one in known if one.is_default), None)
        await payment_methods.set_default(conn, method.account_id, method.provider, method.id)
        if before is None or before.id != method.id:
            await invoice_collections.ask(conn, method.account_id, at_ms)
        said = {"default_before": None if before is None else before.id, "brand": method.brand, "last4": method.last4}
        await _note(conn, method.account_id, method.id, action, actor=actor, at_ms=at_ms, detail=said)

    async def _collect_now(self, account_id: str) -> None:
        """Try what is past due with the new card; where the provider is away, the background work does."""
        try:
            await self._collector.collect(account_id, only_past_due=True)
        except ProviderUnavailable:
            return

    async def _may_be_removed(self, conn: AsyncConnection, account_id: str, method_id: str, at_ms: int) -> None:
        known = await payment_methods.of_account(conn, account_id, self._provider.name)
        if all(one.id != method_id for one in known):
            raise NoSuchThing("payment method", method_id)
        if len(known) > 1:
            return
        if await invoice_collections.past_due(conn, account_id):
            raise CallerFault("an invoice is past due; pay it, or add another payment method, before removing this one")
        agreed = await subscriptions.of_account(conn, account_id)
        plan = next((self._plans().get(one.plan_id) for one in agreed if one.in_force(at_ms)), None)
        if plan is not None and plan.price_cents > 0 and not plan.contract:
            raise CallerFault(f"plan {plan.name} is paid by this; add another payment method, or go to Free, first")

    async def _customer(self, account_id: str) -> BookedCustomer:
        """The account as the provider knows it, told of it now where it was not."""
        name = self._provider.name
        async with self._books.read() as conn:
            if await accounts.get(conn, account_id) is None:
                raise NoSuchThing("account", account_id)
            known = await payment_methods.customer(conn, account_id, name)
        if known is not None:
            return known
        ref = await asked(self._provider.customer(account_id))
        async with self._books.begin() as conn:
            await payment_methods.add_customer(conn, account_id, name, ref)
            return await payment_methods.customer(conn, account_id, name) or BookedCustomer(account_id, ref, None)

    async def _mine(self, account_id: str, method_id: str) -> tuple[BookedCustomer, BookedMethod]:
        async with self._books.read() as conn:
            known = await payment_methods.of_account(conn, account_id, self._provider.name)
            customer = await payment_methods.customer(conn, account_id, self._provider.name)
        for one in known:
            if one.id == method_id and customer is not None:
                return customer, one
        raise NoSuchThing("payment method", method_id)

    async def _open_account(self, conn: AsyncConnection, account_id: str) -> None:
        account = await accounts.get(conn, account_id, lock=True)
        if account is None:
            raise NoSuchThing("account", account_id)
        if account.status is AccountStatus.CLOSED:
            raise CallerFault(f"account {account_id} is closed")

    async def _note_asked(self, attempt: Attempt, invoice: BookedInvoice, actor: str) -> None:
        said = {"number": invoice.number, "amount_cents": attempt.amount_cents, "payment": attempt.id}
        async with self._books.begin() as conn:
            await _note(
                conn,
                attempt.account_id,
                invoice.id,
                "invoice.collect",
                actor=actor,
                at_ms=attempt.started_ms,
                detail=said,
            )

    def _now_ms(self) -> int:
        return epoch_ms(self._clock())


async def asked(question: Awaitable[T]) -> T:
    """The provider's answer, for somebody who waits for it. PaymentNeeded where it is away."""
    try:
        return await question
    except ProviderUnavailable as away:
        raise PaymentNeeded(
            "provider_unavailable",
            "the payment provider cannot be reached now; what was begun is asked about again, so try again later",
        ) from away


def _told(customer: BookedCustomer) -> Customer:
    return Customer(customer.account_id, customer.ref)


def _booked(account_id: str, provider: str, method_id: str, method: ProviderMethod, at_ms: int) -> BookedMethod:
    return BookedMethod(
        id=method_id,
        account_id=account_id,
        provider=provider,
        ref=method.ref,
        kind=method.kind,
        brand=method.brand,
        last4=method.last4,
        exp_month=method.exp_month,
        exp_year=method.exp_year,
        is_default=False,
        added_ms=at_ms,
        removed_ms=None,
    )


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


async def _note(
    conn: AsyncConnection,
    account_id: str,
    subject_id: str,
    action: str,
    *,
    actor: str,
    at_ms: int,
    detail: Mapping[str, Any],
) -> None:
    await audit.write(conn, AuditEntry(at_ms, actor, action, account_id, subject_id, detail))
