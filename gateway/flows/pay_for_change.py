"""What the payment of a change of plan means, within a transaction that holds the account's lock.

Paid: the change is made at the price that was told, and its invoice is paid, in that same transaction. Not paid:
nothing changes. Paid, and what the price assumed holds no more: nothing changes, and the money goes back.
"""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, payment_attempts, plan_change_payments
from gateway.books.audit import AuditEntry
from gateway.books.payment_attempts import Attempt
from gateway.domain.payment import PlanChangeState
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus
from gateway.domain.webhook import EventType
from gateway.flows.change_plan import standing, switch_now
from gateway.flows.charge_change import charge_change
from gateway.flows.dunning_rules import COLLECTOR, invoice_paid
from gateway.flows.faults import CallerFault
from gateway.flows.in_redis import InRedis
from gateway.flows.tell_account import emit, plan_data
from gateway.flows.terms import catch_up


class CannotBeMade(Exception):
    """The account is not any more as it was when the price was told."""


async def make(
    conn: AsyncConnection, plans: Mapping[str, Plan], attempt: Attempt, *, known: InRedis, at_ms: int
) -> bool:
    """Make the change that was just paid; False where it was decided before. CannotBeMade, InvoicingStopped."""
    change = await plan_change_payments.get(conn, attempt.change_id or "")
    if change is None or change.state is not PlanChangeState.PAYING:
        return False
    told, account_id = change.told, change.account_id
    account = await accounts.get(conn, account_id, lock=True)
    if account is None or account.status is AccountStatus.CLOSED:
        raise CannotBeMade("the account was closed meanwhile")
    if change.plan_id not in plans:
        raise CannotBeMade(f"plan {change.plan_id} is not sold any more")
    await catch_up(conn, plans, account_id, at_ms)
    try:
        now = await standing(conn, account_id, at_ms)
    except CallerFault as gone:
        raise CannotBeMade(str(gone)) from gone
    if now.running.start_ms != told.period_start_ms:
        raise CannotBeMade("another billing period began meanwhile")
    plan = replace(plans[change.plan_id], price_cents=told.price_cents)
    effective_ms = await switch_now(conn, now, plan, at_ms)
    invoice = await charge_change(conn, plans, now, effective_ms, known=known, told=told, at_ms=at_ms)
    if invoice is None or invoice.total_cents != attempt.amount_cents:
        raise CannotBeMade("the price is not any more what was told")
    detail = {"payment": attempt.id, "provider": attempt.provider}
    await invoice_paid(conn, invoice, attempt.amount_cents, detail=detail, at_ms=at_ms)
    await payment_attempts.name_invoice(conn, attempt.id, invoice.id)
    await plan_change_payments.end(conn, change.id, PlanChangeState.MADE, fault=None, at_ms=at_ms)
    await accounts.raise_terms_version(conn, account_id)
    said = {
        "from": now.subscription.plan_id,
        "to": plan.id,
        "effective_ms": effective_ms,
        "reason": change.reason,
        "payment": attempt.id,
    }
    await audit.write(conn, AuditEntry(at_ms, change.actor, "account.plan", account_id, account_id, said))
    data = plan_data(now.subscription.plan_id, plan.id, effective_ms, invoice)
    await emit(conn, account_id, EventType.PLAN_CHANGED, data, at_ms)
    return True


async def not_paid(conn: AsyncConnection, attempt: Attempt, reason: str, at_ms: int) -> None:
    """Everything stays as it was."""
    await _end(conn, attempt, PlanChangeState.NOT_PAID, reason, at_ms)


async def not_made(conn: AsyncConnection, attempt: Attempt, fault: str, at_ms: int) -> None:
    """Paid, and could not be made."""
    await _end(conn, attempt, PlanChangeState.NOT_MADE, fault, at_ms)


async def _end(conn: AsyncConnection, attempt: Attempt, state: PlanChangeState, why: str, at_ms: int) -> None:
    change = await plan_change_payments.get(conn, attempt.change_id or "")
    if change is None or change.state is not PlanChangeState.PAYING:
        return
    await plan_change_payments.end(conn, change.id, state, fault=why, at_ms=at_ms)
    said = {"to": change.plan_id, "state": state.value, "reason": why, "payment": attempt.id}
    entry = AuditEntry(at_ms, COLLECTOR, "account.plan_not_changed", change.account_id, change.account_id, said)
    await audit.write(conn, entry)
