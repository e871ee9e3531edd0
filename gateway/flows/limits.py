"""What limits an account beside its plan: its own spend limits, budgets of its projects and keys, raises for a while.

Each change is one transaction with its line in the audit log and a new version of the account's terms, which is how
every gateway process acts on it at the next call; then Redis is told. A raise ends by itself: Redis knows when. Raises
no alert: thresholds are only kept here.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, audit, keys, limits, usage
from gateway.books.audit import AuditEntry
from gateway.domain.credits import MAX_MILLICREDITS, credits_text
from gateway.domain.instant import DAY_MS
from gateway.domain.limits import Budget, Ceiling, Raise, Sold, SpendLimits
from gateway.domain.plan import NO_CEILING_MILLICREDITS
from gateway.domain.terms import PeriodTerms
from gateway.flows.billing import Billing
from gateway.flows.change_plan import Standing, standing
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.flows.known_account import known_account
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger

MOST_CENTS: Final = 1_000_000_000
MOST_PERCENT: Final = 1_000
MOST_THRESHOLDS: Final = 20
MOST_BUDGETS: Final = 200
MOST_CHANGES: Final = 500
LONGEST_RAISE_MS: Final = 400 * DAY_MS
_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget and what was used of it in the running period; as far as booked, where Redis cannot tell."""

    subject_id: str
    limit_millicredits: int
    captured_millicredits: int
    held_millicredits: int

    @property
    def of_key(self) -> bool:
        """Of an API key; else of a project."""
        return self.subject_id.startswith("key_")

    @property
    def remaining_millicredits(self) -> int:
        """Never below zero, as a job may overrun."""
        return max(0, self.limit_millicredits - self.captured_millicredits - self.held_millicredits)


@dataclass(frozen=True, slots=True)
class LimitsView:
    """What limits an account now. `sold` is what the running period was sold with, `ceiling` what comes of it all."""

    account_id: str
    period: PeriodTerms
    own: SpendLimits
    sold: Sold
    ceiling: Ceiling
    raised: Raise | None
    budgets: tuple[BudgetView, ...]


