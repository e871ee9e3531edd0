"""What other plans or another rate card would have done to recent real usage: read from the books, nothing is changed.

Every billing period that overlaps the time asked for is replayed whole, since an allowance is of a whole period; the
running one as far as it has come. Accounts are taken one page after another, so memory does not grow with them. What
Redis has and the books do not have yet is left out. A charge is a period's own: its fee and its pay-as-you-go, before
tax and without credit notes. Accounts keep the limits they set themselves; contracts stay as they were agreed.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import contracts, limits, past_usage, reports
from gateway.books.books import Books
from gateway.books.past_usage import PastCalls, PastPeriod
from gateway.domain.instant import DAY_MS
from gateway.domain.limits import SpendLimits
from gateway.domain.quote import PricePart
from gateway.domain.replay import (
    CallKind,
    Gate,
    Offer,
    PeriodCharge,
    SoldPeriod,
    UnitPrice,
    charge,
    cost_at,
    unit_price,
)
from gateway.flows.faults import WrongParameter

PAGE: Final = 100
MOVERS: Final = 20
# A price for each kind of call that was met lately.
_MOST_PRICES: Final = 10_000
LONGEST_MS: Final = 5 * 366 * DAY_MS

PartsOf = Callable[[CallKind], tuple[PricePart, ...] | None]


class Sums(Counter[str]):
    """Whole numbers by name, each with its side: `used.before`, `refused.after`."""


@dataclass(frozen=True, slots=True)
class Mover:
    """An account and what its periods come to, before and after."""

    account_id: str
    name: str
    plan_id: str
    cents_before: int
    cents_after: int
    used_before: int
    used_after: int

    @property
    def weight(self) -> tuple[int, int, str]:
        """How far it moves: in money, then in credits."""
        return (
            abs(self.cents_after - self.cents_before),
            abs(self.used_after - self.used_before),
            self.account_id,
        )


class UsageName(NamedTuple):
    """What a row of usage is of."""

    plan_id: str
    product: str
    mode: str


@dataclass(slots=True)
class Replay:
    """What came of it. Amounts are millicredits and cents; sums are of both sides, by name.

    By plan: accounts, periods, calls, used, refused, written_off, pay_as_you_go (cents), charged (cents). By usage:
    calls, used, refused, no_longer_sold, uncertain. `unknown_plans`: accounts on a plan that an offer does not have,
    which were left as they are.
    """

    from_ms: int
    to_ms: int
    accounts: int = 0
    periods: int = 0
    by_plan: dict[str, Sums] = field(default_factory=dict)
    by_usage: dict[UsageName, Sums] = field(default_factory=dict)
    movers: list[Mover] = field(default_factory=list)
    moved: int = 0
    unknown_plans: Sums = field(default_factory=Sums)

    @property
    def total(self) -> Sums:
        """All plans together."""
        return _summed(self.by_plan.values())


class ReplayPlans:
    """Replays. `parts_of` tells what a kind of call's recorded price was made of."""

    def __init__(self, *, books: Books, parts_of: PartsOf) -> None:
        self._books = books
        self._parts_of = parts_of

    async def between(
        self,
        old: Offer,
        new: Offer,
        *,
        from_ms: int,
        to_ms: int,
        tell: Callable[[int], None] = lambda _: None,
    ) -> Replay:
        """Replay all periods that overlap `[from_ms, to_ms)`. `tell` hears of progress, in accounts.

        WrongParameter, BooksUnavailable.
        """
        if not 0 < to_ms - from_ms <= LONGEST_MS:
            raise WrongParameter("replay", "the time to replay is more than nothing, and at most five years")
        found = _Replaying(Replay(from_ms, to_ms), _Prices(old, new, self._parts_of))
        last = ""
        while True:
            async with self._books.read() as conn:
                page = await past_usage.accounts_between(conn, from_ms, to_ms, after=last, limit=PAGE)
                if not page:
                    break
                booked = await past_usage.periods_between(conn, page, from_ms, to_ms)
                for account_id in page:
                    await found.account(conn, [one for one in booked if one.account_id == account_id])
            last = page[-1]
            tell(found.replay.accounts)
        return found.finished()


