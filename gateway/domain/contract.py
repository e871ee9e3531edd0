"""Contracts: what one account agreed to, in versions that each take effect at a boundary of its periods.

A contract makes another plan of the plan it belongs to: its own price, credits, overage, limits. What a version was is
never changed; a later one replaces it from its own start on. Knows no account, no store and no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from gateway.domain.plan import PayAsYouGo, Plan, RateLimit, Tier, WhenExhausted


class BillingPeriod(StrEnum):
    """How long the periods of a contract last."""

    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    ANNUAL = "annual"

    @property
    def months(self) -> int:
        """Its length in months."""
        return _MONTHS[self]


_MONTHS: Final[Mapping[BillingPeriod, int]] = {
    BillingPeriod.MONTHLY: 1,
    BillingPeriod.QUARTERLY: 3,
    BillingPeriod.ANNUAL: 12,
}


class OverageMode(StrEnum):
    """What happens when the committed credits of a period are used up."""

    REFUSE = "refuse"
    PAY_AS_YOU_GO = "pay_as_you_go"
    ALLOW_AND_ALERT = "allow_and_alert"  # no ceiling: charged at the contract's rate, and somebody is told


@dataclass(frozen=True, slots=True)
class Contract:
    """What was agreed. Credits and prices are per period; the price is charged in advance.

    `tiers` are the overage's prices in order, the last endless; empty where overage is refused. `ends_ms`: a period
    that begins then or later is no longer under it.
    """

    committed_millicredits: int
    price_cents: int
    period: BillingPeriod = BillingPeriod.MONTHLY
    overage: OverageMode = OverageMode.REFUSE
    tiers: tuple[Tier, ...] = ()
    max_cents_per_period: int | None = None
    rate_limits: Mapping[str, RateLimit | None] = field(default_factory=dict)
    concurrent_calls: int | None = None
    rollover_parts_per_million: int = 0
    net_days: int = 0
    ends_ms: int | None = None

    def applied_to(self, plan: Plan, version: int) -> Plan:
        """The plan as this account has it. Limits that the contract does not name are the plan's."""
        refuses = self.overage is OverageMode.REFUSE or not self.tiers
        ceiling = self.max_cents_per_period if self.overage is OverageMode.PAY_AS_YOU_GO else None
        graduated = self.tiers if len(self.tiers) > 1 else ()
        return replace(
            plan,
            price_cents=self.price_cents,
            granted_millicredits=self.committed_millicredits,
            rate_limits={**plan.rate_limits, **self.rate_limits},
            when_exhausted=WhenExhausted.REFUSE if refuses else WhenExhausted.PAY_AS_YOU_GO,
            pay_as_you_go=None
            if refuses
            else PayAsYouGo(self.tiers[0].nanodollars_per_millicredit, ceiling, graduated),
            concurrent_calls=self.concurrent_calls or plan.concurrent_calls,
            months=self.period.months,
            rollover_parts_per_million=self.rollover_parts_per_million,
            net_days=self.net_days,
            contract_version=version,
        )


@dataclass(frozen=True, slots=True)
class ContractVersion:
    """One version of an account's contract: in force from `effective_ms` until a higher version is, or it ends.

    It belongs to one subscription: whoever leaves the plan and comes back agrees anew.
    """

    account_id: str
    version: int
    subscription_id: str
    effective_ms: int
    contract: Contract
    agreed_ms: int
    actor: str
    reason: str


def in_force(versions: Sequence[ContractVersion], subscription_id: str, at_ms: int) -> ContractVersion | None:
    """The version under which a period that begins at `at_ms` is sold: the highest whose start has come."""
    agreed = [one for one in versions if one.subscription_id == subscription_id and one.effective_ms <= at_ms]
    last = max(agreed, key=lambda one: one.version, default=None)
    if last is None or (last.contract.ends_ms is not None and last.contract.ends_ms <= at_ms):
        return None
    return last


def plan_under(plan: Plan, versions: Sequence[ContractVersion], subscription_id: str, at_ms: int) -> Plan:
    """What a plan gives in a period that begins at `at_ms`: the contract's terms where one is in force."""
    if not plan.contract:
        return plan
    version = in_force(versions, subscription_id, at_ms)
    return plan if version is None else version.contract.applied_to(plan, version.version)
