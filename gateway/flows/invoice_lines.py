"""Drawing up what is charged at a boundary of an account's periods: lines, and what they make of which usage.

With ids to write as, usage events are stamped on the way; without, it is a draft and changes nothing. What was settled
after its period was invoiced makes a line that names the original. Issues nothing: `close_period` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import closings, contracts, foreseen, grants, invoices, limits, period_usage, periods, subscriptions
from gateway.books.closings import Closed, ClosedUsage
from gateway.books.periods import BookedPeriod
from gateway.books.splits import OpenUsage, Taken
from gateway.domain.invoice import (
    Before,
    Line,
    ServicePeriod,
    graduated_pay_as_you_go,
    plan_fee,
    replaced_fee,
    tiers_of,
    unused_allowance,
)
from gateway.domain.plan import Plan, Tier
from gateway.domain.rating import UsageSplit, unused_paid_millicredits


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where a period ends, another begins, or both. Each is None where there is none, or it is charged already."""

    at_ms: int
    ending: BookedPeriod | None
    opening: BookedPeriod | None

    @property
    def account_id(self) -> str:
        """Whose it is."""
        return (self.ending or self.opening or _nobody()).account_id

    @property
    def invoiced_ms(self) -> tuple[int, int]:
        """The billing period that stands on the invoice: the one that ends, else the one that begins."""
        period = self.ending or self.opening or _nobody()
        return period.start_ms, period.end_ms


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a closing assumes beside the books.

    `held` is what open holds set aside, by start of period. `gives_back`: the value of unused allowance, at an
    upgrade. `up_to_seq`: later usage of the ending period waits for the next invoice, because a preview said so.
    `late`: what was settled after its period was closed is charged here. `rolls_over`: the period ends by itself, so
    that what is unused of it may roll over.
    """

    held_millicredits: Mapping[int, int] = field(default_factory=dict)
    gives_back: bool = False
    up_to_seq: int | None = None
    late: bool = True
    rolls_over: bool = False


@dataclass(slots=True)
class Charges:
    """Lines as they are drawn up, and what they make of which usage.

    `writes_as`: the ids of closing and invoice; None for a draft. `closed` is what earlier closings made of each
    period, `ceilings_millicredits` the most pay-as-you-go that could ever be charged for those drawn up.
    """

    account_id: str
    writes_as: tuple[str, str] | None = None
    lines: list[Line] = field(default_factory=list)
    usages: list[ClosedUsage] = field(default_factory=list)
    closed: Mapping[int, Closed] = field(default_factory=dict)
    ceilings_millicredits: dict[int, int] = field(default_factory=dict)

    def closed_by_now(self, start_ms: int) -> UsageSplit:
        """What all closings have made of a period, this one included."""
        made = [one.split for one in self.usages if one.period_start_ms == start_ms]
        return sum(made, self.closed.get(start_ms, Closed()).split)

    def add(self, line: Line | None) -> int:
        """Its amount in cents, 0 where there is no line."""
        if line is None:
            return 0
        self.lines.append(line)
        return line.amount_cents


def boundaries(booked: Sequence[BookedPeriod]) -> list[Boundary]:
    """Those at which something is still to be charged, in order."""
    ending = {period.end_ms: period for period in booked if period.closed_by is None}
    opening = {period.start_ms: period for period in booked if period.opened_by is None}
    return [Boundary(at, ending.get(at), opening.get(at)) for at in sorted(ending.keys() | opening.keys())]


async def draw_up(
    conn: AsyncConnection, plans: Mapping[str, Plan], boundary: Boundary, assumed: Assumed, charges: Charges
) -> Charges:
    """The lines of a boundary: late usage of closed periods, usage of the ending period, the next fee, credits."""
    closed = charges.closed = await closings.of_periods(conn, charges.account_id)
    if assumed.late:
        await _late_charges(conn, plans, assumed, charges)
    usage_drawn = None
    if boundary.ending is not None:
        before = closed.get(boundary.ending.start_ms, Closed())
        if assumed.gives_back:
            before = replace(before, unused_millicredits=before.unused_millicredits or 0)
        drawer = _Drawer(conn, charges, boundary.ending, await _service(conn, plans, boundary.ending), before)
        usage_drawn = await drawer.usage(assumed.up_to_seq), drawer
    if boundary.opening is not None:
        # Where the period before still ran into this one, nothing can have been charged for it yet.
        await _charge_fee(conn, plans, boundary.opening, charges, first=boundary.ending is not None)
    if usage_drawn is not None:
        drawn, drawer = usage_drawn
        await drawer.unused(drawn, assumed.held_millicredits)
    return charges


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What was taken of a period's usage and what it came to."""

    taken: Taken
    granted_millicredits: int
    cents: int


