"""A dearer plan at once, where a provider takes payments: paid first, and made only then.

The price is told (or was, within ten minutes), kept with the attempt, and taken. Whatever happens in between, the
change is either made and paid, or everything is as it was: a process that dies leaves the attempt, and whoever looks
next, this question again or the background work, asks the provider with the same key and goes on from there.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import (
    invoice_collections,
    invoices,
    payment_attempts,
    payment_methods,
    plan_change_payments,
    subscriptions,
)
from gateway.books.ids import new_id
from gateway.books.payment_attempts import Attempt
from gateway.books.plan_change_payments import PaidChange
from gateway.books.plan_previews import BookedPreview
from gateway.domain.payment import AttemptState, PlanChangeState, Trigger
from gateway.domain.plan import Plan
from gateway.flows.attempt_payment import Attempts, new_attempt, not_too_often
from gateway.flows.billing import Billing
from gateway.flows.change_plan import ChangeAt, PlanChange, Standing, owner_may, standing, when_by_default
from gateway.flows.charge_change import honoured, tell_price
from gateway.flows.faults import CallerFault, PaymentNeeded
from gateway.flows.in_redis import InRedis
from gateway.payments.provider import ActionRequired, Failed, Outcome, Provider, ProviderUnavailable

_ADD_ONE: Final = "add a payment method first: this plan is paid by it"


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is being paid. `new`: the provider was not asked yet."""

    change: PaidChange
    attempt: Attempt
    new: bool


@dataclass(frozen=True, slots=True)
class _AskedFor:
    account_id: str
    plan_id: str
    when: ChangeAt | None
    actor: str
    reason: str
    by_owner: bool
    return_url: str | None