class Limits:
    """The limits of all accounts. Without `ledger`, what budgets have used is told as far as it is booked."""

    def __init__(self, billing: Billing, ledger: Ledger | None = None) -> None:
        self._billing = billing
        self._ledger = ledger

    async def get(self, account_id: str) -> LimitsView:
        """What limits the account now. NoSuchThing, BooksUnavailable."""
        period, at_ms = await self._billing.running(account_id)
        async with self._billing.books.read() as conn:
            own = await limits.own(conn, account_id)
            sold = (await limits.sold(conn, account_id, [period.start_ms]))[period.start_ms]
            running = await _running_raise(conn, account_id, at_ms)
            agreed = await limits.budgets_of(conn, account_id)
            used = await self._used(conn, account_id, period.start_ms, agreed)
        budgets = tuple(BudgetView(*budget, *used[budget.subject_id]) for budget in agreed)
        return LimitsView(account_id, period, own, sold, period.ceiling_at(at_ms), running, budgets)

    async def own(self, account_id: str) -> SpendLimits:
        """The account's own limits alone; asks only the books. NoSuchThing, BooksUnavailable."""
        async with self._billing.books.read() as conn:
            await known_account(conn, account_id)
            return await limits.own(conn, account_id)

    async def change(
        self, account_id: str, edit: Callable[[SpendLimits], SpendLimits], *, actor: str = "cli"
    ) -> LimitsView:
        """Make the account's own limits what `edit` makes of them. WrongParameter, CallerFault, NoSuchThing.

        What pay-as-you-go has been used for before stays charged, also where the ceiling is lower now.
        """
        at_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            now = await standing(conn, account_id, at_ms)
            before = await limits.own(conn, account_id)
            after = _checked(edit(before))
            if after != before:
                await _spare_changes(conn, now)
                await limits.set_own(conn, account_id, after, at_ms)
                detail = _detail(asdict(before), asdict(after))
                await _changed(conn, AuditEntry(at_ms, actor, "account.limits", account_id, account_id, detail))
        await self._billing.tell(account_id)
        return await self.get(account_id)

    async def set_budget(
        self, account_id: str, subject_id: str, millicredits: int, *, actor: str = "cli"
    ) -> LimitsView:
        """At most so many credits in a billing period for a project or a key; what the running one used counts."""
        at_ms = self._billing.now_ms()
        if not 0 <= millicredits <= MAX_MILLICREDITS // 8:
            raise WrongParameter("credits", "a budget is 0 credits or more; remove it to have none")
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            await _own_subject(conn, account_id, subject_id)
            budgets = dict(await limits.budgets_of(conn, account_id))
            if subject_id not in budgets and len(budgets) >= MOST_BUDGETS:
                raise CallerFault(f"an account has at most {MOST_BUDGETS} budgets; remove one that is not needed")
            if budgets.get(subject_id) != millicredits:
                await limits.set_budget(conn, account_id, Budget(subject_id, millicredits), at_ms)
                detail = _detail(_in_credits(budgets.get(subject_id)), _in_credits(millicredits))
                await _changed(conn, AuditEntry(at_ms, actor, "budget.set", account_id, subject_id, detail))
        await self._billing.tell(account_id)
        return await self.get(account_id)

    async def remove_budget(self, account_id: str, subject_id: str, *, actor: str = "cli") -> LimitsView:
        """No limit for the project or key any more; again changes nothing. CallerFault, NoSuchThing."""
        at_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            budgets = dict(await limits.budgets_of(conn, account_id))
            if subject_id in budgets:
                await limits.remove_budget(conn, account_id, subject_id)
                detail = _detail(_in_credits(budgets[subject_id]), None)
                await _changed(conn, AuditEntry(at_ms, actor, "budget.remove", account_id, subject_id, detail))
            else:
                await _own_subject(conn, account_id, subject_id)
        await self._billing.tell(account_id)
        return await self.get(account_id)

    async def raise_ceiling(
        self,
        account_id: str,
        *,
        until_ms: int,
        reason: str,
        max_cents: int | None = None,
        max_millicredits: int | None = None,
        actor: str = "cli",
    ) -> LimitsView:
        """A higher ceiling than the plan's, in cents or in credits, from now until an instant; replaces a running one.

        The account's own limit is never raised by it. CallerFault, WrongParameter, NoSuchThing.
        """
        at_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            now = await standing(conn, account_id, at_ms)
            _check_raise(at_ms, until_ms, reason, max_cents, max_millicredits)
            await _spare_changes(conn, now)
            start_ms = now.running.start_ms
            sold = (await limits.sold(conn, account_id, [start_ms]))[start_ms]
            if sold.overage_millicredits == 0:
                raise CallerFault(f"plan {now.running.plan_id} has no pay-as-you-go to raise; give credits instead")
            wanted = max_millicredits or sold.millicredits(max_cents) or 0
            if wanted <= sold.overage_millicredits:
                least = credits_text(sold.overage_millicredits)
                raise CallerFault(f"the plan's ceiling is {least} credits; a raise must go beyond it")
            before = await _running_raise(conn, account_id, at_ms)
            if before is not None:
                await limits.end_raise(conn, before, at_ms)
            made = await limits.add_raise(
                conn,
                account_id,
                from_ms=at_ms,
                until_ms=until_ms,
                max_cents=max_cents,
                max_millicredits=max_millicredits,
                reason=reason.strip(),
            )
            detail = _detail(None if before is None else asdict(before), asdict(made), reason)
            await _changed(conn, AuditEntry(at_ms, actor, "account.raise", account_id, made.id, detail))
        await self._billing.tell(account_id)
        return await self.get(account_id)

    async def end_raise(self, account_id: str, *, reason: str = "", actor: str = "cli") -> LimitsView:
        """End the running raise before its time; without one nothing changes. CallerFault, NoSuchThing."""
        at_ms = self._billing.now_ms()
        async with self._billing.books.begin() as conn:
            _, at_ms = await self._billing.open_account(conn, account_id, at_ms)
            running = await _running_raise(conn, account_id, at_ms)
            if running is not None:
                await limits.end_raise(conn, running, at_ms)
                detail = _detail(asdict(running), None, reason)
                await _changed(conn, AuditEntry(at_ms, actor, "account.raise_end", account_id, running.id, detail))
        await self._billing.tell(account_id)
        return await self.get(account_id)

    async def _used(
        self, conn: AsyncConnection, account_id: str, period_start_ms: int, agreed: tuple[Budget, ...]
    ) -> dict[str, tuple[int, int]]:
        used: dict[str, tuple[int, int]] = {}
        if self._ledger is not None and agreed:
            try:
                names = [budget.subject_id for budget in agreed]
                used = await self._ledger.budget_usage(account_id, period_start_ms, names)
            except StoreUnavailable:
                used = {}
        for subject_id, _ in agreed:
            if subject_id not in used:
                captured = await usage.captured_for(
                    conn, account_id, period_start_ms, subject_id, up_to_seq=MAX_MILLICREDITS
                )
                used[subject_id] = captured, 0
        return used


