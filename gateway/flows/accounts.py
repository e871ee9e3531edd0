"""Accounts: opening them, changing their plan, correcting their credits, closing them, showing them.

The books first, each change one transaction with its line in the audit log; then Redis is told, as far as it can be
reached. Upgrades take effect at once and are invoiced at once, downgrades when the period ends and can be taken back
until then. Takes no payment itself: `flows.pay_first` does, where a provider is set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, grants, subscriptions, usage
from gateway.books.accounts import Account, Project
from gateway.books.audit import AuditEntry
from gateway.books.grants import GrantKind
from gateway.domain.credits import MAX_MILLICREDITS, credits_text
from gateway.domain.instant import from_epoch_ms
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus, PeriodTerms
from gateway.domain.webhook import EventType
from gateway.flows.billing import Billing
from gateway.flows.change_plan import (
    ChangeAt,
    PlanChange,
    Standing,
    owner_may,
    standing,
    stay,
    switch_at_period_end,
    switch_now,
    when_by_default,
)
from gateway.flows.charge_change import charge_change, charge_opening, honoured
from gateway.flows.faults import CallerFault
from gateway.flows.known_account import known_account
from gateway.flows.pay_first import PayFirst
from gateway.flows.preview_plan import PlanPreview, preview_plan
from gateway.flows.tell_account import emit, plan_data
from gateway.flows.terms import catch_up

_LONGEST_NAME = 200
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class OpenedAccount:
    """A new account and its first project."""

    id: str
    name: str
    plan_id: str
    project_id: str


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """One line of a list; a closed account is on no plan."""

    account: Account
    plan_id: str | None


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as it stands: its plan, its current period, and what the books have of it.

    `booked_millicredits` is what was captured in the period and has reached the books; Redis knows of a little more,
    and of what is held. `pending_plan_id` begins when the period ends.
    """

    account: Account
    plan_id: str
    pending_plan_id: str | None
    period: PeriodTerms
    booked_millicredits: int
    projects: tuple[Project, ...]


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A correction: its grant's id, the period it counts for, and everything granted for that now."""

    grant_id: str
    period_start_ms: int
    granted_millicredits: int


