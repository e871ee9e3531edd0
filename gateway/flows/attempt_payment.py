"""One attempt to take money, from its row to its outcome. The row is written first, its id is the idempotency key.

No transaction is open while the provider is asked. Where the answer is lost, or the process dies, whoever looks next
asks again with the same key: nothing is taken twice, nothing that was taken is forgotten. News that come twice, or in
another order than they happened, find a state they do not change. What is taken and not owed any more is given back.
"""

from typing import Final, assert_never

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, invoices, payment_attempts
from gateway.books.faults import BooksUnavailable
from gateway.books.ids import new_id
from gateway.books.payment_attempts import Attempt
from gateway.books.payment_methods import BookedMethod
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.payment import (
    UNDER_WAY,
    AttemptEvent,
    AttemptState,
    CollectionState,
    Trigger,
    next_attempt_state,
)
from gateway.flows import pay_for_change
from gateway.flows.billing import Billing
from gateway.flows.dunning_rules import become_free, failed_aside, failed_by_schedule, invoice_paid
from gateway.flows.faults import CallerFault, InvoicingStopped
from gateway.flows.in_redis import InRedis
from gateway.payments.provider import (
    ActionRequired,
    Charge,
    Customer,
    Failed,
    Outcome,
    Paid,
    Pending,
    Provider,
    ProviderUnavailable,
)

# Longer than a provider is ever waited for: until then, whoever started the attempt may still be asking.
ASK_AGAIN_AFTER_MS: Final = 120_000
LONGEST_PAUSE_MS: Final = 6 * 3_600_000
# How long the owner of a card may take to confirm.
CONFIRM_WITHIN_MS: Final = DAY_MS
# Banks take note of who tries one card again and again, and each try is kept.
MOST_TRIES_AN_HOUR: Final = 20
_DOUBLINGS: Final = 10

log = structlog.get_logger()


def new_attempt(
    *,
    account_id: str,
    provider: str,
    customer_ref: str,
    method: BookedMethod,
    amount_cents: int,
    description: str,
    trigger: Trigger,
    at_ms: int,
    asked_ms: int,
    invoice_id: str | None = None,
    change_id: str | None = None,
    return_url: str | None = None,
) -> Attempt:
    """A row to be kept before the provider is asked. With `return_url` the owner is there to confirm.

    `at_ms` is by the account's own clock; `asked_ms`, from which on it is asked again, by the world's.
    """
    return Attempt(
        id=new_id("pay"),
        account_id=account_id,
        invoice_id=invoice_id,
        change_id=change_id,
        provider=provider,
        customer_ref=customer_ref,
        method_id=method.id,
        method_ref=method.ref,
        amount_cents=amount_cents,
        description=description,
        trigger=trigger,
        on_session=return_url is not None,
        return_url=return_url,
        state=AttemptState.STARTED,
        provider_ref=None,
        reason=None,
        action_url=None,
        started_ms=at_ms,
        look_ms=asked_ms + ASK_AGAIN_AFTER_MS,
        looks=0,
        ended_ms=None,
    )


def charge_of(attempt: Attempt) -> Charge:
    """What the provider is asked; the same each time."""
    return Charge(
        key=attempt.id,
        customer=Customer(attempt.account_id, attempt.customer_ref),
        method_ref=attempt.method_ref,
        amount_cents=attempt.amount_cents,
        description=attempt.description,
        on_session=attempt.on_session,
        return_url=attempt.return_url,
    )


async def not_too_often(conn: AsyncConnection, account_id: str, at_ms: int) -> None:
    """CallerFault where somebody has had the account's money tried again and again within the hour."""
    if await payment_attempts.asked_since(conn, account_id, at_ms - HOUR_MS) >= MOST_TRIES_AN_HOUR:
        raise CallerFault(f"payments were tried {MOST_TRIES_AN_HOUR} times within an hour; wait a while")


