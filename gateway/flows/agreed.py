"""What an account agreed to, and as what its next period is therefore sold: plan, or contract. Books nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import contracts, subscriptions
from gateway.books.periods import BookedPeriod
from gateway.books.subscriptions import Subscription
from gateway.domain.contract import ContractVersion, in_force, plan_under
from gateway.domain.instant import epoch_ms, from_epoch_ms
from gateway.domain.period import add_months, period_at, period_from
from gateway.domain.plan import Plan

# Ten years of months: an account nobody has called for longer starts again at the last of them.
MOST_PERIODS: Final = 120


@dataclass(frozen=True, slots=True)
class Agreed:
    """An account's subscriptions and the versions of its contract, oldest first."""

    subscriptions: Sequence[Subscription]
    versions: Sequence[ContractVersion] = ()

    def subscription_at(self, at_ms: int) -> Subscription | None:
        """The one that decides at an instant."""
        return next((one for one in self.subscriptions if one.in_force(at_ms)), None)

    def sold(
        self, plans: Mapping[str, Plan], account_id: str, start_ms: int, last: BookedPeriod | None
    ) -> BookedPeriod | None:
        """The period that begins there, with what plan or contract gives; None where the account is on no plan.

        A plan that is no longer sold goes on as it was for those who are on it.
        """
        subscription = self.subscription_at(start_ms)
        if subscription is None:
            return None
        plan = self.plan_at(plans, subscription, start_ms)
        end_ms = end_of(subscription.anchor_ms, start_ms, 1 if plan is None else plan.months)
        due = BookedPeriod(account_id, start_ms, end_ms, subscription.id, subscription.plan_id, 0, 0)
        if plan is not None:
            return due.sold_as(plan)
        if last is None or last.plan_id != due.plan_id:
            return due
        return replace(
            last,
            subscription_id=due.subscription_id,
            start_ms=due.start_ms,
            end_ms=due.end_ms,
            opened_by=None,
            closed_by=None,
        )

    def plan_at(self, plans: Mapping[str, Plan], subscription: Subscription, start_ms: int) -> Plan | None:
        """What a subscription's plan gives in a period that begins then; None where it is no longer sold."""
        plan = plans.get(subscription.plan_id)
        return None if plan is None else plan_under(plan, self.versions, subscription.id, start_ms)

    def contract_at(self, at_ms: int) -> ContractVersion | None:
        """The version under which a period that begins then is sold."""
        subscription = self.subscription_at(at_ms)
        return None if subscription is None else in_force(self.versions, subscription.id, at_ms)

    def due(self, plans: Mapping[str, Plan], last: BookedPeriod, until_ms: int) -> Iterator[BookedPeriod]:
        """The periods after `last` that begin no later than `until_ms`; of very many, the last MOST_PERIODS."""
        start_ms = self._first_start(plans, last, until_ms)
        while start_ms is not None and start_ms <= until_ms:
            following = self.sold(plans, last.account_id, start_ms, last)
            if following is None:
                return
            yield following
            last, start_ms = following, following.end_ms

    def _first_start(self, plans: Mapping[str, Plan], last: BookedPeriod, until_ms: int) -> int | None:
        subscription = self.subscription_at(last.end_ms)
        if subscription is None:
            return None
        plan = self.plan_at(plans, subscription, until_ms)
        months = 1 if plan is None else plan.months
        anchor = from_epoch_ms(subscription.anchor_ms)
        first = period_at(anchor, from_epoch_ms(last.end_ms)).index
        behind = (period_at(anchor, from_epoch_ms(max(until_ms, last.end_ms))).index - first) // months
        if behind < MOST_PERIODS:
            return last.end_ms
        return epoch_ms(add_months(anchor, first + (behind + 1 - MOST_PERIODS) * months))


async def agreed_by(conn: AsyncConnection, plans: Mapping[str, Plan], account_id: str) -> Agreed:
    """As booked. Contracts are looked for where a plan has them."""
    found = await subscriptions.of_account(conn, account_id)
    by_contract = any(one.plan_id in plans and plans[one.plan_id].contract for one in found)
    return Agreed(found, await contracts.of_account(conn, account_id) if by_contract else ())


def end_of(anchor_ms: int, start_ms: int, months: int) -> int:
    """When a period of so many months ends that begins there; both in epoch ms."""
    return epoch_ms(period_from(from_epoch_ms(anchor_ms), from_epoch_ms(start_ms), months=months).end)
