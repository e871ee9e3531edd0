"""Invoices as arithmetic: which lines there are, what each comes to, what they add up to, and which state may follow.

A plan's fee is charged in advance, pay-as-you-go in arrears; each line has its own service period. An amount is rounded
once per rate and service period: where part of a period was invoiced before, a later line makes up the difference of
the rounded wholes. Numbers, dates and addresses are put on by the flows; nothing here is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Final

from gateway.domain.money import Share, rounded, shared
from gateway.domain.plan import Tier
from gateway.domain.rating import allowance_cents, in_tier, pay_as_you_go_cents

MILLION: Final = 1_000_000


class InvoiceStatus(StrEnum):
    """Where an invoice stands. A draft is computed whenever somebody looks; all others are frozen documents."""

    DRAFT = "draft"
    ISSUED = "issued"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class InvoiceEvent(StrEnum):
    """What can be done with an invoice."""

    ISSUE = "issue"
    PAY = "pay"
    VOID = "void"
    WRITE_OFF = "write_off"


NEXT: Final[Mapping[tuple[InvoiceStatus, InvoiceEvent], InvoiceStatus]] = {
    (InvoiceStatus.DRAFT, InvoiceEvent.ISSUE): InvoiceStatus.ISSUED,
    (InvoiceStatus.ISSUED, InvoiceEvent.PAY): InvoiceStatus.PAID,
    (InvoiceStatus.ISSUED, InvoiceEvent.VOID): InvoiceStatus.VOID,
    (InvoiceStatus.ISSUED, InvoiceEvent.WRITE_OFF): InvoiceStatus.UNCOLLECTIBLE,
    # Money may come after all.
    (InvoiceStatus.UNCOLLECTIBLE, InvoiceEvent.PAY): InvoiceStatus.PAID,
    (InvoiceStatus.UNCOLLECTIBLE, InvoiceEvent.VOID): InvoiceStatus.VOID,
}


def next_status(status: InvoiceStatus, event: InvoiceEvent) -> InvoiceStatus | None:
    """The status after the event; None where it is not allowed."""
    return NEXT.get((status, event))


class LineKind(StrEnum):
    """What a line charges for."""

    PLAN_FEE = "plan_fee"
    PAY_AS_YOU_GO = "pay_as_you_go"
    UNUSED_ALLOWANCE = "unused_allowance"  # below zero: paid for and not used when the plan was changed
    REPLACED_FEE = "replaced_fee"  # below zero: the fee of a plan that was replaced in the instant it began


@dataclass(frozen=True, slots=True)
class SubLine:
    """The part of a pay-as-you-go line that one product and mode made."""

    product: str
    mode: str
    millicredits: int
    amount_cents: int


@dataclass(frozen=True, slots=True)
class ServicePeriod:
    """What a line is for: one billing period `[start_ms, end_ms)` on a plan, at the prices agreed for it.

    `nanodollars_per_millicredit` None: the plan has no pay-as-you-go. `tiers` where that is graduated; a line of one
    tier has the tier's price. `contract_version` where a contract said all this.
    """

    start_ms: int
    end_ms: int
    plan_id: str
    plan_name: str
    price_cents: int
    allowance_millicredits: int
    nanodollars_per_millicredit: int | None
    tiers: tuple[Tier, ...] = ()
    contract_version: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One charge. `corrects` is the number of the invoice that charged an earlier part of the same."""

    kind: LineKind
    period: ServicePeriod
    amount_cents: int
    millicredits: int = 0
    sub_lines: tuple[SubLine, ...] = ()
    corrects: str | None = None


