"""Putting an account on another plan, within a transaction that holds the account's lock.

At once: the running period ends now, the next begins now with the whole new allowance, and the anchor moves. At period
end: the new plan is a subscription that starts there; until then it can be replaced, or taken back by asking for the
plan the account is on. Counts no money.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, contracts, grants, periods, subscriptions
from gateway.books.grants import GrantKind
from gateway.books.invoices import BookedInvoice
from gateway.books.periods import BookedPeriod
from gateway.books.subscriptions import Subscription
from gateway.domain.contract import ContractVersion, plan_under
from gateway.domain.plan import Plan
from gateway.flows.agreed import end_of
from gateway.flows.faults import CallerFault


class ChangeAt(StrEnum):
    """When another plan takes effect."""

    NOW = "now"
    PERIOD_END = "period_end"


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What was agreed. `effective_ms` is the start of the first period on the plan; past where it was on it already.

    `invoice` is what a change at once was invoiced; None where nothing was.
    """

    account_id: str
    previous_plan_id: str
    plan_id: str
    effective_ms: int
    invoice: BookedInvoice | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account is on: its running period and subscription, a pending one, and periods booked ahead."""

    running: BookedPeriod
    ahead: tuple[BookedPeriod, ...]
    subscription: Subscription
    pending: Subscription | None


async def standing(conn: AsyncConnection, account_id: str, at_ms: int) -> Standing:
    """As booked. An instant before the first period counts as its start: clocks differ a little."""
    booked = await periods.of_account(conn, account_id, since_ms=at_ms)
    agreed = await subscriptions.of_account(conn, account_id)
    moment_ms = max(at_ms, booked[0].start_ms) if booked else at_ms
    running = next((one for one in agreed if one.in_force(moment_ms)), None)
    if not booked or running is None:
        raise CallerFault(f"account {account_id} has no running subscription")
    pending = next((one for one in agreed if one.pending(moment_ms)), None)
    return Standing(booked[0], tuple(booked[1:]), running, pending)


def when_by_default(plans: Mapping[str, Plan], now: Standing, new: Plan) -> ChangeAt:
    """A dearer plan at once, any other at period end; a contract is left at period end."""
    if now.running.contract_version is not None:
        return ChangeAt.PERIOD_END
    old = plans.get(now.subscription.plan_id)
    return ChangeAt.NOW if old is None or new.price_cents > old.price_cents else ChangeAt.PERIOD_END


def owner_may(plans: Mapping[str, Plan], now: Standing, new: Plan, when: ChangeAt | None) -> None:
    """CallerFault for what is not the owner's to decide: contracts, and leaving a paid period before its end."""
    if new.id == now.subscription.plan_id:
        return
    old = plans.get(now.subscription.plan_id)
    if new.contract or now.running.contract_version is not None or (old is not None and old.contract):
        name = new.name if new.contract or old is None else old.name
        raise CallerFault(f"the {name} plan is agreed by contract: write to support to change to or from it")
    if when is ChangeAt.NOW and when_by_default(plans, now, new) is not ChangeAt.NOW:
        raise CallerFault(f"a change to the {new.name} plan takes effect when the period ends: leave `when` out")


async def switch_now(conn: AsyncConnection, now: Standing, plan: Plan, at_ms: int) -> int:
    """Close the running period and open the first on the new plan. Its start, in epoch ms."""
    account_id = now.running.account_id
    # Clocks differ a little: nothing ends before it began.
    start_ms = max(at_ms, now.running.start_ms)
    if now.pending is not None:
        await subscriptions.end(conn, now.pending.id, now.pending.started_ms)
    for period in now.ahead:
        given = await grants.granted(conn, account_id, period.start_ms)
        await _correct(conn, period, -given, f"the period was replaced by plan {plan.id}", at_ms)
        await periods.withdraw(conn, period)
    await subscriptions.end(conn, now.subscription.id, start_ms)
    if start_ms > now.running.start_ms:
        await periods.close(conn, now.running, start_ms)
        await accounts.start_plan(conn, account_id, plan, start_ms=start_ms, at_ms=at_ms)
    else:
        await _replace(conn, now.running, plan, at_ms)
    return start_ms


async def _replace(conn: AsyncConnection, running: BookedPeriod, plan: Plan, at_ms: int) -> None:
    """Give a period that begins in this very millisecond the new plan: it cannot end before the next begins."""
    start_ms = running.start_ms
    subscription = await subscriptions.add(
        conn, account_id=running.account_id, plan_id=plan.id, anchor_ms=start_ms, started_ms=start_ms, at_ms=at_ms
    )
    await revise(conn, (running,), subscription, plan, at_ms=at_ms)


async def switch_at_period_end(conn: AsyncConnection, now: Standing, plan: Plan, at_ms: int) -> int:
    """Let the running subscription end with its period, and the new plan start there. That instant, in epoch ms."""
    boundary_ms = now.running.end_ms
    if now.pending is not None:
        if now.pending.plan_id == plan.id:
            return now.pending.started_ms
        await subscriptions.end(conn, now.pending.id, now.pending.started_ms)
    await subscriptions.end(conn, now.subscription.id, boundary_ms)
    pending = await subscriptions.add(
        conn,
        account_id=now.running.account_id,
        plan_id=plan.id,
        # The same day of the month as before: Jan 31 must not become the 28th for good because of a February.
        anchor_ms=now.subscription.anchor_ms,
        started_ms=boundary_ms,
        at_ms=at_ms,
    )
    await revise(conn, now.ahead, pending, plan, at_ms=at_ms)
    return boundary_ms


async def stay(conn: AsyncConnection, now: Standing, plan: Plan, at_ms: int) -> int:
    """Take a pending change back. The start of the running subscription, in epoch ms."""
    if now.pending is not None:
        await subscriptions.end(conn, now.pending.id, now.pending.started_ms)
        await subscriptions.end(conn, now.subscription.id, None)
        versions = await contracts.of_account(conn, now.running.account_id) if plan.contract else ()
        await revise(conn, now.ahead, now.subscription, plan, at_ms=at_ms, versions=versions)
    return now.subscription.started_ms


async def revise(
    conn: AsyncConnection,
    booked: Sequence[BookedPeriod],
    subscription: Subscription,
    plan: Plan,
    *,
    at_ms: int,
    versions: Sequence[ContractVersion] = (),
) -> None:
    """Sell booked periods as something else: a plan, or what a contract made of it.

    What they were granted before is corrected by the difference.
    """
    for period in booked:
        sold = plan_under(plan, versions, subscription.id, period.start_ms)
        end_ms = end_of(subscription.anchor_ms, period.start_ms, sold.months)
        revised = replace(period, subscription_id=subscription.id, plan_id=subscription.plan_id, end_ms=end_ms)
        await periods.revise(conn, revised.sold_as(sold))
        difference = sold.granted_millicredits - period.allowance_millicredits
        await _correct(conn, revised, difference, f"the period's plan is now {subscription.plan_id}", at_ms)


async def _correct(conn: AsyncConnection, period: BookedPeriod, difference: int, reason: str, at_ms: int) -> None:
    if difference == 0:
        return
    await grants.add(
        conn,
        account_id=period.account_id,
        subscription_id=period.subscription_id,
        period_start_ms=period.start_ms,
        kind=GrantKind.PLAN_CHANGE,
        amount_millicredits=difference,
        reason=reason,
        at_ms=at_ms,
    )
