"""What a payment provider's webhooks tell. Believed in nothing: the provider itself is asked what is so.

That is why repeats, and news that come in another order than they happened, change nothing.
"""

from typing import assert_never

from gateway.books import payment_attempts, payment_events, payment_methods
from gateway.flows.attempt_payment import Attempts, charge_of
from gateway.flows.billing import Billing
from gateway.flows.payment_methods import PaymentMethods
from gateway.payments.provider import Provider
from gateway.wire.stripe_event import AboutCustomer, AboutPayment, StripeEvent


class PaymentNews:
    """Heeds signed news of the one provider."""

    def __init__(self, billing: Billing, provider: Provider, attempts: Attempts, methods: PaymentMethods) -> None:
        self._billing = billing
        self._provider = provider
        self._attempts = attempts
        self._methods = methods

    async def heed(self, event: StripeEvent) -> bool:
        """Ask about what the event is about; False where it was heeded before, or is about nothing of ours.

        ProviderUnavailable: the provider delivers it again. The event is noted last, so that no crash loses it.
        """
        async with self._billing.books.read() as conn:
            if await payment_events.seen(conn, event.id):
                return False
        match event.about:
            case AboutPayment(attempt_id=attempt_id, ref=ref):
                ours = await self._payment(attempt_id, ref)
            case AboutCustomer(ref=ref):
                ours = await self._customer(ref)
            case None:
                ours = False
            case _:
                assert_never(event.about)
        async with self._billing.books.begin() as conn:
            at_ms = self._billing.now_ms()
            await payment_events.note(conn, event.id, provider=self._provider.name, kind=event.type, at_ms=at_ms)
        return ours

    async def _payment(self, attempt_id: str, ref: str) -> bool:
        async with self._billing.books.read() as conn:
            attempt = await payment_attempts.get(conn, attempt_id)
        if attempt is None or attempt.provider != self._provider.name or attempt.provider_ref not in {None, ref}:
            return False
        await self._attempts.record(attempt.id, await self._provider.look(charge_of(attempt), ref))
        return True

    async def _customer(self, ref: str) -> bool:
        async with self._billing.books.read() as conn:
            account_id = await payment_methods.account_of(conn, self._provider.name, ref)
        if account_id is None:
            return False
        await self._methods.refresh(account_id)
        return True