@dataclass(frozen=True, slots=True)
class _Drawer:
    """Draws the lines of one period's usage. `before` is what earlier closings made of it."""

    conn: AsyncConnection
    charges: Charges
    period: BookedPeriod
    sold: ServicePeriod
    before: Closed

    async def usage(self, up_to_seq: int | None) -> _Drawn:
        """Take what nobody has taken, and draw its pay-as-you-go lines: one for each price."""
        period, before = self.period, self.before
        granted = await grants.granted(self.conn, period.account_id, period.start_ms)
        steps = await limits.steps_of(self.conn, period)
        self.charges.ceilings_millicredits[period.start_ms] = max(step.millicredits for step in steps)
        wanted = OpenUsage(
            account_id=period.account_id,
            period_start_ms=period.start_ms,
            granted_millicredits=granted,
            overage=steps,
            before_millicredits=before.split.usage_millicredits,
            before_paid_millicredits=before.split.pay_as_you_go_millicredits,
            tier_ends=tuple(tier.up_to_millicredits or 0 for tier in tiers_of(self.sold)[:-1]),
            up_to_seq=up_to_seq,
        )
        if self.charges.writes_as is None:
            taken = await foreseen.foresee(self.conn, wanted)
        else:
            taken = await closings.take(self.conn, wanted, self.charges.writes_as, len(self.charges.lines) + 1)
        earlier = Before(before.split.pay_as_you_go_millicredits, before.pay_as_you_go_cents, before.number)
        lines = graduated_pay_as_you_go(self.sold, taken.tier_parts, earlier)
        return _Drawn(taken, granted, sum(map(self.charges.add, lines)))

    async def unused(self, drawn: _Drawn, held_millicredits: Mapping[int, int]) -> None:
        """Draw the line for unused allowance where the plan was upgraded, and note what became of the period."""
        before, unused, cents = self.before, None, 0
        if before.unused_millicredits is not None:
            used = before.split.usage_millicredits + drawn.taken.split.usage_millicredits
            left = unused_paid_millicredits(
                allowance_millicredits=self.period.allowance_millicredits,
                granted_millicredits=drawn.granted_millicredits,
                counted_millicredits=used + held_millicredits.get(self.period.start_ms, 0),
            )
            earlier = Before(before.unused_millicredits, before.unused_cents, before.number)
            cents = self.charges.add(unused_allowance(self.sold, left, earlier))
            unused = left - before.unused_millicredits
        made = ClosedUsage(self.period.start_ms, drawn.taken.split, drawn.cents, unused, cents)
        self.charges.usages.append(made)


async def _late_charges(conn: AsyncConnection, plans: Mapping[str, Plan], assumed: Assumed, charges: Charges) -> None:
    """What was settled, or released, after its period was closed."""
    if not charges.closed:
        return
    captured = await period_usage.of_account(conn, charges.account_id)
    # What an upgrade gave back for what was held then is looked at again, as long as the account lives.
    unsettled = [
        start_ms
        for start_ms, before in charges.closed.items()
        if before.unused_millicredits is not None or captured.get(start_ms, 0) != before.split.usage_millicredits
    ]
    for period in await periods.starting_at(conn, charges.account_id, unsettled):
        if period.closed_by is not None:
            before = charges.closed[period.start_ms]
            drawer = _Drawer(conn, charges, period, await _service(conn, plans, period), before)
            await drawer.unused(await drawer.usage(None), assumed.held_millicredits)


async def _charge_fee(
    conn: AsyncConnection, plans: Mapping[str, Plan], opening: BookedPeriod, charges: Charges, *, first: bool
) -> None:
    """The fee in advance; what was charged for the same period before it was replaced is given back.

    `first`: nothing was charged for it before.
    """
    agreed = await subscriptions.of_account(conn, opening.account_id)
    given_up = any(one.id == opening.subscription_id and not one.in_force(opening.start_ms) for one in agreed)
    if given_up:
        return
    sold = await _service(conn, plans, opening)
    charges.add(plan_fee(sold))
    if first:
        return
    cents, plan_id, number = await invoices.fee_charged(conn, opening.account_id, opening.start_ms)
    if cents:
        name = plans[plan_id].name if plan_id in plans else plan_id
        replaced = replace(sold, plan_id=plan_id, plan_name=name, price_cents=cents, allowance_millicredits=0)
        charges.add(replaced_fee(replaced, number))


async def _service(conn: AsyncConnection, plans: Mapping[str, Plan], period: BookedPeriod) -> ServicePeriod:
    """The period as it was sold; where its prices were not kept, as the plan is sold now."""
    plan = plans.get(period.plan_id)
    price, rate = period.price_cents, period.nanodollars_per_millicredit
    if price is None:
        price, rate = (plan.price_cents, plan.nanodollars_per_millicredit) if plan is not None else (0, None)
    tiers: tuple[Tier, ...] = ()
    if period.contract_version is not None and rate is not None:
        agreed = await contracts.get(conn, period.account_id, period.contract_version)
        tiers = () if agreed is None else agreed.contract.tiers
    return ServicePeriod(
        start_ms=period.start_ms,
        end_ms=period.end_ms,
        plan_id=period.plan_id,
        plan_name=plan.name if plan is not None else period.plan_id,
        price_cents=price,
        allowance_millicredits=period.allowance_millicredits,
        nanodollars_per_millicredit=rate,
        tiers=tiers,
        contract_version=period.contract_version,
    )


def _nobody() -> BookedPeriod:
    message = "a boundary is where a period ends or begins"
    raise ValueError(message)
