"""How an account pays: its payment methods, an invoice paid now, and what was tried.

No card number reaches the gateway: methods are added at the provider, where the answer sends the owner.
"""

from typing import Any

from pydantic import Field

from gateway.books.payment_attempts import Attempt
from gateway.domain.admission import RefusalCode
from gateway.domain.payment import PaymentMethod
from gateway.edges.api.endpoint import Answer, Area, Ask, Document, Endpoint, Strict
from gateway.edges.api.replies import limits as replies
from gateway.edges.api.usage_document import instant
from gateway.edges.desk import Desk
from gateway.payments.provider import ActionRequired, AddingKind, Failed, Outcome, Paid, Pending
from gateway.wire.problems import Fault

MOST_LISTED = 100
# Where the provider sends the owner back to.
ReturnUrl = Field(None, max_length=2_048, pattern=r"^https?://[^\s/?#@\\]+([/?#][^\s\\]*)?$")


class MethodWish(Strict):
    """How to add a method: by the provider's own page, or one of the fake provider's test cards."""

    return_url: str | None = ReturnUrl
    test_card: str | None = Field(None, min_length=1, max_length=64)


class PayWish(Strict):
    """Where the card's owner comes back to who must confirm."""

    return_url: str | None = ReturnUrl


def payment_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """An account's. A method or an invoice of another account is not there."""
    path = f"{area.base}/payment-methods"
    one = f"{path}/{{method_id}}"
    payments, methods = desk.payments, desk.payment_methods

    async def listed(ask: Ask) -> Document:
        found = await methods.of_account(area.account_of(ask))
        return {
            "provider": payments.provider,
            "collects": payments.charges,
            "items": [method_document(method) for method in found],
        }

    async def added(ask: Ask) -> Document:
        wish: MethodWish = ask.body
        account_id = area.account_of(ask)
        if wish.test_card is not None:
            method = await methods.add_fake(account_id, wish.test_card, actor=ask.actor)
            return {"kind": "added", "url": None, "fields": {}, "method": method_document(method)}
        adding = await methods.begin_adding(account_id, return_url=wish.return_url or _here(ask))
        kind = AddingKind(adding.kind)
        return {"kind": kind.value, "url": adding.url, "fields": adding.fields, "method": None}

    async def made_default(ask: Ask) -> Document:
        await methods.set_default(area.account_of(ask), ask.path("method_id"), ask.actor)
        return await listed(ask)

    async def removed(ask: Ask) -> Document:
        await methods.remove(area.account_of(ask), ask.path("method_id"), ask.actor)
        return {"id": ask.path("method_id"), "removed": True}

    async def paid(ask: Ask) -> Document:
        wish: PayWish = ask.body
        invoice = await desk.invoices.find(ask.path("invoice_id"), owner=area.account_of(ask))
        return outcome_document(
            await payments.pay_now(area.account_of(ask), invoice.id, ask.actor, return_url=wish.return_url)
        )

    async def tried(ask: Ask) -> Document:
        found = await payments.attempts(area.account_of(ask), limit=MOST_LISTED)
        return {"items": [attempt_document(attempt) for attempt in found]}

    def endpoint(method: str, path: str, answer: Answer, summary: str, reply: Any, **more: Any) -> Endpoint:
        changes = method != "GET"
        problems = (Fault.NO_SUCH_RESOURCE, *((RefusalCode.PAYMENT_REQUIRED,) if changes else ()))
        whole_key = area.whole_key and changes
        return Endpoint(
            method, path, answer, summary, "payments", reply=reply, whole_key=whole_key, problems=problems, **more
        )

    pay = f"{area.base}/invoices/{{invoice_id}}/pay-now"
    return [
        endpoint("GET", path, listed, "Payment methods, the default first", replies.Methods),
        endpoint("POST", path, added, "Add a payment method", replies.Adding, body=MethodWish),
        endpoint("POST", f"{one}/default", made_default, "Charge this one from now on", replies.Methods),
        endpoint("DELETE", one, removed, "Remove a payment method", replies.RemovedMethod),
        endpoint("POST", pay, paid, "Pay an invoice by the default method", replies.Payment, body=PayWish),
        endpoint("GET", f"{area.base}/payments", tried, "What was tried, the newest first", replies.Attempts),
    ]


def method_document(method: PaymentMethod) -> dict[str, Any]:
    """What can be shown of it."""
    return {
        "id": method.id,
        "kind": method.kind.value,
        "brand": method.brand,
        "last4": method.last4,
        "exp_month": method.exp_month,
        "exp_year": method.exp_year,
        "default": method.default,
    }


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """Without the provider's own names."""
    return {
        "id": attempt.id,
        "invoice_id": attempt.invoice_id,
        "method_id": attempt.method_id,
        "amount_cents": attempt.amount_cents,
        "description": attempt.description,
        "trigger": attempt.trigger.value,
        "state": attempt.state.value,
        "reason": attempt.reason,
        "action_url": attempt.action_url,
        "started_at": instant(attempt.started_ms),
        "ended_at": None if attempt.ended_ms is None else instant(attempt.ended_ms),
    }


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """What became of a payment."""
    match outcome:
        case Paid():
            return {"outcome": "paid", "reason": None, "action_url": None}
        case Failed():
            return {"outcome": "failed", "reason": outcome.reason, "action_url": None}
        case ActionRequired():
            return {"outcome": "action_required", "reason": None, "action_url": outcome.url}
        case Pending():
            return {"outcome": "pending", "reason": None, "action_url": None}


def _here(ask: Ask) -> str:
    """The dashboard's page of the host that was asked."""
    url = ask.request.url
    return f"{url.scheme}://{url.netloc}/settings/billing/payment-methods"
