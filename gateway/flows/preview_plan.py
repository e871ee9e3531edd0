"""What another plan would mean for an account, before anyone agrees to it: when, with what, and for how much.

Changes nothing of the account. A price for a change at once is exact to the cent and kept, so that it is honoured for
ten minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.domain.credits import credits_text
from gateway.domain.instant import from_epoch_ms
from gateway.domain.money import dollars_text
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus
from gateway.flows.billing import Billing
from gateway.flows.change_plan import ChangeAt, Standing, owner_may, standing, when_by_default
from gateway.flows.charge_change import ToldPrice, tell_price
from gateway.flows.faults import CallerFault
from gateway.flows.known_account import known_account


class TakesEffect(StrEnum):
    """When another plan begins; `stays` where the account is on it already."""

    NOW = "now"
    PERIOD_END = "period_end"
    STAYS = "stays"


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """`replaced_plan_id` is a pending plan that would be taken back. `included_millicredits` is of a whole period.

    `price` is what a change at once is invoiced; None where nothing is invoiced now.
    """

    account_id: str
    previous_plan_id: str
    plan_id: str
    replaced_plan_id: str | None
    takes_effect: TakesEffect
    effective_ms: int
    included_millicredits: int
    price: ToldPrice | None = None

    def sentence(self, *, preview: bool) -> str:
        """For a person, before (`preview`) or after the change."""
        at = from_epoch_ms(self.effective_ms).isoformat(sep=" ", timespec="minutes").replace("+00:00", " UTC")
        included = f"{credits_text(self.included_millicredits)} credits a period"
        back = f" The pending change to {self.replaced_plan_id} {'would be' if preview else 'was'} taken back."
        match self.takes_effect:
            case TakesEffect.NOW:
                verb = "would be" if preview else "is"
                said = f"{self.account_id} {verb} on {self.plan_id} at once, in a new period with {included}."
            case TakesEffect.PERIOD_END:
                verb = "would be" if preview else "will be"
                said = f"{self.account_id} {verb} on {self.plan_id} from {at} on, with {included}."
            case _:
                verb = "would stay" if preview else "stays"
                said = f"{self.account_id} {verb} on {self.plan_id}, with {included}."
        if preview and self.price is not None:
            said += f" It would cost {dollars_text(self.price.sums.total_cents)} now"
            until_ms = self.price.honoured_until_ms
            said += "." if until_ms is None else f"; this holds until {from_epoch_ms(until_ms):%H:%M} UTC."
        return said + (back if self.replaced_plan_id else "")


async def preview_plan(
    billing: Billing,
    account_id: str,
    plan_id: str,
    *,
    when: ChangeAt | None,
    by_owner: bool = False,
    honour: bool = True,
) -> PlanPreview:
    """What `Accounts.change_plan` would do now. CallerFault as there.

    `honour` False: for one who may look and not change, and whose look leaves the price that an owner was told.

    While Redis is away, the price is by what the books have.
    """
    plan = billing.plan(plan_id)
    foreseen, now, at_ms = await _foresee(billing, account_id, plan, when)
    if by_owner:
        owner_may(billing.plans(), now, plan, when)
    if foreseen.takes_effect is not TakesEffect.NOW:
        return foreseen
    known = await billing.in_redis(account_id)
    async with billing.books.begin() as conn:
        price = await tell_price(conn, billing.plans(), now, plan, known=known, at_ms=at_ms, honour=honour)
    return replace(foreseen, price=price)


async def foresee_plan(billing: Billing, account_id: str, plan_id: str, *, when: ChangeAt | None) -> PlanPreview:
    """The same without a price. CallerFault."""
    return (await _foresee(billing, account_id, billing.plan(plan_id), when))[0]


async def _foresee(
    billing: Billing, account_id: str, plan: Plan, when: ChangeAt | None
) -> tuple[PlanPreview, Standing, int]:
    _, at_ms = await billing.running(account_id)
    async with billing.books.read() as conn:
        if (await known_account(conn, account_id)).status is AccountStatus.CLOSED:
            raise CallerFault(f"account {account_id} is closed")
        now = await standing(conn, account_id, at_ms)
    return _foreseen(billing.plans(), now, plan, when, at_ms), now, at_ms


def _foreseen(plans: Mapping[str, Plan], now: Standing, plan: Plan, when: ChangeAt | None, at_ms: int) -> PlanPreview:
    previous, pending = now.subscription.plan_id, now.pending.plan_id if now.pending is not None else None
    if plan.id == previous:
        takes_effect, effective_ms = TakesEffect.STAYS, now.subscription.started_ms
    elif (when or when_by_default(plans, now, plan)) is ChangeAt.NOW:
        takes_effect, effective_ms = TakesEffect.NOW, max(at_ms, now.running.start_ms)
    else:
        takes_effect, effective_ms = TakesEffect.PERIOD_END, now.running.end_ms
    replaced = pending if pending != plan.id or takes_effect is TakesEffect.NOW else None
    stays = takes_effect is TakesEffect.STAYS and now.running.contract_version is not None
    included = now.running.allowance_millicredits if stays else plan.granted_millicredits
    return PlanPreview(now.running.account_id, previous, plan.id, replaced, takes_effect, effective_ms, included)
