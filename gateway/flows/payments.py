"""Invoices paid by the default method when somebody asks, and what was tried. What is due is collected by `dunning`."""

from gateway.books import accounts, audit, invoices, payment_attempts, payment_methods
from gateway.books.audit import AuditEntry
from gateway.books.invoices import BookedInvoice
from gateway.books.payment_attempts import Attempt
from gateway.domain.payment import AttemptState, Trigger
from gateway.flows.ask_provider import asked
from gateway.flows.attempt_payment import Attempts, not_too_often
from gateway.flows.billing import Billing
from gateway.flows.dunning import Collector
from gateway.flows.faults import CallerFault, NoSuchThing, PaymentNeeded
from gateway.payments.fake import Fake
from gateway.payments.provider import Failed, Outcome, Provider


class Payments:
    """All accounts' payments, at the one provider of the settings."""

    def __init__(self, billing: Billing, provider: Provider, attempts: Attempts, collector: Collector) -> None:
        self._billing = billing
        self._provider = provider
        self._attempts = attempts
        self._collector = collector

    @property
    def provider(self) -> str:
        """Its name in the settings."""
        return self._provider.name

    @property
    def charges(self) -> bool:
        """Whether invoices are collected by themselves; False: a person marks them as paid."""
        return self._provider.charges

    async def pay_now(self, account_id: str, invoice_id: str, actor: str, *, return_url: str | None = None) -> Outcome:
        """Pay an invoice by the default method, now. `return_url`: where the card's owner comes back to who confirms.

        NoSuchThing, PaymentNeeded (no method, provider away), CallerFault where nothing is due. A failure is answered,
        and does not count towards the last retry.
        """
        if not self._provider.charges:
            raise CallerFault("this gateway takes no payments by itself; an admin marks invoices as paid")
        for _ in range(2):
            async with self._billing.books.read() as conn:
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
            async with self._billing.books.read() as conn:
                await not_too_often(conn, account_id, await accounts.own_ms(conn, account_id, self._billing.now_ms()))
            attempt = await self._collector.start(invoice.id, trigger=Trigger.ASKED, return_url=return_url)
            if attempt is not None:
                await self._note_asked(attempt, invoice, actor)
                return await asked(self._attempts.make(attempt))
        raise CallerFault(f"invoice {invoice_id} has nothing that can be paid now")

    async def confirm_fake(self, account_id: str, attempt_id: str, *, agreed: bool) -> None:
        """What the owner of a fake card that asks answers. NoSuchThing."""
        async with self._billing.books.read() as conn:
            attempt = await payment_attempts.get(conn, attempt_id)
        if attempt is None or attempt.account_id != account_id or not isinstance(self._provider, Fake):
            raise NoSuchThing("payment", attempt_id)
        await self._provider.confirm(attempt_id, agreed=agreed)
        await self._attempts.resume(attempt)

    async def attempt(self, attempt_id: str) -> Attempt:
        """One attempt, whoever's it is. NoSuchThing."""
        async with self._billing.books.read() as conn:
            attempt = await payment_attempts.get(conn, attempt_id)
        if attempt is None:
            raise NoSuchThing("payment", attempt_id)
        return attempt

    async def attempts(self, account_id: str, *, limit: int = 100) -> list[Attempt]:
        """What was tried, newest first."""
        async with self._billing.books.read() as conn:
            return await payment_attempts.of_account(conn, account_id, limit=limit)

    async def _note_asked(self, attempt: Attempt, invoice: BookedInvoice, actor: str) -> None:
        said = {"number": invoice.number, "amount_cents": attempt.amount_cents, "payment": attempt.id}
        entry = AuditEntry(attempt.started_ms, actor, "invoice.collect", attempt.account_id, invoice.id, said)
        async with self._billing.books.begin() as conn:
            await audit.write(conn, entry)
