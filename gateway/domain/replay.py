"""Replaying usage under other plans and another rate card: what the same calls would have cost, and who paid for them.

Settled units count at the new price; what was not settled by units (credits that a service reported, a quote) moves in
proportion to its price. A call is let in while what is left covers one unit of it, or all of it. Exact integers
throughout; knows no account, and guesses nothing about calls that people would have made instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

from gateway.domain.limits import Sold, SpendLimits, ceiling
from gateway.domain.money import rounded
from gateway.domain.plan import Plan, Tier
from gateway.domain.quote import PricePart
from gateway.domain.rate_card import RateCard
from gateway.domain.rating import (
    UsageSplit,
    allowance_cents,
    in_tier,
    pay_as_you_go_cents,
    split_usage,
    unused_paid_millicredits,
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What is sold, and for what."""

    plans: Mapping[str, Plan]
    rate_card: RateCard


NO_LIMITS: Final = SpendLimits()


class CallKind(NamedTuple):
    """What the price of a booked call depends on; `millicredits_per_unit` is the whole price it was admitted at."""

    product: str
    mode: str
    route: str
    rate_card_version: str
    millicredits_per_unit: int


class UnitPrice(NamedTuple):
    """One unit of a kind of call under the old card and the new one; `after` None: no longer sold.

    `certain` False: of its price only the mode's own part could be told, and the rest was left as it was.
    """

    before: int
    after: int | None
    certain: bool = True


def unit_price(kind: CallKind, parts: Sequence[PricePart] | None, old: RateCard, new: RateCard) -> UnitPrice:
    """The kind's price by both cards. `parts` are what its recorded price was made of, None where that is not known.

    A part that neither card has keeps its recorded price.
    """
    if parts is None:
        return _by_own_mode(kind, old, new)
    before = after = 0
    for part in parts:
        was, will_be = _price(old, part.product, part.mode), _price(new, part.product, part.mode)
        if was is not None and will_be is None:
            return UnitPrice(_total(parts, old), None)
        before += part.millicredits_per_unit if was is None else was
        after += part.millicredits_per_unit if will_be is None else will_be
    return UnitPrice(before, after)


def _total(parts: Sequence[PricePart], card: RateCard) -> int:
    prices = [(_price(card, part.product, part.mode), part.millicredits_per_unit) for part in parts]
    return sum(recorded if price is None else price for price, recorded in prices)


def _by_own_mode(kind: CallKind, old: RateCard, new: RateCard) -> UnitPrice:
    recorded = kind.millicredits_per_unit
    was, will_be = _price(old, kind.product, kind.mode), _price(new, kind.product, kind.mode)
    if was is None:
        return UnitPrice(recorded, recorded, certain=was == will_be == recorded)
    if will_be is None:
        return UnitPrice(max(recorded, was), None)
    rest = max(0, recorded - was)
    return UnitPrice(was + rest, will_be + rest, certain=recorded == was)


def _price(card: RateCard, product: str, mode: str) -> int | None:
    """What a part stands at: a mode, else an add-on of the product."""
    rates = card.products.get(product)
    if rates is None:
        return None
    known = rates.mode(mode)
    return rates.rates_millicredits[known] if known is not None else rates.add_ons_millicredits.get(mode)


def cost_at(price: int, recorded_price: int, *, units: int | None, captured_millicredits: int) -> int:
    """What a call, or many that were settled by units, would have been charged at another price per unit."""
    if recorded_price in {price, 0}:
        # Of what was free only the units can tell what it would cost.
        if price == recorded_price or units is None or captured_millicredits != 0:
            return captured_millicredits
        return units * price
    if units is not None and captured_millicredits == units * recorded_price:
        return units * price
    return (2 * captured_millicredits * price + recorded_price) // (2 * recorded_price)


@dataclass(frozen=True, slots=True)
class SoldPeriod:
    """One billing period at one set of terms.

    `overage_millicredits` is the plan's ceiling, which `own` may lower. `tiers` where a contract graduates the price.
    `gives_back`: it ended by an upgrade, which pays back what was left of its allowance.
    """

    plan_id: str
    allowance_millicredits: int
    granted_millicredits: int
    overage_millicredits: int
    price_cents: int
    nanodollars_per_millicredit: int | None
    contract_version: int | None = None
    tiers: tuple[Tier, ...] = ()
    own: SpendLimits = NO_LIMITS
    gives_back: bool = False

    @property
    def ceiling_millicredits(self) -> int:
        """The overage that it allows."""
        sold = Sold(self.overage_millicredits, self.nanodollars_per_millicredit)
        return ceiling(sold, self.own).millicredits

    @property
    def limit_millicredits(self) -> int:
        """The most it lets through, but for what its last call takes beyond."""
        return max(0, self.granted_millicredits) + self.ceiling_millicredits

    def under(self, plans: Mapping[str, Plan]) -> Self:
        """The same period if these plans had been sold: corrections stay, and so do contracts and unknown plans."""
        plan = plans.get(self.plan_id)
        if plan is None or self.contract_version is not None:
            return self
        return replace(
            self,
            allowance_millicredits=plan.granted_millicredits,
            granted_millicredits=plan.granted_millicredits + self.granted_millicredits - self.allowance_millicredits,
            overage_millicredits=plan.overage_millicredits,
            price_cents=plan.price_cents,
            nanodollars_per_millicredit=plan.nanodollars_per_millicredit,
        )


class Gate:
    """Lets the calls of one period in, in their order, while credits are left."""

    __slots__ = ("left_millicredits", "refused", "used_millicredits")

    def __init__(self, limit_millicredits: int) -> None:
        self.left_millicredits = limit_millicredits
        self.used_millicredits = 0
        self.refused = 0

    def admits(self, cost_millicredits: int, price: int) -> bool:
        """Whether the next call may run; it is then charged in full, as a call of unknown length is."""
        if cost_millicredits > 0 and self.left_millicredits < min(cost_millicredits, price):
            self.refused += 1
            return False
        self.left_millicredits -= cost_millicredits
        self.used_millicredits += cost_millicredits
        return True


class PeriodCharge(NamedTuple):
    """What one period comes to: where its usage went, and cents for fee, pay-as-you-go and unused allowance."""

    split: UsageSplit
    fee_cents: int
    pay_as_you_go_cents: int
    given_back_cents: int

    @property
    def total_cents(self) -> int:
        """All three, as invoices charge them, before tax."""
        return self.fee_cents + self.pay_as_you_go_cents - self.given_back_cents


def charge(sold: SoldPeriod, used_millicredits: int) -> PeriodCharge:
    """The charges of a period, rounded once for each price, as invoices do."""
    split = split_usage(
        used_millicredits,
        granted_millicredits=sold.granted_millicredits,
        overage_millicredits=sold.ceiling_millicredits,
    )
    tiers = sold.tiers or (Tier(None, sold.nanodollars_per_millicredit or 0),)
    paid_cents = sum(
        rounded(
            pay_as_you_go_cents(
                in_tier(split.pay_as_you_go_millicredits, tiers, number), tier.nanodollars_per_millicredit
            )
        )
        for number, tier in enumerate(tiers)
    )
    given_back_cents = 0
    if sold.gives_back:
        left = unused_paid_millicredits(
            allowance_millicredits=sold.allowance_millicredits,
            granted_millicredits=sold.granted_millicredits,
            counted_millicredits=used_millicredits,
        )
        given_back_cents = rounded(
            allowance_cents(left, price_cents=sold.price_cents, allowance_millicredits=sold.allowance_millicredits)
        )
    return PeriodCharge(split, sold.price_cents, paid_cents, given_back_cents)