class Attempts:
    """Asks the provider about attempts, and books what follows."""

    def __init__(self, billing: Billing, provider: Provider) -> None:
        self._billing = billing
        self._provider = provider

    async def make(self, attempt: Attempt) -> Outcome:
        """Ask for the first time, and book the outcome. ProviderUnavailable: it is asked again later by itself."""
        outcome = await self._provider.charge(charge_of(attempt), again=False)
        await self.record(attempt.id, outcome)
        return outcome

    async def resume(self, attempt: Attempt, *, give_up: bool = False) -> Outcome | None:
        """Ask again about one that is not decided, and book what it is now; None where it is, or is refunded.

        `give_up`: one that waits for its owner is waited for no longer. ProviderUnavailable.
        """
        charge, ref = charge_of(attempt), attempt.provider_ref
        if attempt.state is AttemptState.REFUNDING:
            await self._refund(attempt)
            return None
        if attempt.state not in UNDER_WAY:
            return None
        if ref is None:
            outcome = await self._provider.charge(charge, again=True)
        elif attempt.state is AttemptState.ACTION_REQUIRED and (give_up or await self._too_long(attempt)):
            outcome = await self._provider.cancel(charge, ref)
        else:
            outcome = await self._provider.look(charge, ref)
        await self.record(attempt.id, outcome)
        return outcome

    async def turn(self, *, limit: int = 100) -> int:
        """Ask again about everything whose time has come; how many. ProviderUnavailable, BooksUnavailable."""
        now_ms = self._billing.now_ms()
        async with self._billing.books.read() as conn:
            undecided = await payment_attempts.to_look_at(conn, self._provider.name, at_ms=now_ms, limit=limit)
        looked = 0
        for attempt in undecided:
            pause_ms = min(ASK_AGAIN_AFTER_MS << min(attempt.looks, _DOUBLINGS), LONGEST_PAUSE_MS)
            async with self._billing.books.begin() as conn:
                taken = await payment_attempts.lease(conn, attempt, now_ms + pause_ms)
            if not taken:
                continue
            looked += 1
            try:
                await self.resume(attempt)
            except (BooksUnavailable, ProviderUnavailable):
                raise
            except Exception:
                # Of one attempt's making: the others are asked about, and serving goes on.
                log.exception("asking about a payment failed", attempt=attempt.id, account_id=attempt.account_id)
        return looked

    async def record(self, attempt_id: str, outcome: Outcome) -> None:
        """Book an outcome and all that follows from it, once, and tell Redis."""
        async with self._billing.books.read() as conn:
            attempt = await payment_attempts.get(conn, attempt_id)
        if attempt is None:
            return
        known = await self._billing.in_redis(attempt.account_id)
        try:
            await self._record(attempt, outcome, known)
        except (InvoicingStopped, pay_for_change.CannotBeMade) as stopped:
            log.exception("a payment could not be followed up", attempt=attempt.id, account_id=attempt.account_id)
            await self._record(attempt, outcome, known, fault=str(stopped))
        await self._billing.tell(attempt.account_id)
        async with self._billing.books.read() as conn:
            after = await payment_attempts.get(conn, attempt_id)
        if after is not None and after.state is AttemptState.REFUNDING:
            try:
                await self._refund(after)
            except ProviderUnavailable as away:
                log.warning("a refund waits", attempt=attempt_id, reason=away.reason)

    async def _record(self, seen: Attempt, outcome: Outcome, known: InRedis, *, fault: str = "") -> None:
        """In one transaction. `fault`: why what should follow was tried and cannot be done; it is left out."""
        async with self._billing.books.begin() as conn:
            await accounts.get(conn, seen.account_id, lock=True)
            at_ms = await accounts.own_ms(conn, seen.account_id, self._billing.now_ms())
            attempt = await payment_attempts.get(conn, seen.id)
            if attempt is None:
                return
            match outcome:
                case Paid():
                    await self._paid(conn, attempt, outcome, known=known, fault=fault, at_ms=at_ms)
                case Failed():
                    await self._failed(conn, attempt, outcome, known=known, fault=fault, at_ms=at_ms)
                case ActionRequired():
                    values = {"provider_ref": outcome.ref, "action_url": outcome.url}
                    await _move(conn, attempt, AttemptEvent.ASK_OWNER, **values)
                case Pending():
                    await _move(conn, attempt, AttemptEvent.WAIT, provider_ref=outcome.ref)
                case _:
                    assert_never(outcome)

    async def _paid(
        self,
        conn: AsyncConnection,
        attempt: Attempt,
        outcome: Paid,
        *,
        known: InRedis,
        fault: str,
        at_ms: int,
    ) -> None:
        """Count it where it is owed, else have it given back."""
        values: dict[str, str | int | None] = {"provider_ref": outcome.ref, "ended_ms": at_ms}
        if next_attempt_state(attempt.state, AttemptEvent.SUCCEED) is None:
            # It came twice; or it had failed here and was taken there after all.
            await _move(conn, attempt, AttemptEvent.TAKE_NOT_OWED, **values)
            return
        if attempt.change_id is not None:
            if fault:
                owed = False
                await pay_for_change.not_made(conn, attempt, fault, at_ms)
            else:
                owed = await pay_for_change.make(conn, self._billing.plans(), attempt, known=known, at_ms=at_ms)
        else:
            invoice = await invoices.find(conn, attempt.invoice_id or "", lock=True)
            detail = {"payment": attempt.id, "provider": attempt.provider}
            # Where part of it was credited meanwhile all of it goes back, and what is still due is taken anew.
            owed = (
                invoice is not None
                and attempt.amount_cents <= invoice.due_cents
                and await invoice_paid(conn, invoice, attempt.amount_cents, detail=detail, at_ms=at_ms)
            )
        await _move(conn, attempt, AttemptEvent.SUCCEED if owed else AttemptEvent.TAKE_NOT_OWED, **values)

    async def _failed(
        self,
        conn: AsyncConnection,
        attempt: Attempt,
        outcome: Failed,
        *,
        known: InRedis,
        fault: str,
        at_ms: int,
    ) -> None:
        values: dict[str, str | int | None] = {
            "provider_ref": outcome.ref or attempt.provider_ref,
            "reason": outcome.reason,
            "ended_ms": at_ms,
        }
        if not await _move(conn, attempt, AttemptEvent.FAIL, **values):
            return
        if attempt.change_id is not None:
            await pay_for_change.not_paid(conn, attempt, outcome.reason, at_ms)
            return
        invoice = await invoices.find(conn, attempt.invoice_id or "", lock=True)
        if invoice is None or invoice.due_cents <= 0:
            return
        if attempt.trigger is not Trigger.SCHEDULE:
            await failed_aside(conn, invoice, outcome.reason, at_ms=at_ms)
            return
        state = await failed_by_schedule(conn, self._billing.plans(), invoice, outcome.reason, at_ms=at_ms)
        if state is CollectionState.GIVEN_UP and not fault:
            await become_free(conn, self._billing.plans(), invoice, known=known, at_ms=at_ms)

    async def _refund(self, attempt: Attempt) -> None:
        await self._provider.refund(charge_of(attempt), attempt.provider_ref or "")
        async with self._billing.books.begin() as conn:
            at_ms = await accounts.own_ms(conn, attempt.account_id, self._billing.now_ms())
            await _move(conn, attempt, AttemptEvent.GIVE_BACK, ended_ms=at_ms)
        log.warning("a payment was given back", attempt=attempt.id, account_id=attempt.account_id)

    async def _too_long(self, attempt: Attempt) -> bool:
        async with self._billing.books.read() as conn:
            at_ms = await accounts.own_ms(conn, attempt.account_id, self._billing.now_ms())
        return at_ms - attempt.started_ms > CONFIRM_WITHIN_MS


async def _move(conn: AsyncConnection, attempt: Attempt, event: AttemptEvent, **values: str | int | None) -> bool:
    """Apply the event; False where it changes nothing."""
    state = next_attempt_state(attempt.state, event)
    return state is not None and await payment_attempts.change(conn, attempt.id, attempt.state, state, **values)