class _Prices:
    """The price of each kind of call by both cards."""

    def __init__(self, old: Offer, new: Offer, parts_of: PartsOf) -> None:
        self.old = old
        self.new = new
        self._parts_of = parts_of
        self._known: dict[CallKind, UnitPrice] = {}
        # Where no price differs, the rollups tell as much as the events.
        self.same = old.rate_card.products == new.rate_card.products

    def of(self, kind: CallKind) -> UnitPrice:
        known = self._known.get(kind)
        if known is None:
            if len(self._known) >= _MOST_PRICES:
                self._known.clear()
            known = unit_price(kind, self._parts_of(kind), self.old.rate_card, self.new.rate_card)
            self._known[kind] = known
        return known


@dataclass(slots=True)
class _Side:
    """One period at one side's terms."""

    name: str
    sold: SoldPeriod
    used: int = 0
    refused: int = 0

    def charge(self) -> PeriodCharge:
        return charge(self.sold, self.used)


class _Replaying:
    """A replay being made."""

    def __init__(self, replay: Replay, prices: _Prices) -> None:
        self.replay = replay
        self._prices = prices
        self._heap: list[tuple[tuple[int, int, str], Mover]] = []

    async def account(self, conn: AsyncConnection, booked: list[PastPeriod]) -> None:
        """All periods of one account."""
        cents = {"before": 0, "after": 0}
        used = {"before": 0, "after": 0}
        self.replay.accounts += 1
        for plan_id in {one.sold.plan_id for one in booked}:
            self._plan(plan_id)["accounts"] += 1
            for name, offer in (("before", self._prices.old), ("after", self._prices.new)):
                self.replay.unknown_plans[f"{plan_id}.{name}"] += plan_id not in offer.plans
        for period in booked:
            sides = await self._period(conn, period)
            for side in sides:
                cents[side.name] += side.charge().total_cents
                used[side.name] += side.used
        last = booked[-1]
        mover = Mover(last.account_id, last.account_name, last.sold.plan_id, *cents.values(), *used.values())
        if mover.weight[:2] > (0, 0):
            self.replay.moved += 1
            heapq.heappush(self._heap, (mover.weight, mover))
            if len(self._heap) > MOVERS:
                heapq.heappop(self._heap)

    def finished(self) -> Replay:
        """With its movers in order, the largest first."""
        self.replay.movers = [mover for _, mover in sorted(self._heap, key=lambda one: one[0], reverse=True)]
        self.replay.unknown_plans = Sums(+self.replay.unknown_plans)
        return self.replay

    async def _period(self, conn: AsyncConnection, period: PastPeriod) -> tuple[_Side, _Side]:
        agreed = await _agreed(conn, period)
        sides = (
            _Side("before", agreed.under(self._prices.old.plans)),
            _Side("after", agreed.under(self._prices.new.plans)),
        )
        rows = await self._rows(conn, period)
        for side in sides:
            side.used = sum(row.sums[f"used.{side.name}"] for row in rows)
        if any(side.used > side.sold.limit_millicredits for side in sides):
            rows = await self._let_in(conn, period, sides)
        for row in rows:
            self.replay.by_usage.setdefault(row.name, Sums()).update(row.sums)
        self._count(period, sides, sum(row.sums["calls"] for row in rows))
        return sides

    def _count(self, period: PastPeriod, sides: tuple[_Side, _Side], calls: int) -> None:
        self.replay.periods += 1
        sums = self._plan(period.sold.plan_id)
        sums["periods"] += 1
        sums["calls"] += calls
        for side in sides:
            charged = side.charge()
            sums[f"used.{side.name}"] += side.used
            sums[f"refused.{side.name}"] += side.refused
            sums[f"written_off.{side.name}"] += charged.split.written_off_millicredits
            sums[f"pay_as_you_go.{side.name}"] += charged.pay_as_you_go_cents
            sums[f"charged.{side.name}"] += charged.total_cents

    def _plan(self, plan_id: str) -> Sums:
        return self.replay.by_plan.setdefault(plan_id, Sums())

    async def _rows(self, conn: AsyncConnection, period: PastPeriod) -> "list[_Row]":
        """The period's usage as if nobody had been refused."""
        rows = _Rows(period.sold.plan_id)
        if self._prices.same:
            for bucket in await reports.usage_of_period(conn, period.account_id, period.start_ms):
                row = rows.of(bucket.product or "", bucket.mode or "")
                row["calls"] += bucket.calls
                row["used.before"] += bucket.captured_millicredits
                row["used.after"] += bucket.captured_millicredits
            return list(rows)
        async for calls in past_usage.by_kind(conn, period):
            self._add(rows.of(calls.kind.product, calls.kind.mode), calls)
        return list(rows)

    def _add(self, row: Sums, calls: PastCalls) -> None:
        price = self._prices.of(calls.kind)
        row["calls"] += calls.calls
        row["uncertain"] += 0 if price.certain else calls.calls
        row["used.before"] += _cost(calls, price.before)
        if price.after is None:
            row["no_longer_sold"] += calls.calls
        else:
            row["used.after"] += _cost(calls, price.after)

    async def _let_in(self, conn: AsyncConnection, period: PastPeriod, sides: tuple[_Side, _Side]) -> "list[_Row]":
        """The period call by call, because on one side at least not all of them would have been let in."""
        rows = _Rows(period.sold.plan_id)
        gates = [Gate(side.sold.limit_millicredits) for side in sides]
        async for call in past_usage.one_by_one(conn, period):
            kind, row = call.kind, rows.of(call.kind.product, call.kind.mode)
            price = self._price(kind)
            row["calls"] += 1
            row["uncertain"] += not price.certain
            for side, gate, unit in zip(sides, gates, (price.before, price.after), strict=True):
                if unit is None:
                    row["no_longer_sold"] += 1
                    continue
                cost = cost_at(
                    unit,
                    kind.millicredits_per_unit,
                    units=call.units,
                    captured_millicredits=call.captured_millicredits,
                )
                admitted = gate.admits(cost, unit)
                row[f"used.{side.name}"] += cost if admitted else 0
                row[f"refused.{side.name}"] += not admitted
        for side, gate in zip(sides, gates, strict=True):
            side.used, side.refused = gate.used_millicredits, gate.refused
        return list(rows)

    def _price(self, kind: CallKind) -> UnitPrice:
        """Where no price changes, what was charged counts as it is, at whatever price it was."""
        recorded = kind.millicredits_per_unit
        return UnitPrice(recorded, recorded) if self._prices.same else self._prices.of(kind)