class PayFirst:
    """Asked by `Accounts.change_plan` before it changes anything."""

    def __init__(self, billing: Billing, provider: Provider, attempts: Attempts) -> None:
        self._billing = billing
        self._provider = provider
        self._attempts = attempts

    async def change(
        self,
        account_id: str,
        plan_id: str,
        *,
        when: ChangeAt | None,
        actor: str,
        reason: str,
        by_owner: bool = False,
        return_url: str | None = None,
    ) -> PlanChange | None:
        """The change, paid and made; None where nothing is to be paid first. PaymentNeeded: nothing was changed.

        `return_url`: where the owner of a card comes back to who must confirm; then the change is made by itself.
        """
        if not self._provider.charges or plan_id not in self._billing.plans():
            return None
        known = await self._billing.in_redis(account_id)
        asked_for = _AskedFor(account_id, plan_id, when, actor, reason, by_owner, return_url)
        try:
            await self._wait_no_longer(account_id, plan_id)
            begun = await self._begin(asked_for, known)
            if begun is None:
                return None
            if begun.new:
                outcome: Outcome | None = await self._attempts.make(begun.attempt)
            else:
                outcome = await self._attempts.resume(begun.attempt)
        except ProviderUnavailable as away:
            raise PaymentNeeded(
                "provider_unavailable",
                "the payment provider did not answer; the plan is changed as soon as it says that this was paid",
            ) from away
        return await self._made(begun.change.id, outcome)

    async def _wait_no_longer(self, account_id: str, plan_id: str) -> None:
        """Give up a change whose payment waits for its owner, where they want another plan or have another card."""
        async with self._billing.books.read() as conn:
            change = await plan_change_payments.being_paid(conn, account_id)
            if change is None:
                return
            attempt = await payment_attempts.of_change(conn, change.id)
            method = await payment_methods.default(conn, account_id, self._provider.name)
        if attempt is None or attempt.state is not AttemptState.ACTION_REQUIRED:
            return
        if change.plan_id != plan_id or (method is not None and method.id != attempt.method_id):
            await self._attempts.resume(attempt, give_up=True)

    async def _begin(self, asked: _AskedFor, known: InRedis) -> _Begun | None:
        account_id, plan_id, when = asked.account_id, asked.plan_id, asked.when
        now_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            if (resumed := await _being_paid(conn, account_id, plan_id)) is not None:
                return resumed
            _, at_ms = await self._billing.open_account(conn, account_id, now_ms)
            now = await standing(conn, account_id, at_ms)
            plan = self._billing.plans()[plan_id]
            if asked.by_owner:
                owner_may(self._billing.plans(), now, plan, when)
            if not self._paid_first(now, plan):
                return None
            method = await payment_methods.default(conn, account_id, self._provider.name)
            customer = await payment_methods.customer(conn, account_id, self._provider.name)
            if (when or when_by_default(self._billing.plans(), now, plan)) is not ChangeAt.NOW:
                if method is None:
                    raise PaymentNeeded("no_payment_method", _ADD_ONE)
                return None
            await _nothing_past_due(conn, account_id)
            told = await self._told(conn, now, plan, known, at_ms)
            if told is None or told.total_cents < max(1, self._provider.least_cents):
                return None
            if method is None or customer is None:
                raise PaymentNeeded("no_payment_method", _ADD_ONE)
            await not_too_often(conn, account_id, at_ms)
            change = PaidChange(
                new_id("pcp"), told, PlanChangeState.PAYING, asked.actor, asked.reason, None, at_ms, None
            )
            await plan_change_payments.add(conn, change)
            attempt = new_attempt(
                account_id=account_id,
                provider=self._provider.name,
                customer_ref=customer.ref,
                method=method,
                amount_cents=told.total_cents,
                description=f"Change to plan {plan.name}",
                trigger=Trigger.PLAN_CHANGE,
                at_ms=at_ms,
                asked_ms=now_ms,
                change_id=change.id,
                return_url=asked.return_url,
            )
            await payment_attempts.add(conn, attempt)
            return _Begun(change, attempt, new=True)

    def _paid_first(self, now: Standing, plan: Plan) -> bool:
        """Whether the plan is another one, dearer, and of the price list: contracts are paid as they say."""
        old = self._billing.plans().get(now.subscription.plan_id)
        if plan.id == now.subscription.plan_id or plan.contract:
            return False
        return old is None or plan.price_cents > old.price_cents

    async def _told(
        self, conn: AsyncConnection, now: Standing, plan: Plan, known: InRedis, at_ms: int
    ) -> BookedPreview | None:
        """The price as it was told within ten minutes, else as it is now."""
        told = await honoured(conn, now, plan, at_ms)
        if told is not None:
            return told
        await tell_price(conn, self._billing.plans(), now, plan, known=known, at_ms=at_ms)
        return await honoured(conn, now, plan, at_ms)

    async def _made(self, change_id: str, outcome: Outcome | None) -> PlanChange:
        """What became of the change, as its owner hears it."""
        async with self._billing.books.read() as conn:
            change = await plan_change_payments.get(conn, change_id)
            attempt = await payment_attempts.of_change(conn, change_id)
            if change is not None and attempt is not None and change.state is PlanChangeState.MADE:
                invoice = await invoices.find(conn, attempt.invoice_id or "")
                agreed = await subscriptions.of_account(conn, change.account_id)
                made = next((one for one in reversed(agreed) if one.plan_id == change.plan_id), None)
                if made is not None:
                    ended = [one for one in agreed if one.ended_ms == made.started_ms and one.id != made.id]
                    previous = ended[0].plan_id if ended else change.plan_id
                    return PlanChange(change.account_id, previous, change.plan_id, made.started_ms, invoice)
        match outcome:
            case ActionRequired(url=url):
                raise PaymentNeeded("action_required", "the card's owner must confirm the payment", action_url=url)
            case Failed(reason=why):
                raise PaymentNeeded("payment_failed", f"the payment failed ({why}), so the plan stays as it was")
            case _ if change is not None and change.state is PlanChangeState.NOT_MADE:
                raise PaymentNeeded("payment_failed", f"the plan stays as it was: {change.fault}; the money goes back")
            case _:
                raise PaymentNeeded("payment_pending", "the bank takes its time; the plan is changed once it has paid")


async def _being_paid(conn: AsyncConnection, account_id: str, plan_id: str) -> _Begun | None:
    """The change that is being paid already: asked for twice, or left by a process that died."""
    change = await plan_change_payments.being_paid(conn, account_id)
    if change is None:
        return None
    attempt = await payment_attempts.of_change(conn, change.id)
    if attempt is None or change.plan_id != plan_id:
        raise CallerFault(f"a change to {change.plan_id} is being paid; wait until that is decided")
    return _Begun(change, attempt, new=False)


async def _nothing_past_due(conn: AsyncConnection, account_id: str) -> None:
    if unpaid := await invoice_collections.past_due(conn, account_id):
        invoice = await invoices.find(conn, unpaid[0].invoice_id)
        number = unpaid[0].invoice_id if invoice is None else invoice.number
        raise PaymentNeeded("past_due", f"invoice {number} is past due; pay it first")
