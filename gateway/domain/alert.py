"""Alerts: which thresholds of its allowance and its spending an account has crossed in a period. Pure; tells nobody.

A threshold counts as crossed when it is reached. Four kinds bear LlamaCloud's names; the percentages besides 100 have
none there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor
from typing import Final

from gateway.domain.limits import Ceiling, CeilingBy
from gateway.domain.plan import NO_CEILING_MILLICREDITS, Tier
from gateway.domain.rating import graduated_cents, pay_as_you_go_cents


class AlertKind(StrEnum):
    """What was reached. The threshold of the first two is in percent of the allowance, of the others in cents."""

    ALLOWANCE_THRESHOLD = "allowance_threshold"
    FREE_CREDITS_EXHAUSTED = "free_credits_exhausted"
    PLAN_SPEND_LIMIT_SOFT_ALERT = "plan_spend_limit_soft_alert"  # an amount of money the account wants to hear of
    PLAN_SPEND_LIMIT_EXCEEDED = "plan_spend_limit_exceeded"  # the plan's ceiling
    CONFIGURED_SPEND_LIMIT_EXCEEDED = "configured_spend_limit_exceeded"  # the account's own

    @property
    def in_percent(self) -> bool:
        """Whether its threshold is in percent; else it is in cents."""
        return self in {AlertKind.ALLOWANCE_THRESHOLD, AlertKind.FREE_CREDITS_EXHAUSTED}


# What LlamaCloud's clients know.
VENDOR_KINDS: Final = frozenset(AlertKind) - {AlertKind.ALLOWANCE_THRESHOLD}
EXHAUSTED_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Spending:
    """How an account stands in a period. `included` is everything granted, `ceiling` how far beyond that it may go.

    `nanodollars_per_millicredit` None: credits beyond what is included are not sold. `tiers` where that is graduated.
    """

    used_millicredits: int
    included_millicredits: int
    ceiling: Ceiling
    nanodollars_per_millicredit: int | None = None
    tiers: tuple[Tier, ...] = ()

    @property
    def charged_millicredits(self) -> int:
        """What was used beyond what is included, and is charged: up to the ceiling."""
        return min(self._beyond_millicredits, self.ceiling.millicredits)

    @property
    def at_ceiling(self) -> bool:
        """Whether nothing more is sold in this period, and a limit of money is why."""
        limit = self.ceiling.millicredits
        return 0 < limit < NO_CEILING_MILLICREDITS and self._beyond_millicredits >= limit

    @property
    def spend_cents(self) -> int:
        """What pay-as-you-go comes to, in whole cents, rounded down: so much has certainly been spent."""
        return floor(self.cents_of(self.charged_millicredits))

    def cents_of(self, millicredits: int) -> Fraction:
        """What so much pay-as-you-go comes to, exactly."""
        if self.tiers:
            return graduated_cents(millicredits, self.tiers)
        return pay_as_you_go_cents(millicredits, self.nanodollars_per_millicredit or 0)

    @property
    def _beyond_millicredits(self) -> int:
        return max(0, self.used_millicredits - self.included_millicredits)


@dataclass(frozen=True, slots=True, order=True)
class Alert:
    """A threshold that was crossed: the pair is what makes it once a period."""

    kind: AlertKind
    threshold: int


def crossed(state: Spending, *, percents: Iterable[int], cents: Iterable[int]) -> tuple[Alert, ...]:
    """Every alert that the state gives reason to, in a fixed order, whether raised before or not.

    `percents` of what is included and `cents` of pay-as-you-go are those the account wants to hear of; 100 % and the
    ceiling are told of in any case. An allowance of nothing has no part that could be used up.
    """
    return tuple(sorted({*_of_allowance(state, percents), *_of_spending(state, cents)}))


def _of_allowance(state: Spending, percents: Iterable[int]) -> Iterable[Alert]:
    if state.included_millicredits <= 0:
        return
    for percent in {*percents, EXHAUSTED_PERCENT}:
        if state.used_millicredits * 100 >= percent * state.included_millicredits:
            exhausted = percent == EXHAUSTED_PERCENT
            kind = AlertKind.FREE_CREDITS_EXHAUSTED if exhausted else AlertKind.ALLOWANCE_THRESHOLD
            yield Alert(kind, percent)


def _of_spending(state: Spending, amounts_cents: Iterable[int]) -> Iterable[Alert]:
    for cents in amounts_cents:
        if 0 < cents <= state.spend_cents:
            yield Alert(AlertKind.PLAN_SPEND_LIMIT_SOFT_ALERT, cents)
    if state.at_ceiling:
        own = state.ceiling.by is CeilingBy.ACCOUNT
        kind = AlertKind.CONFIGURED_SPEND_LIMIT_EXCEEDED if own else AlertKind.PLAN_SPEND_LIMIT_EXCEEDED
        # A ceiling is kept in credits, rounded down; up to the cent it is the one that was set.
        yield Alert(kind, ceil(state.cents_of(state.ceiling.millicredits)))