async def _agreed(conn: AsyncConnection, period: PastPeriod) -> SoldPeriod:
    """The period with what the account limited itself to when it ended, and its contract's prices."""
    own = [one.own for one in await limits.own_since(conn, period.account_id) if one.from_ms < period.end_ms]
    agreed = replace(period.sold, own=own[-1] if own else SpendLimits())
    if agreed.contract_version is None:
        return agreed
    contract = await contracts.get(conn, period.account_id, agreed.contract_version)
    return agreed if contract is None else replace(agreed, tiers=contract.contract.tiers)


class _Row(NamedTuple):
    """Usage of one product and mode on one plan."""

    name: UsageName
    sums: Sums


class _Rows:
    """Rows by product and mode."""

    def __init__(self, plan_id: str) -> None:
        self._plan_id = plan_id
        self._rows: dict[UsageName, Sums] = {}

    def of(self, product: str, mode: str) -> Sums:
        return self._rows.setdefault(UsageName(self._plan_id, product, mode), Sums())

    def __iter__(self) -> Iterator[_Row]:
        return (_Row(name, sums) for name, sums in self._rows.items())


def _cost(calls: PastCalls, price: int) -> int:
    """What a group of alike calls comes to at a price."""
    recorded = calls.kind.millicredits_per_unit
    if calls.by_units or price == recorded:
        return cost_at(price, recorded, units=calls.units, captured_millicredits=calls.captured_millicredits)
    each = calls.captured_millicredits // calls.calls
    # `units` plays no part in what was not settled by them.
    return calls.calls * cost_at(price, recorded, units=None, captured_millicredits=each)


def _summed(all_sums: Iterable[Sums]) -> Sums:
    total = Sums()
    for sums in all_sums:
        total.update(sums)
    return total
