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
class PayAsYouGo:
    """The price of credits beyond the grant; $1.25 per 1,000 credits is 1,250 nano-dollars a millicredit."""

    nanodollars_per_millicredit: int
    max_cents_per_period: int | None = None

    @property
    def ceiling_millicredits(self) -> int:
        """The most overage one period allows: the ceiling in money, kept in credits."""
        if self.max_cents_per_period is None:
            return NO_CEILING_MILLICREDITS
        return self.max_cents_per_period * NANODOLLARS_PER_CENT // self.nanodollars_per_millicredit


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan. A rate limit of None is unlimited; a contract's terms live on the account."""

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
