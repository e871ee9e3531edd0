"""How far an account may go beyond its grant: the plan's ceiling, the account's own, an operator's raise; and budgets.

Ceilings are set in money and kept in credits; the lowest of the plan's (or what it is raised to) and the account's own
counts. Says what counts when, and nothing of what was used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from gateway.domain.plan import PayAsYouGo, Tier

ALERT_PERCENTS: Final = (50, 80, 90, 100, 120)
# Redis and the gateway have clocks of their own, and a process may act on older terms for a minute: within this time of
# a change the higher ceiling is the one that charges.
GRACE_MS: Final = 120_000


class CeilingBy(StrEnum):
    """What sets the ceiling of pay-as-you-go. A refusal names it as `limit`."""

    ALLOWANCE = "allowance"  # the plan sells nothing beyond it
    PLAN = "plan"
    CONTRACT = "contract"
    RAISE = "raise"
    ACCOUNT = "account"
    SWITCHED_OFF = "pay_as_you_go_off"


@dataclass(frozen=True, slots=True)
class SpendLimits:
    """What an account limits itself to, in cents per billing period; `max_cents` None: only the plan's ceiling counts.

    `alert_percents` are of the allowance, `alert_cents` of what pay-as-you-go has cost: who raises them is elsewhere.
    """

    pay_as_you_go: bool = True
    max_cents: int | None = None
    alert_percents: tuple[int, ...] = ALERT_PERCENTS
    alert_cents: tuple[int, ...] = ()


class Agreed(NamedTuple):
    """The account's own limits from an instant on, until the next."""

    from_ms: int
    own: SpendLimits


@dataclass(frozen=True, slots=True)
class Raise:
    """A higher ceiling than the plan's in `[from_ms, until_ms)`, in cents or in credits. `ended_ms`: ended early."""

    id: str
    from_ms: int
    until_ms: int
    max_cents: int | None
    max_millicredits: int | None
    reason: str
    ended_ms: int | None = None

    @property
    def over_ms(self) -> int:
        """When it no longer counts."""
        return self.until_ms if self.ended_ms is None else min(self.ended_ms, self.until_ms)


class Budget(NamedTuple):
    """At most so many credits in one billing period for what one project or one API key starts."""

    subject_id: str
    millicredits: int


class Ceiling(NamedTuple):
    """The overage a period allows, and what says so."""

    millicredits: int
    by: CeilingBy


class Sold(NamedTuple):
    """What a period was sold with: its overage ceiling and the price of credits beyond the grant (None: none sold).

    `tiers` where that price is graduated; `contract`: a contract says so, not the plan.
    """

    overage_millicredits: int
    nanodollars_per_millicredit: int | None
    tiers: tuple[Tier, ...] = ()
    contract: bool = False

    def millicredits(self, cents: int | None) -> int | None:
        """What an amount of money buys beyond the grant; None where there is no amount, or no price."""
        if cents is None or not self.nanodollars_per_millicredit:
            return None
        return PayAsYouGo(self.nanodollars_per_millicredit, cents, self.tiers).ceiling_millicredits


class Step(NamedTuple):
    """The ceiling that charges calls admitted before `before_ms`, since the step before. None: all later ones."""

    before_ms: int | None
    millicredits: int


def ceiling(sold: Sold, own: SpendLimits, raised: Raise | None = None) -> Ceiling:
    """What counts: the account's own limit is never raised by an operator, the plan's is."""
    if sold.overage_millicredits == 0:
        return Ceiling(0, CeilingBy.ALLOWANCE)
    if not own.pay_as_you_go:
        return Ceiling(0, CeilingBy.SWITCHED_OFF)
    found = Ceiling(sold.overage_millicredits, CeilingBy.CONTRACT if sold.contract else CeilingBy.PLAN)
    if raised is not None:
        lifted = raised.max_millicredits or sold.millicredits(raised.max_cents) or 0
        if lifted > found.millicredits:
            found = Ceiling(lifted, CeilingBy.RAISE)
    mine = sold.millicredits(own.max_cents)
    return found if mine is None or mine >= found.millicredits else Ceiling(mine, CeilingBy.ACCOUNT)


def charged_steps(
    sold: Sold, agreed: Sequence[Agreed], raises: Iterable[Raise], *, start_ms: int, end_ms: int
) -> tuple[Step, ...]:
    """Up to where usage of the period `[start_ms, end_ms)` is charged, by when its call was admitted.

    A ceiling that is lowered writes nothing off that was admitted under the higher one, and one that is raised charges
    nothing more of what was admitted before; within GRACE_MS of a change the higher one counts. One step where the
    ceiling never changed. `agreed` is in order.
    """
    raises = list(raises)
    changes = {at for at, _ in agreed} | {at for one in raises for at in (one.from_ms, one.over_ms)}
    inside = sorted(at for at in changes if start_ms < at < end_ms)
    spans = [
        (since - GRACE_MS, until + GRACE_MS, _ceiling_at(sold, agreed, raises, since))
        for since, until in zip([start_ms, *inside], [*inside, end_ms], strict=True)
    ]
    points = sorted({at for since, until, _ in spans for at in (since, until) if start_ms < at < end_ms})
    steps: list[Step] = []
    for since, before in zip([start_ms, *points], [*points, None], strict=True):
        most = max(amount for first, last, amount in spans if first <= since < last)
        if steps and steps[-1].millicredits == most:
            steps.pop()
        steps.append(Step(before, most))
    return tuple(steps)


def _ceiling_at(sold: Sold, agreed: Sequence[Agreed], raises: Sequence[Raise], at_ms: int) -> int:
    own = next((one.own for one in reversed(agreed) if one.from_ms <= at_ms), SpendLimits())
    running = [one for one in raises if one.from_ms <= at_ms < one.over_ms]
    return max(ceiling(sold, own, raised).millicredits for raised in [None, *running])
