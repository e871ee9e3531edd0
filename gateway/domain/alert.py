"""Alerts: which thresholds of its allowance and its spending an account has crossed in a period. Pure; tells nobody.

A threshold counts as crossed when it is reached. Four kinds bear LlamaCloud's names; the percentages besides 100 have
none there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.domain.plan import NANODOLLARS_PER_CENT, NO_CEILING_MILLICREDITS


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
class Thresholds:
    """What an account wants to hear of: percents of its allowance, and cents of pay-as-you-go.

    100 % and ceilings are told of in any case.
    """

    percents: tuple[int, ...] = (50, 80, 90, 100, 120)
    cents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Spending:
    """How an account stands in a period. Ceilings are of pay-as-you-go; None or 0: it has none, or no pay-as-you-go.

    `included` is everything granted. `nanodollars_per_millicredit` None: credits beyond it are not sold.
    """

    used_millicredits: int
    included_millicredits: int
    nanodollars_per_millicredit: int | None = None
    plan_ceiling_millicredits: int | None = None
    own_ceiling_millicredits: int | None = None

    @property
    def pay_as_you_go_millicredits(self) -> int:
        """What was used beyond what is included."""
        return max(0, self.used_millicredits - self.included_millicredits)

    @property
    def spend_nanodollars(self) -> int:
        """What pay-as-you-go comes to, exactly."""
        return self.pay_as_you_go_millicredits * (self.nanodollars_per_millicredit or 0)

    @property
    def spend_cents(self) -> int:
        """What pay-as-you-go comes to, in cents begun and not ended."""
        return self.spend_nanodollars // NANODOLLARS_PER_CENT

    def cents_of(self, millicredits: int) -> int:
        """An amount of pay-as-you-go in cents, rounded up: a ceiling kept in credits, as it was said in money."""
        return -(-millicredits * (self.nanodollars_per_millicredit or 0) // NANODOLLARS_PER_CENT)


@dataclass(frozen=True, slots=True, order=True)
class Alert:
    """A threshold that was crossed: the pair is what makes it once a period."""

    kind: AlertKind
    threshold: int


def crossed(state: Spending, thresholds: Thresholds) -> tuple[Alert, ...]:
    """Every alert that the state gives reason to, in a fixed order, whether raised before or not.

    An allowance of nothing has no part that could be used up.
    """
    return tuple(sorted({*_of_allowance(state, thresholds.percents), *_of_spending(state, thresholds.cents)}))


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
        if 0 < cents * NANODOLLARS_PER_CENT <= state.spend_nanodollars:
            yield Alert(AlertKind.PLAN_SPEND_LIMIT_SOFT_ALERT, cents)
    ceilings = (
        (AlertKind.PLAN_SPEND_LIMIT_EXCEEDED, state.plan_ceiling_millicredits),
        (AlertKind.CONFIGURED_SPEND_LIMIT_EXCEEDED, state.own_ceiling_millicredits),
    )
    for kind, ceiling in ceilings:
        if ceiling and ceiling < NO_CEILING_MILLICREDITS and state.pay_as_you_go_millicredits >= ceiling:
            yield Alert(kind, state.cents_of(ceiling))
