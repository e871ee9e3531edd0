"""What a payment's outcome means for its invoice and its account, within a transaction that holds the account's lock.

Failed by schedule: past due, pay-as-you-go suspended, tried again later; after the last, the account becomes Free. One
on a contract stays on it, suspended: what becomes of it is a person's to decide, who is told. Paid: nothing is past
due, so the account is as before. Asks no provider.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, invoice_collections, invoices, subscriptions
from gateway.books.audit import AuditEntry
from gateway.books.invoice_collections import Collection
from gateway.books.invoices import BookedInvoice
from gateway.domain.invoice import InvoiceEvent, next_status
from gateway.domain.payment import CollectionEvent, CollectionState, next_collection_state, retry_ms
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus
from gateway.domain.webhook import EventType
from gateway.flows.change_plan import standing, switch_now
from gateway.flows.charge_change import charge_change
from gateway.flows.in_redis import InRedis
from gateway.flows.tell_account import emit, invoice_data, plan_data
from gateway.flows.terms import catch_up
from gateway.wire.standard_webhook import instant_text

FREE: Final = "free"
COLLECTOR: Final = "collector"

log = structlog.get_logger()


async def invoice_paid(
    conn: AsyncConnection, invoice: BookedInvoice, amount_cents: int, *, detail: Mapping[str, Any], at_ms: int
) -> bool:
    """Count a payment on its invoice; False where nothing is owed for it any more."""
    status = next_status(invoice.status, InvoiceEvent.PAY)
    if status is None or invoice.due_cents <= 0:
        return False
    paid_cents = invoice.paid_cents + amount_cents
    whole = paid_cents + invoice.credited_cents >= invoice.total_cents
    after = replace(
        invoice,
        status=status if whole else invoice.status,
        paid_cents=paid_cents,
        settled_ms=at_ms if whole else invoice.settled_ms,
    )
    await invoices.set_status(conn, invoice.id, after.status, paid_cents=paid_cents, settled_ms=after.settled_ms)
    said = {"number": invoice.number, "amount_cents": amount_cents, **detail}
    await audit.write(conn, AuditEntry(at_ms, COLLECTOR, "payment.succeeded", invoice.account_id, invoice.id, said))
    if whole:
        await emit(conn, invoice.account_id, EventType.INVOICE_PAID, invoice_data(after), at_ms)
        await settle(conn, invoice.account_id, invoice.id, at_ms=at_ms)
    return True


async def settle(conn: AsyncConnection, account_id: str, invoice_id: str, *, at_ms: int) -> None:
    """Nothing is due for the invoice any more; an account with nothing past due is active again."""
    collection = await invoice_collections.get(conn, invoice_id)
    if collection is None:
        return
    state = next_collection_state(collection.state, CollectionEvent.SETTLE)
    if state is not None:
        await invoice_collections.put(conn, replace(collection, state=state, next_try_ms=None, asked_ms=None))
    await restore(conn, account_id, at_ms=at_ms, why="nothing is past due")


async def failed_by_schedule(
    conn: AsyncConnection, plans: Mapping[str, Plan], invoice: BookedInvoice, reason: str, *, at_ms: int
) -> CollectionState:
    """One more failure that counts: tried again later, or given up. `become_free` is the caller's to do then.

    Of an account that cannot become Free the invoice stays past due after the last, and is not tried again by itself.
    """
    before = await invoice_collections.get(conn, invoice.id)
    if before is not None and before.state is not CollectionState.PAST_DUE:
        return before.state
    failures = 1 if before is None else before.failures + 1
    next_ms = retry_ms(failures, at_ms)
    state = CollectionState.PAST_DUE
    left_to_operator = next_ms is None and await _keeps_its_plan(conn, plans, invoice.account_id, at_ms)
    if before is not None:
        last = next_ms is None and not left_to_operator
        event = CollectionEvent.FAIL_LAST if last else CollectionEvent.FAIL
        state = next_collection_state(before.state, event) or before.state
    first_ms = at_ms if before is None else before.first_failed_ms
    await invoice_collections.put(
        conn, Collection(invoice.id, invoice.account_id, state, failures, first_ms, next_ms, None, reason)
    )
    said: dict[str, Any] = {
        "number": invoice.number,
        "reason": reason,
        "failures": failures,
        "next_try_ms": next_ms,
    }
    if left_to_operator:
        said["left_to"] = "operator"
        why = "the last retry failed, and the account keeps its plan: decide what becomes of it"
        log.error(why, account_id=invoice.account_id, invoice=invoice.number)
    await audit.write(conn, AuditEntry(at_ms, COLLECTOR, "payment.failed", invoice.account_id, invoice.id, said))
    again = None if next_ms is None else instant_text(next_ms)
    data = invoice_data(invoice, reason=reason, failures=failures, next_try_at=again)
    await emit(conn, invoice.account_id, EventType.INVOICE_PAYMENT_FAILED, data, at_ms)
    if state is CollectionState.GIVEN_UP:
        await _write_off(conn, invoice, at_ms)
    else:
        await _suspend(conn, invoice, reason, at_ms)
    return state


async def failed_aside(conn: AsyncConnection, invoice: BookedInvoice, reason: str, *, at_ms: int) -> None:
    """A failure that does not count: tried because somebody asked, or the card changed. The schedule stays."""
    before = await invoice_collections.get(conn, invoice.id)
    if before is not None and before.state is CollectionState.PAST_DUE:
        await invoice_collections.put(conn, replace(before, asked_ms=None, reason=reason))
    said = {"number": invoice.number, "reason": reason, "by_schedule": False}
    await audit.write(conn, AuditEntry(at_ms, COLLECTOR, "payment.failed", invoice.account_id, invoice.id, said))


async def become_free(
    conn: AsyncConnection,
    plans: Mapping[str, Plan],
    invoice: BookedInvoice,
    *,
    known: InRedis,
    at_ms: int,
) -> None:
    """The last retry failed: the account is on Free from now on, its pay-as-you-go so far invoiced. InvoicingStopped.

    Where other invoices are past due, pay-as-you-go stays suspended.
    """
    account = await accounts.get(conn, invoice.account_id, lock=True)
    free = plans.get(FREE)
    if account is None or account.status is AccountStatus.CLOSED or free is None:
        return
    await catch_up(conn, plans, account.id, at_ms)
    now = await standing(conn, account.id, at_ms)
    if now.subscription.plan_id != FREE:
        start_ms = await switch_now(conn, now, free, at_ms)
        last = await charge_change(conn, plans, now, start_ms, known=known, told=None, at_ms=at_ms)
        await accounts.raise_terms_version(conn, account.id)
        why = f"invoice {invoice.number} was not paid after the last retry"
        said = {"from": now.subscription.plan_id, "to": FREE, "effective_ms": start_ms, "reason": why}
        await audit.write(conn, AuditEntry(at_ms, COLLECTOR, "account.plan", account.id, account.id, said))
        data = plan_data(now.subscription.plan_id, FREE, start_ms, last)
        await emit(conn, account.id, EventType.PLAN_CHANGED, data, at_ms)
    await restore(conn, account.id, at_ms=at_ms, why="the account is on Free")


async def restore(conn: AsyncConnection, account_id: str, *, at_ms: int, why: str) -> None:
    """Active again, where payments had failed and nothing is past due any more."""
    account = await accounts.get(conn, account_id, lock=True)
    if account is None or account.status is not AccountStatus.PAYMENT_FAILED:
        return
    if await invoice_collections.past_due(conn, account_id):
        return
    await _set_status(conn, account_id, AccountStatus.ACTIVE, why, at_ms)


async def _keeps_its_plan(conn: AsyncConnection, plans: Mapping[str, Plan], account_id: str, at_ms: int) -> bool:
    """Whether the account cannot become Free: a contract is a person's to end, and Free may not be sold."""
    agreed = await subscriptions.of_account(conn, account_id)
    plan = next((plans.get(one.plan_id) for one in agreed if one.in_force(at_ms)), None)
    return FREE not in plans or (plan is not None and plan.contract)


async def _suspend(conn: AsyncConnection, invoice: BookedInvoice, reason: str, at_ms: int) -> None:
    """No pay-as-you-go until it is paid; the allowance stays."""
    account = await accounts.get(conn, invoice.account_id, lock=True)
    if account is not None and account.status is AccountStatus.ACTIVE:
        why = f"the payment of invoice {invoice.number} failed: {reason}"
        await _set_status(conn, account.id, AccountStatus.PAYMENT_FAILED, why, at_ms)


async def _set_status(conn: AsyncConnection, account_id: str, status: AccountStatus, why: str, at_ms: int) -> None:
    await accounts.set_status(conn, account_id, status, at_ms)
    await accounts.raise_terms_version(conn, account_id)
    said = {"status": status.value, "reason": why}
    await audit.write(conn, AuditEntry(at_ms, COLLECTOR, "account.status", account_id, account_id, said))


async def _write_off(conn: AsyncConnection, invoice: BookedInvoice, at_ms: int) -> None:
    status = next_status(invoice.status, InvoiceEvent.WRITE_OFF)
    if status is not None:
        await invoices.set_status(conn, invoice.id, status, paid_cents=invoice.paid_cents, settled_ms=at_ms)
