"""Contracts of single accounts: agreeing one, amending it, ending it, and which versions there were.

A version takes effect at a boundary of the account's periods; what has begun is never changed. The first contract of an
account begins at once: it starts a period of its own. Each change is one transaction with its line in the audit log;
then Redis is told. Checks no signature and sends nothing.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, contracts, periods, subscriptions
from gateway.books.audit import AuditEntry
from gateway.books.contracts import terms_document
from gateway.books.invoices import BookedInvoice
from gateway.books.periods import BookedPeriod
from gateway.books.subscriptions import Subscription
from gateway.domain.contract import Contract, ContractVersion
from gateway.domain.instant import from_epoch_ms
from gateway.domain.plan import Plan
from gateway.flows.agreed import Agreed, agreed_by
from gateway.flows.billing import Billing
from gateway.flows.change_plan import Standing, revise, standing, switch_at_period_end, switch_now
from gateway.flows.charge_change import charge_change
from gateway.flows.faults import CallerFault

_LONGEST_REASON: Final = 500
# How many periods ahead a start is looked for: ten years of months.
_MOST_AHEAD: Final = 120


class ContractState(StrEnum):
    """Where a version stands."""

    PLANNED = "planned"
    IN_FORCE = "in_force"
    PAST = "past"
    REPLACED = "replaced"  # by a later version, before it began


@dataclass(frozen=True, slots=True)
class ContractView:
    """The versions of an account's contract, newest first, and where each stands.

    `next_ms` is the next boundary: the earliest at which an amendment can take effect.
    """

    account_id: str
    plan_id: str
    next_ms: int
    versions: tuple[tuple[ContractVersion, ContractState], ...]

    @property
    def in_force(self) -> ContractVersion | None:
        """The one under which the running period was sold; None: the plan's own terms."""
        return next((version for version, state in self.versions if state is ContractState.IN_FORCE), None)


@dataclass(frozen=True, slots=True)
class AgreedContract:
    """A version that was agreed. `invoice` is its first period's fee, where it began at once."""

    version: ContractVersion
    invoice: BookedInvoice | None = None