def _checked(wanted: SpendLimits) -> SpendLimits:
    if wanted.max_cents is not None and not 0 <= wanted.max_cents <= MOST_CENTS:
        raise WrongParameter("max_cents", f"a spend limit is from 0 to {MOST_CENTS} cents; null is none of your own")
    for name, values, most in (
        ("alert_percents", wanted.alert_percents, MOST_PERCENT),
        ("alert_cents", wanted.alert_cents, MOST_CENTS),
    ):
        if len(values) > MOST_THRESHOLDS or not all(1 <= value <= most for value in values):
            raise WrongParameter(name, f"at most {MOST_THRESHOLDS} thresholds, each from 1 to {most}")
    percents, cents = (tuple(sorted(set(values))) for values in (wanted.alert_percents, wanted.alert_cents))
    return SpendLimits(wanted.pay_as_you_go, wanted.max_cents, percents, cents)


def _check_raise(at_ms: int, until_ms: int, reason: str, max_cents: int | None, max_millicredits: int | None) -> None:
    if (max_cents is None) == (max_millicredits is None):
        raise WrongParameter("max_cents", "a raise is to an amount of money or to a number of credits: name one")
    if not 0 < (max_cents or max_millicredits or 0) <= (MOST_CENTS if max_cents else NO_CEILING_MILLICREDITS):
        raise WrongParameter("max_cents" if max_millicredits is None else "max_credits", "the amount is out of range")
    if not at_ms < until_ms <= at_ms + LONGEST_RAISE_MS:
        raise WrongParameter("until", "a raise ends within 400 days from now, and not before now")
    if not 0 < len(reason.strip()) <= _LONGEST_REASON:
        raise WrongParameter("reason", f"a raise needs a reason of at most {_LONGEST_REASON} characters")


async def _running_raise(conn: AsyncConnection, account_id: str, at_ms: int) -> Raise | None:
    running = [one for one in await limits.raises(conn, account_id, since_ms=at_ms) if one.over_ms > at_ms]
    return running[-1] if running else None


async def _spare_changes(conn: AsyncConnection, now: Standing) -> None:
    """Every change is kept, since calls are charged by what was in force when they were admitted."""
    account_id = now.running.account_id
    if await limits.changes_since(conn, account_id, now.running.start_ms) >= MOST_CHANGES:
        raise CallerFault(f"the limits were changed {MOST_CHANGES} times in this billing period; wait for the next")


async def _own_subject(conn: AsyncConnection, account_id: str, subject_id: str) -> None:
    if subject_id.startswith("key_"):
        key = await keys.get(conn, subject_id)
        if key is None or key.account_id != account_id:
            raise NoSuchThing("key", subject_id)
    elif all(project.id != subject_id for project in await accounts.projects_of(conn, account_id)):
        raise NoSuchThing("project", subject_id)


def _in_credits(amount_millicredits: int | None) -> dict[str, str] | None:
    return None if amount_millicredits is None else {"credits": credits_text(amount_millicredits)}


def _detail(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, reason: str = "") -> dict[str, Any]:
    return {"before": before, "after": after} | ({"reason": reason} if reason else {})


async def _changed(conn: AsyncConnection, entry: AuditEntry) -> None:
    """The line in the audit log, and the version that every process will see."""
    await accounts.raise_terms_version(conn, entry.account_id)
    await audit.write(conn, entry)
