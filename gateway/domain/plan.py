"""Plans: what is sold, as the operator wrote it. No account, no period, no counter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.domain.credits import MAX_MILLICREDITS

NANODOLLARS_PER_CENT: Final = 10_000_000
# An overage without a ceiling: far above any real spend, far below 2^53 even when added to a grant.
NO_CEILING_MILLICREDITS: Final = MAX_MILLICREDITS // 8


class WhenExhausted(StrEnum):
    """What happens when the period's granted credits are used up."""

    REFUSE = "refuse"
    PAY_AS_YOU_GO = "pay_as_you_go"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `calls` admitted in any window of `window_ms`."""

    name: str
    calls: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Tier:
    """One price of graduated ones: for credits of a period up to here, counted from where overage begins. None: all."""

    up_to_millicredits: int | None
    nanodollars_per_millicredit: int


@dataclass(frozen=True, slots=True)
class PayAsYouGo:
    """The price of credits beyond the grant; $1.25 per 1,000 credits is 1,250 nano-dollars a millicredit.

    `tiers`, where the price depends on how many: in order, the first at this price, the last endless.
    """

    nanodollars_per_millicredit: int
    max_cents_per_period: int | None = None
    tiers: tuple[Tier, ...] = ()

    @property
    def ceiling_millicredits(self) -> int:
        """The most overage one period allows: the ceiling in money, kept in credits."""
        if self.max_cents_per_period is None:
            return NO_CEILING_MILLICREDITS
        left_nanodollars = self.max_cents_per_period * NANODOLLARS_PER_CENT
        below = 0
        for tier in self.tiers or (Tier(None, self.nanodollars_per_millicredit),):
            affordable = left_nanodollars // tier.nanodollars_per_millicredit
            if tier.up_to_millicredits is None or affordable < tier.up_to_millicredits - below:
                return min(below + affordable, NO_CEILING_MILLICREDITS)
            left_nanodollars -= (tier.up_to_millicredits - below) * tier.nanodollars_per_millicredit
            below = tier.up_to_millicredits
        return below


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan. A rate limit of None is unlimited; a contract's terms live on the account.

    `months` is how long a period lasts, `rollover_parts_per_million` the part of unused credits that the next one is
    given, `net_days` how long an invoice may wait. `contract_version` is set where a contract made this of a plan.
    """

    id: str
    name: str
    price_cents: int
    granted_millicredits: int
    rate_limits: Mapping[str, RateLimit | None] = field(default_factory=dict)
    when_exhausted: WhenExhausted = WhenExhausted.REFUSE
    pay_as_you_go: PayAsYouGo | None = None
    concurrent_calls: int | None = None
    support: str = ""
    contract: bool = False
    months: int = 1
    rollover_parts_per_million: int = 0
    net_days: int = 0
    contract_version: int | None = None

    @property
    def overage_millicredits(self) -> int:
        """Credits a period may use beyond its grant."""
        if self.when_exhausted is WhenExhausted.REFUSE or self.pay_as_you_go is None:
            return 0
        return self.pay_as_you_go.ceiling_millicredits

    @property
    def nanodollars_per_millicredit(self) -> int | None:
        """The price of credits beyond the grant; None where none are sold."""
        if self.when_exhausted is WhenExhausted.REFUSE or self.pay_as_you_go is None:
            return None
        return self.pay_as_you_go.nanodollars_per_millicredit