class Accounts:
    """All accounts. `pay_first` takes the payment of a dearer plan before it is made; None: none is taken."""

    def __init__(self, billing: Billing, *, pay_first: PayFirst | None = None) -> None:
        self._billing = billing
        self._pay_first = pay_first

    async def create(self, name: str, plan_id: str, *, sandbox: bool = False, actor: str = "cli") -> OpenedAccount:
        """A new account, its period starting now. Names need not be unique. CallerFault for an unknown plan.

        A `sandbox` has a clock of its own (`flows.own_clock`); a real account never gets one.
        """
        plan, at_ms = self._billing.plan(plan_id), self._billing.now_ms()
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise CallerFault(f"a name has from 1 to {_LONGEST_NAME} printable characters")
        async with self._billing.books.begin() as conn:
            created = await accounts.create(conn, name, plan, at_ms, sandbox=sandbox)
            await charge_opening(conn, self._billing.plans(), created.id, at_ms)
            await _note(
                conn,
                at_ms=at_ms,
                actor=actor,
                action="account.create",
                account_id=created.id,
                detail={"name": name, "plan": plan.id} | ({"sandbox": True} if sandbox else {}),
            )
        await self._billing.tell(created.id)
        return OpenedAccount(created.id, name, plan.id, created.project_id)

    async def preview(
        self,
        account_id: str,
        plan_id: str,
        *,
        when: ChangeAt | None = None,
        by_owner: bool = False,
        honour: bool = True,
    ) -> PlanPreview:
        """What `change_plan` would do now; with `honour` a price is kept, and holds for ten minutes. CallerFault."""
        return await preview_plan(self._billing, account_id, plan_id, when=when, by_owner=by_owner, honour=honour)

    async def change_plan(
        self,
        account_id: str,
        plan_id: str,
        *,
        when: ChangeAt | None = None,
        actor: str = "cli",
        reason: str = "",
        by_owner: bool = False,
        return_url: str | None = None,
    ) -> PlanChange:
        """Another plan. `when` None: a dearer plan now, any other at period end. `by_owner`: within `owner_may`.

        The plan the account is on takes a pending change back. CallerFault for an unknown plan or a closed account.
        Where a provider takes payments, a dearer plan is paid first: PaymentNeeded where it was not, and nothing was
        changed; `return_url` is where the owner of a card comes back to who must confirm the payment.
        """
        plan, at_ms = self._billing.plan(plan_id), self._billing.now_ms()
        if self._pay_first is not None:
            paid = await self._pay_first.change(
                account_id, plan_id, when=when, actor=actor, reason=reason, by_owner=by_owner, return_url=return_url
            )
            if paid is not None:
                return paid
        known = await self._billing.in_redis(account_id)
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            now = await standing(conn, account_id, at_ms)
            if by_owner:
                owner_may(self._billing.plans(), now, plan, when)
            if told := await honoured(conn, now, plan, at_ms):
                plan = replace(plan, price_cents=told.price_cents)
            effective_ms, at_once = await self._switch(conn, now, plan, when, at_ms)
            invoice = None
            if at_once:
                invoice = await charge_change(
                    conn, self._billing.plans(), now, effective_ms, known=known, told=told, at_ms=at_ms
                )
            await accounts.raise_terms_version(conn, account_id)
            detail = {"from": now.subscription.plan_id, "to": plan.id, "effective_ms": effective_ms, "reason": reason}
            await _note(conn, at_ms=at_ms, actor=actor, action="account.plan", account_id=account_id, detail=detail)
            change = plan_data(now.subscription.plan_id, plan.id, effective_ms, invoice)
            await emit(conn, account_id, EventType.PLAN_CHANGED, change, at_ms)
        await self._billing.tell(account_id)
        return PlanChange(account_id, now.subscription.plan_id, plan.id, effective_ms, invoice)

    async def _switch(
        self, conn: AsyncConnection, now: Standing, plan: Plan, when: ChangeAt | None, at_ms: int
    ) -> tuple[int, bool]:
        """When the plan takes effect, and whether that is at once."""
        if plan.id == now.subscription.plan_id:
            return await stay(conn, now, plan, at_ms), False
        if (when or when_by_default(self._billing.plans(), now, plan)) is ChangeAt.NOW:
            return await switch_now(conn, now, plan, at_ms), True
        return await switch_at_period_end(conn, now, plan, at_ms), False

    async def adjust(self, account_id: str, amount_millicredits: int, *, reason: str, actor: str = "cli") -> Adjusted:
        """Give or (below zero) take back credits of the current period. CallerFault without a reason, or for too many.

        What was used stays used: taking back more than is left ends in pay-as-you-go, or in nothing being available.
        """
        at_ms = self._billing.now_ms()
        if not 0 < len(reason.strip()) <= _LONGEST_REASON:
            raise CallerFault("an adjustment needs a reason, which the account's owner will read")
        if amount_millicredits == 0:
            raise CallerFault("an adjustment of 0 credits changes nothing")
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            now = await standing(conn, account_id, at_ms)
            granted = await grants.granted(conn, account_id, now.running.start_ms)
            if not 0 <= granted + amount_millicredits <= MAX_MILLICREDITS // 8:
                raise CallerFault(f"{credits_text(granted)} credits are granted; that leaves none to take so many from")
            grant_id = await grants.add(
                conn,
                account_id=account_id,
                subscription_id=now.subscription.id,
                period_start_ms=now.running.start_ms,
                kind=GrantKind.ADJUSTMENT,
                amount_millicredits=amount_millicredits,
                reason=reason,
                at_ms=at_ms,
            )
            await accounts.raise_terms_version(conn, account_id)
            detail = {"credits": credits_text(amount_millicredits), "grant": grant_id, "reason": reason}
            await _note(conn, at_ms=at_ms, actor=actor, action="account.adjust", account_id=account_id, detail=detail)
        await self._billing.tell(account_id)
        return Adjusted(str(grant_id), now.running.start_ms, granted + amount_millicredits)

    async def close(self, account_id: str, *, reason: str = "", actor: str = "cli") -> None:
        """End the account: nothing is admitted any more, what runs is settled. Again changes nothing."""
        at_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            account = await known_account(conn, account_id, lock=True)
            if account.status is not AccountStatus.CLOSED:
                at_ms = account.own_ms(at_ms)
                # What has begun is booked and charged, whether or not anybody has asked since it did.
                await catch_up(conn, self._billing.plans(), account_id, at_ms)
                await accounts.set_status(conn, account_id, AccountStatus.CLOSED, at_ms)
                for agreed in await subscriptions.of_account(conn, account_id):
                    if agreed.ended_ms is None or agreed.ended_ms > at_ms:
                        await subscriptions.end(conn, agreed.id, max(at_ms, agreed.started_ms))
                await accounts.raise_terms_version(conn, account_id)
                await _note(
                    conn,
                    at_ms=at_ms,
                    actor=actor,
                    action="account.close",
                    account_id=account_id,
                    detail={"reason": reason},
                )
        await self._billing.tell(account_id)

    async def create_project(self, account_id: str, name: str, *, actor: str = "cli") -> Project:
        """A further project; names are unique within an account. CallerFault."""
        at_ms = self._billing.now_ms()
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise CallerFault(f"a name has from 1 to {_LONGEST_NAME} printable characters")
        async with self._billing.books.begin() as conn:
            await self._billing.open_account(conn, account_id, at_ms)
            if any(known.name == name for known in await accounts.projects_of(conn, account_id)):
                raise CallerFault(f"account {account_id} has a project {name!r} already")
            project = await accounts.add_project(conn, account_id, name, at_ms)
            await _note(
                conn,
                at_ms=at_ms,
                actor=actor,
                action="project.create",
                account_id=account_id,
                detail={"project": project.id, "name": name},
            )
        return project

    async def page(
        self,
        *,
        name: str | None = None,
        plan_id: str | None = None,
        status: AccountStatus | None = None,
        after: tuple[int, str] | None = None,
        size: int,
    ) -> tuple[list[ListedAccount], tuple[int, str] | None]:
        """Some accounts, oldest first, and where to go on. `name`: a part of the name, or the whole id."""
        async with self._billing.books.read() as conn:
            found = await accounts.page(
                conn,
                at_ms=self._billing.now_ms(),
                name=name,
                plan_id=plan_id,
                status=status,
                after=after,
                limit=size + 1,
            )
        listed = [ListedAccount(account, on) for account, on in found[:size]]
        last = listed[-1].account if len(found) > size else None
        return listed, None if last is None else (last.created_ms, last.id)

    async def every(self) -> list[ListedAccount]:
        """All accounts, oldest first."""
        async with self._billing.books.read() as conn:
            plan_ids = await subscriptions.plans_in_force(conn, self._billing.now_ms())
            return [ListedAccount(one, plan_ids.get(one.id)) for one in await accounts.every(conn)]

    async def show(self, account_id: str) -> AccountView:
        """One account. CallerFault for an unknown one."""
        period, at_ms = await self._billing.running(account_id)
        async with self._billing.books.read() as conn:
            account = await known_account(conn, account_id)
            agreed = await subscriptions.of_account(conn, account_id)
            captured = await usage.rolled_up_by_period(conn, account_id, periods=[period.start_ms])
            projects = await accounts.projects_of(conn, account_id)
        pending = next((one.plan_id for one in agreed if one.pending(max(at_ms, period.start_ms))), None)
        booked = captured.get(period.start_ms, 0)
        return AccountView(account, period.plan_id, pending, period, booked, tuple(projects))

    async def now(self, account_id: str) -> datetime:
        """What the account's own clock shows: the world's time, but for a sandbox. BooksUnavailable."""
        return from_epoch_ms(self._billing.now_ms() + await self.ahead_ms(account_id))

    async def ahead_ms(self, account_id: str) -> int:
        """How far the account's own clock is ahead of the world's. BooksUnavailable."""
        async with self._billing.books.read() as conn:
            return await accounts.own_ms(conn, account_id, 0)

    async def projects(self, account_id: str) -> list[Project]:
        """The account's projects, the default one first. CallerFault for an unknown account."""
        async with self._billing.books.read() as conn:
            await known_account(conn, account_id)
            return await accounts.projects_of(conn, account_id)


async def _note(
    conn: AsyncConnection, *, at_ms: int, actor: str, action: str, account_id: str, detail: Mapping[str, Any]
) -> None:
    await audit.write(conn, AuditEntry(at_ms, actor, action, account_id, account_id, detail))
