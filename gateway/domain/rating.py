"""Rating: what usage comes to, exactly. Rounds nothing (`money` does, once) and writes no document (`invoice` does)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

from gateway.domain.plan import NANODOLLARS_PER_CENT, Tier


@dataclass(frozen=True, slots=True)
class UsageSplit:
    """A period's usage in millicredits: inside the allowance, pay-as-you-go, and what nobody is charged for.

    Written off is what a true cost took beyond the ceiling, or beyond the allowance where nothing may be paid for.
    """

    included_millicredits: int
    pay_as_you_go_millicredits: int
    written_off_millicredits: int

    @property
    def usage_millicredits(self) -> int:
        """All three together: every credit used is in exactly one of them."""
        return self.included_millicredits + self.pay_as_you_go_millicredits + self.written_off_millicredits

    def __add__(self, other: Self) -> Self:
        """Both together, part by part."""
        return replace(
            self,
            included_millicredits=self.included_millicredits + other.included_millicredits,
            pay_as_you_go_millicredits=self.pay_as_you_go_millicredits + other.pay_as_you_go_millicredits,
            written_off_millicredits=self.written_off_millicredits + other.written_off_millicredits,
        )


def split_usage(usage_millicredits: int, *, granted_millicredits: int, overage_millicredits: int) -> UsageSplit:
    """Where a period's usage goes: first the allowance, then pay-as-you-go up to its ceiling."""
    included = min(usage_millicredits, max(0, granted_millicredits))
    paid = min(usage_millicredits - included, overage_millicredits)
    return UsageSplit(included, paid, usage_millicredits - included - paid)


def pay_as_you_go_cents(millicredits: int, nanodollars_per_millicredit: int) -> Fraction:
    """What pay-as-you-go credits cost: at $1.25 per 1,000 credits, 8 credits are a cent."""
    return Fraction(millicredits * nanodollars_per_millicredit, NANODOLLARS_PER_CENT)


def in_tier(millicredits: int, tiers: Sequence[Tier], tier: int) -> int:
    """How many of a period's first pay-as-you-go credits lie in one of its tiers, counted from 0."""
    start = tiers[tier - 1].up_to_millicredits or 0 if tier else 0
    end = tiers[tier].up_to_millicredits
    return max(0, (millicredits if end is None else min(millicredits, end)) - start)


def graduated_cents(millicredits: int, tiers: Sequence[Tier]) -> Fraction:
    """What a period's pay-as-you-go comes to where each tier's credits have the tier's price."""
    parts = (
        pay_as_you_go_cents(in_tier(millicredits, tiers, number), tier.nanodollars_per_millicredit)
        for number, tier in enumerate(tiers)
    )
    return sum(parts, Fraction(0))


def rolled_over_millicredits(unused_millicredits: int, parts_per_million: int) -> int:
    """The part of unused credits that the next period is given, whole millicredits, rounded down."""
    return max(0, unused_millicredits) * parts_per_million // 1_000_000


def unused_paid_millicredits(
    *, allowance_millicredits: int, granted_millicredits: int, counted_millicredits: int
) -> int:
    """What is left of the allowance that was paid for. `counted` is what was used and, of open holds, what is held.

    Credits given beside the allowance are used up first; credits taken back are not refunded.
    """
    return max(0, min(allowance_millicredits, granted_millicredits - counted_millicredits))


def allowance_cents(millicredits: int, *, price_cents: int, allowance_millicredits: int) -> Fraction:
    """A part of an allowance at its own unit price: 25,000 of Starter's 40,000 credits for $50 are worth $31.25."""
    if allowance_millicredits == 0:
        return Fraction(0)
    return Fraction(millicredits * price_cents, allowance_millicredits)