@dataclass(frozen=True, slots=True)
class TaxRate:
    """A tax on everything: 190,000 parts per million are 19 %."""

    name: str
    parts_per_million: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What an invoice adds up to, in cents."""

    subtotal_cents: int
    tax_cents: int

    @property
    def total_cents(self) -> int:
        """What is asked for; below zero where more is given back than charged."""
        return self.subtotal_cents + self.tax_cents


def plan_fee(period: ServicePeriod) -> Line | None:
    """The fee for a period that begins; None for a plan without a price."""
    if period.price_cents == 0:
        return None
    return Line(LineKind.PLAN_FEE, period, period.price_cents, period.allowance_millicredits)


def replaced_fee(period: ServicePeriod, corrects: str | None) -> Line | None:
    """The fee of a plan that was replaced in the instant it began, given back whole."""
    if period.price_cents == 0:
        return None
    return Line(LineKind.REPLACED_FEE, period, -period.price_cents, period.allowance_millicredits, corrects=corrects)


@dataclass(frozen=True, slots=True)
class Before:
    """What earlier invoices made of the same service period; `number` is the last of them, None for none."""

    millicredits: int = 0
    amount_cents: int = 0
    number: str | None = None


def pay_as_you_go(
    period: ServicePeriod, parts: Mapping[tuple[str, str], int], before: Before = Before()
) -> Line | None:
    """The pay-as-you-go line for millicredits by product and mode at the period's price; None where there were none.

    A line of $0.00 is a line. `before`, where part of the period was invoiced: whole and part are each rounded once.
    """
    used = {name: amount for name, amount in sorted(parts.items()) if amount > 0}
    if not used:
        return None
    rate = period.nanodollars_per_millicredit or 0
    total = sum(used.values())
    cents = rounded(pay_as_you_go_cents(before.millicredits + total, rate)) - before.amount_cents
    shares = [Share(name, amount, pay_as_you_go_cents(amount, rate)) for name, amount in used.items()]
    amounts = shared(cents, shares)
    sub_lines = tuple(SubLine(*name, amount, part) for (name, amount), part in zip(used.items(), amounts, strict=True))
    return Line(LineKind.PAY_AS_YOU_GO, period, cents, total, sub_lines, before.number)


def tiers_of(period: ServicePeriod) -> tuple[Tier, ...]:
    """The prices of the period's pay-as-you-go, in order; a flat one is a single endless tier."""
    return period.tiers or (Tier(None, period.nanodollars_per_millicredit or 0),)


def graduated_pay_as_you_go(
    period: ServicePeriod, tier_parts: Mapping[int, Mapping[tuple[str, str], int]], before: Before = Before()
) -> list[Line]:
    """A line for each tier in which credits were used, in order: each price is rounded once for the whole period.

    `tier_parts`: millicredits by tier, counted from 0, then by product and mode. Of `before` the credits count: what
    they came to in each tier follows from them.
    """
    lines = []
    tiers = tiers_of(period)
    for number, tier in enumerate(tiers):
        earlier = in_tier(before.millicredits, tiers, number)
        cents = rounded(pay_as_you_go_cents(earlier, tier.nanodollars_per_millicredit))
        at_its_price = replace(period, nanodollars_per_millicredit=tier.nanodollars_per_millicredit)
        line = pay_as_you_go(at_its_price, tier_parts.get(number, {}), Before(earlier, cents, before.number))
        if line is not None:
            lines.append(line)
    return lines


def unused_allowance(period: ServicePeriod, unused_millicredits: int, before: Before = Before()) -> Line | None:
    """What is given back for unused paid allowance at an upgrade; None where nothing is.

    `before` is what was given back already (its amount below zero). A later line settles what was held at the time: it
    gives back what was released, or charges again for what was used after all.
    """
    worth = allowance_cents(
        unused_millicredits, price_cents=period.price_cents, allowance_millicredits=period.allowance_millicredits
    )
    difference = unused_millicredits - before.millicredits
    cents = -rounded(worth) - before.amount_cents
    if difference == 0 or (cents == 0 and before.number is None):
        return None
    return Line(LineKind.UNUSED_ALLOWANCE, period, cents, difference, corrects=before.number)


def totals(lines: Sequence[Line], tax: TaxRate | None = None) -> Totals:
    """The sums: tax is computed on the subtotal and rounded once."""
    subtotal = sum(line.amount_cents for line in lines)
    tax_cents = 0 if tax is None else rounded(Fraction(subtotal * tax.parts_per_million, MILLION))
    return Totals(subtotal, tax_cents)


def disagreement(lines: Sequence[Line], sums: Totals, tax: TaxRate | None) -> str | None:
    """What does not add up, in words; None where everything does: sub-lines to lines, lines to the total."""
    for line in lines:
        if line.kind is LineKind.PAY_AS_YOU_GO:
            parts = sum(part.amount_cents for part in line.sub_lines), sum(part.millicredits for part in line.sub_lines)
            if parts != (line.amount_cents, line.millicredits):
                return f"the parts of {line.kind} come to {parts}, the line says {line.amount_cents} cents"
    if sums != totals(lines, tax):
        return f"the lines come to {totals(lines, tax)}, the invoice says {sums}"
    return None
