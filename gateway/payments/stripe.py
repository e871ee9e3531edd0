"""Stripe: cards are added on Stripe's own page with 3-D Secure, and charged by the gateway, off-session or on.

Each charge is one PaymentIntent with our key as idempotency key and in its metadata: one whose answer was lost is found
again by that, also once Stripe has forgotten the key. Stripe's library is an extra, and its errors stay in here.
Deliberately uses neither Stripe's invoices nor its subscriptions: the books are the truth about what is owed.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.domain.payment import MethodKind
from gateway.payments.provider import (
    ActionRequired,
    Adding,
    AddingKind,
    Charge,
    Customer,
    Failed,
    Outcome,
    Paid,
    Pending,
    ProviderMethod,
    ProviderMissing,
    ProviderUnavailable,
)

if TYPE_CHECKING:
    from stripe import CardError, PaymentIntent, RequestOptions
    from stripe.params import PaymentIntentCreateParams
    from stripe.params.checkout import SessionCreateParams

ANSWER_WITHIN_S: Final = 30.0
CURRENCY: Final = "usd"
# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
LEAST_CENTS: Final = 50
MOST_LISTED: Final = 100
# Asking the bank again is of no use: https://docs.stripe.com/declines/codes
FOR_GOOD: Final = frozenset(
    {
        "expired_card",
        "lost_card",
        "stolen_card",
        "pickup_card",
        "invalid_account",
        "new_account_information_available",
        "restricted_card",
        "resource_missing",
    }
)
T = TypeVar("T")


class Stripe:
    """One account at Stripe. `api_base` is somebody else's address only in tests."""

    name: Final = "stripe"
    charges: Final = True
    least_cents: Final = LEAST_CENTS

    def __init__(self, api_key: str, *, api_base: str | None = None, network_retries: int = 1) -> None:
        try:
            import stripe  # noqa: PLC0415 - an extra, which only those need who use it

            from gateway.payments.stripe_http import Http  # noqa: PLC0415
        except ModuleNotFoundError as missing:
            raise ProviderMissing(
                "payments.provider is stripe, and its library is not installed: pip install 'credit-gateway[stripe]'"
            ) from missing
        self._stripe = stripe
        self._http = Http(ANSWER_WITHIN_S)
        self._client = stripe.StripeClient(
            api_key,
            http_client=self._http,
            max_network_retries=network_retries,
            base_addresses={"api": api_base} if api_base else {},
        )

    async def customer(self, account_id: str) -> str:
        """A customer that knows nothing of the account but its id."""
        made = await self._asked(
            self._client.v1.customers.create_async(
                {"metadata": {"account": account_id}}, {"idempotency_key": f"customer.{account_id}"}
            )
        )
        return made.id

    async def begin_adding(self, customer: Customer, *, return_url: str) -> Adding:
        """Stripe's own page for a card, which asks for 3-D Secure whenever the card has it."""
        params: SessionCreateParams = {
            "mode": "setup",
            "customer": customer.ref,
            "allowed_payment_method_types": ["card"],
            "payment_method_options": {"card": {"request_three_d_secure": "any"}},
            "success_url": return_url,
            "cancel_url": return_url,
            "setup_intent_data": {"metadata": {"account": customer.account_id}},
        }
        session = await self._asked(self._client.v1.checkout.sessions.create_async(params))
        return Adding(AddingKind.REDIRECT, url=session.url)

    async def methods(self, customer: Customer) -> list[ProviderMethod]:
        """The customer's cards, newest first."""
        listed = await self._asked(
            self._client.v1.customers.payment_methods.list_async(customer.ref, {"type": "card", "limit": MOST_LISTED})
        )
        return [
            ProviderMethod(
                one.id, MethodKind.CARD, one.card.brand, one.card.last4, one.card.exp_month, one.card.exp_year
            )
            for one in listed.data
            if one.card is not None
        ]

    async def set_default(self, customer: Customer, method_ref: str) -> None:
        """What people at Stripe's dashboard see as the default."""
        await self._asked(
            self._client.v1.customers.update_async(
                customer.ref, {"invoice_settings": {"default_payment_method": method_ref}}
            )
        )

    async def remove(self, _customer: Customer, method_ref: str) -> None:
        """Detach the card; one that is not attached any more is gone already."""
        try:
            await self._asked(self._client.v1.payment_methods.detach_async(method_ref), about_question=True)
        except self._stripe.InvalidRequestError:
            return

    async def charge(self, charge: Charge, *, again: bool) -> Outcome:
        """One PaymentIntent, confirmed at once. `again`: looked for first, by the key in its metadata."""
        if again and (found := await self._find(charge)) is not None:
            return self._outcome(found)
        params: PaymentIntentCreateParams = {
            "amount": charge.amount_cents,
            "currency": CURRENCY,
            "customer": charge.customer.ref,
            "payment_method": charge.method_ref,
            "allowed_payment_method_types": ["card"],
            "confirm": True,
            "description": charge.description,
            "metadata": {"attempt": charge.key, "account": charge.customer.account_id},
        }
        if charge.on_session:
            params["return_url"] = charge.return_url or ""
            params["payment_method_options"] = {"card": {"request_three_d_secure": "any"}}
        else:
            params["off_session"] = True
        create = self._client.v1.payment_intents.create_async
        try:
            made = await self._asked(create(params, {"idempotency_key": charge.key}), about_question=True)
        except self._stripe.CardError as declined:
            return _declined(declined)
        except self._stripe.InvalidRequestError as wrong:
            return Failed(wrong.code or "invalid_request", retryable=False)
        return self._outcome(made)

    async def look(self, _charge: Charge, ref: str) -> Outcome:
        """The PaymentIntent as it is now."""
        return self._outcome(await self._asked(self._client.v1.payment_intents.retrieve_async(ref)))

    async def cancel(self, charge: Charge, ref: str) -> Outcome:
        """Cancelled, or what it has become meanwhile."""
        try:
            cancelled = self._client.v1.payment_intents.cancel_async(ref)
            return self._outcome(await self._asked(cancelled, about_question=True))
        except self._stripe.InvalidRequestError:
            return await self.look(charge, ref)

    async def refund(self, charge: Charge, ref: str) -> None:
        """Everything, once."""
        options: RequestOptions = {"idempotency_key": f"{charge.key}.refund"}
        try:
            await self._asked(
                self._client.v1.refunds.create_async({"payment_intent": ref}, options), about_question=True
            )
        except self._stripe.InvalidRequestError as wrong:
            if wrong.code != "charge_already_refunded":
                raise ProviderUnavailable(f"a refund was refused ({wrong.code})") from wrong

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()

    async def _find(self, charge: Charge) -> "PaymentIntent | None":
        """The intent that carries our key. Attempts are asked about again soon, so it is among the newest."""
        listed = await self._asked(
            self._client.v1.payment_intents.list_async({"customer": charge.customer.ref, "limit": MOST_LISTED})
        )
        return next(
            (one for one in listed.data if (one.to_dict().get("metadata") or {}).get("attempt") == charge.key), None
        )

    async def _asked(self, question: Awaitable[T], *, about_question: bool = False) -> T:
        """Stripe's answer. Errors about the card pass, with `about_question` those about what was asked as well.

        All others say nothing for sure. No message of Stripe's goes on: it may quote what was sent.
        """
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await question
        except self._stripe.CardError:
            raise
        except self._stripe.StripeError as error:
            if about_question and isinstance(error, self._stripe.InvalidRequestError):
                raise
            raise ProviderUnavailable(f"Stripe answered {type(error).__name__} ({error.http_status})") from error
        except TimeoutError as error:
            raise ProviderUnavailable(f"Stripe did not answer within {ANSWER_WITHIN_S:.0f} s") from error

    def _outcome(self, intent: "PaymentIntent") -> Outcome:
        """What an intent has come to. Members without a value may be left out."""
        read: dict[str, Any] = intent.to_dict()
        match read:
            case {"status": "succeeded"}:
                return Paid(intent.id)
            case {"status": "requires_action", "next_action": {"redirect_to_url": {"url": str() as url}}}:
                return ActionRequired(url, intent.id)
            case {"status": "requires_action"}:
                return Failed("authentication_required", retryable=True, ref=intent.id)
            case {"status": "requires_payment_method"}:
                return _failed(read.get("last_payment_error") or {}, intent.id)
            case {"status": "canceled"}:
                return Failed("canceled", retryable=True, ref=intent.id)
            case _:
                return Pending(intent.id)


def _declined(declined: "CardError") -> Failed:
    """A card that was refused: by which word, and on which intent."""
    body = declined.json_body if isinstance(declined.json_body, dict) else {}
    error = body.get("error") or {}
    return _failed(error, (error.get("payment_intent") or {}).get("id"))


def _failed(error: Mapping[str, Any], ref: str | None) -> Failed:
    reason = str(error.get("decline_code") or error.get("code") or "card_declined")
    return Failed(reason, retryable=reason not in FOR_GOOD, ref=ref)