class Contracts:
    """The contracts of all accounts."""

    def __init__(self, billing: Billing) -> None:
        self._billing = billing

    async def agree(
        self, account_id: str, contract: Contract, *, reason: str, starts_ms: int | None = None, actor: str = "cli"
    ) -> AgreedContract:
        """A contract, or another version of it.

        `starts_ms` None: at once where none is in force, at the next boundary where one is. An instant: at the first
        boundary at or after it; one that is past is as good as None. An account on another plan is put on the one plan
        that has contracts. CallerFault where that makes no sense, NoSuchThing.
        """
        at_ms, why = self._billing.now_ms(), _said(reason)
        known = await self._billing.in_redis(account_id)
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            now = await standing(conn, account_id, at_ms)
            agreed = await agreed_by(conn, self._billing.plans(), account_id)
            plan = self._contract_plan(now.subscription.plan_id)
            number = await _next_version(conn, account_id)
            new = _New(account_id, number, contract, at_ms, actor, why, starts_ms or 0)
            invoice, at_once = None, now.running.contract_version is None and (starts_ms or 0) <= at_ms
            if at_once:
                version, effective_ms = await self._begin_now(conn, now, plan, new)
                invoice = await charge_change(
                    conn, self._billing.plans(), now, effective_ms, known=known, told=None, at_ms=at_ms
                )
            elif now.subscription.plan_id == plan.id:
                version = await self._amend(conn, now, agreed, plan, new)
            else:
                version = await self._begin_at_period_end(conn, now, plan, new)
            if contract.ends_ms is not None and contract.ends_ms <= version.effective_ms:
                raise CallerFault(f"the contract would end before it starts at {_day(version.effective_ms)}")
            await self._settle_change(conn, "contract.agree", version, _before(agreed, version), new)
        await self._billing.tell(account_id)
        return AgreedContract(version, invoice)

    async def end(
        self, account_id: str, *, reason: str, ends_ms: int | None = None, actor: str = "cli"
    ) -> ContractVersion:
        """End the contract at the next boundary, or the first at or after `ends_ms`: the plan's own terms go on.

        CallerFault where none is in force there, NoSuchThing.
        """
        at_ms, why = self._billing.now_ms(), _said(reason)
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            now = await standing(conn, account_id, at_ms)
            agreed = await agreed_by(conn, self._billing.plans(), account_id)
            boundary_ms = self._boundary(agreed, now, ends_ms or 0)
            last = agreed.contract_at(boundary_ms)
            if last is None:
                raise CallerFault(f"account {account_id} has no contract at {_day(boundary_ms)}")
            plan = self._contract_plan(now.subscription.plan_id)
            number = await _next_version(conn, account_id)
            new = _New(account_id, number, replace(last.contract, ends_ms=boundary_ms), at_ms, actor, why)
            version = await self._book_amendment(conn, now, agreed, plan, new.version(now.subscription, boundary_ms))
            await self._settle_change(conn, "contract.end", version, last, new)
        await self._billing.tell(account_id)
        return version

    async def show(self, account_id: str) -> ContractView:
        """Every version. NoSuchThing, BooksUnavailable."""
        period, _ = await self._billing.running(account_id)
        async with self._billing.books.read() as conn:
            agreed = await agreed_by(conn, self._billing.plans(), account_id)
            (running,) = await periods.starting_at(conn, account_id, [period.start_ms])
        shown = tuple((one, _state(one, running, agreed)) for one in reversed(agreed.versions))
        return ContractView(account_id, period.plan_id, period.end_ms, shown)

    async def _begin_now(
        self, conn: AsyncConnection, now: Standing, plan: Plan, new: "_New"
    ) -> tuple[ContractVersion, int]:
        """Close the running period and open the first under the contract."""
        effective_ms = await switch_now(conn, now, new.contract.applied_to(plan, new.number), new.at_ms)
        found = await subscriptions.of_account(conn, new.account_id)
        begun = next(one for one in reversed(found) if one.in_force(effective_ms))
        version = new.version(begun, effective_ms)
        await contracts.add(conn, version)
        return version, effective_ms

    async def _begin_at_period_end(
        self, conn: AsyncConnection, now: Standing, plan: Plan, new: "_New"
    ) -> ContractVersion:
        """Leave another plan for the contract when the running period ends."""
        boundary_ms = now.running.end_ms
        if new.starts_ms > boundary_ms:
            raise CallerFault(
                f"account {new.account_id} is on plan {now.subscription.plan_id}: its contract can start now or when "
                f"the running period ends, at {_day(boundary_ms)}"
            )
        if now.pending is not None and now.pending.plan_id == plan.id:
            # Agreed once more before it began.
            pending = now.pending
            await contracts.add(conn, version := new.version(pending, boundary_ms))
            await revise(conn, now.ahead, pending, plan, at_ms=new.at_ms, versions=[version])
            return version
        await switch_at_period_end(conn, now, new.contract.applied_to(plan, new.number), new.at_ms)
        found = await subscriptions.of_account(conn, new.account_id)
        pending = next(one for one in reversed(found) if one.pending(new.at_ms))
        await contracts.add(conn, version := new.version(pending, boundary_ms))
        return version

    async def _amend(
        self, conn: AsyncConnection, now: Standing, agreed: Agreed, plan: Plan, new: "_New"
    ) -> ContractVersion:
        if now.pending is not None:
            raise CallerFault(
                f"account {new.account_id} is about to go to plan {now.pending.plan_id}: take that back first"
            )
        boundary_ms = self._boundary(agreed, now, new.starts_ms)
        return await self._book_amendment(conn, now, agreed, plan, new.version(now.subscription, boundary_ms))

    async def _book_amendment(
        self, conn: AsyncConnection, now: Standing, agreed: Agreed, plan: Plan, version: ContractVersion
    ) -> ContractVersion:
        await contracts.add(conn, version)
        ahead = [period for period in now.ahead if period.start_ms >= version.effective_ms]
        versions = [*agreed.versions, version]
        await revise(conn, ahead, now.subscription, plan, at_ms=version.agreed_ms, versions=versions)
        return version

    def _boundary(self, agreed: Agreed, now: Standing, since_ms: int) -> int:
        """The first boundary after now that is not before an instant, as agreed so far."""
        last, plans = now.running, self._billing.plans()
        for _ in range(_MOST_AHEAD):
            if last.end_ms >= since_ms:
                return last.end_ms
            following = agreed.sold(plans, last.account_id, last.end_ms, last)
            if following is None:
                break
            last = following
        raise CallerFault(f"no billing period of account {last.account_id} begins at or soon after {_day(since_ms)}")

    async def _settle_change(
        self, conn: AsyncConnection, action: str, version: ContractVersion, before: ContractVersion | None, new: "_New"
    ) -> None:
        await accounts.raise_terms_version(conn, new.account_id)
        detail: dict[str, Any] = {
            "version": version.version,
            "effective_ms": version.effective_ms,
            "reason": new.reason,
            "before": None if before is None else terms_document(before.contract),
            "after": terms_document(version.contract),
        }
        await audit.write(conn, AuditEntry(new.at_ms, new.actor, action, new.account_id, new.account_id, detail))

    def _contract_plan(self, current_plan_id: str) -> Plan:
        """The plan the contract makes another of: the account's own, else the one that has contracts."""
        plans = self._billing.plans()
        current = plans.get(current_plan_id)
        if current is not None and current.contract:
            return current
        found = [plan for plan in plans.values() if plan.contract]
        if len(found) != 1:
            names = ", ".join(sorted(plan.id for plan in found)) or "none"
            raise CallerFault(f"put the account on a plan with contracts first; there are: {names}")
        return found[0]


@dataclass(frozen=True, slots=True)
class _New:
    """What is being agreed, by whom and why."""

    account_id: str
    number: int
    contract: Contract
    at_ms: int
    actor: str
    reason: str
    starts_ms: int = 0

    def version(self, subscription: Subscription, effective_ms: int) -> ContractVersion:
        return ContractVersion(
            self.account_id,
            self.number,
            subscription.id,
            effective_ms,
            self.contract,
            self.at_ms,
            self.actor,
            self.reason,
        )


async def _next_version(conn: AsyncConnection, account_id: str) -> int:
    booked = await contracts.of_account(conn, account_id)
    return booked[-1].version + 1 if booked else 1


def _before(agreed: Agreed, version: ContractVersion) -> ContractVersion | None:
    return agreed.contract_at(version.effective_ms)


def _state(version: ContractVersion, running: BookedPeriod, agreed: Agreed) -> ContractState:
    if version.version == running.contract_version:
        return ContractState.IN_FORCE
    if version.effective_ms <= running.start_ms:
        return ContractState.PAST
    subscription = agreed.subscription_at(version.effective_ms)
    later = any(one.version > version.version and one.effective_ms <= version.effective_ms for one in agreed.versions)
    replaced = later or subscription is None or subscription.id != version.subscription_id
    return ContractState.REPLACED if replaced else ContractState.PLANNED


def _said(reason: str) -> str:
    if not 0 < len(reason.strip()) <= _LONGEST_REASON:
        raise CallerFault("a contract needs a reason, such as the number under which it was signed")
    return reason


def _day(at_ms: int) -> str:
    return f"{from_epoch_ms(at_ms):%Y-%m-%d %H:%M} UTC"
