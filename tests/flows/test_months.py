"""Months of many accounts, begun on every day of the month, plans that change at random: a simple model knows what each
account must have been invoiced in the end, and the books prove the rest.

A usual run is a year of 31 accounts. `GATEWAY_TEST_MONTHS=48 GATEWAY_TEST_ACCOUNTS=200` is the long one: each account
then lives from two to ten months of it.
"""

import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from math import ceil

import orjson
import pytest
from dateutil.relativedelta import relativedelta

from gateway.books import invoices, periods, usage
from gateway.books.books import Books
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.usage import UsageEvent
from gateway.flows.accounts import Accounts
from gateway.flows.change_plan import ChangeAt
from gateway.flows.issue_invoice import Closer
from gateway.flows.prove_invoices import prove_invoices
from tests.billing import billing_over
from tests.made_up import CREDIT, Clock, event

MONTHS = int(os.environ.get("GATEWAY_TEST_MONTHS", "12"))
ACCOUNTS = int(os.environ.get("GATEWAY_TEST_ACCOUNTS", "31"))
DAYS_OF_A_MONTH = 31
SHORTEST_LIFE, LONGEST_LIFE = (2, 4) if MONTHS < 24 else (2, 10)
# So many of the open accounts change their plan between two looks.
CHANGING = 0.25
BEGIN = datetime(2024, 1, 1, 9, 30, tzinfo=UTC)
CENTS = {"free": 0, "starter": 5_000, "pro": 50_000}
CREDITS = {"free": 10_000, "starter": 40_000, "pro": 400_000}
CEILING = {"free": 0, "starter": 400_000, "pro": 400_000}


@dataclass
class Lived:
    """A period as the model sees it."""

    start: datetime
    end: datetime
    plan: str
    used: int = 0
    upgraded: bool = False
    given_back: int = 0

    def cents(self) -> int:
        over = min(max(0, self.used - CREDITS[self.plan]), CEILING[self.plan])
        paid = CENTS[self.plan] + _rounded(Fraction(over, 8))
        unused = max(0, CREDITS[self.plan] - self.used) if self.upgraded else 0
        return paid - _rounded(Fraction(unused * CENTS[self.plan], CREDITS[self.plan]))


@dataclass
class Model:
    """One account, counted on fingers."""

    account_id: str
    anchor: datetime
    plan: str
    ends: datetime
    pending: str | None = None
    months: int = 0
    lived: list[Lived] = field(default_factory=list)
    closed: bool = False

    def reach(self, at: datetime) -> None:
        while not self.closed and self._has_passed(at):
            self._next()

    def _has_passed(self, at: datetime) -> bool:
        return not self.lived or self.lived[-1].end <= at

    def _next(self) -> None:
        if self.pending and self.lived:
            self.plan, self.pending = self.pending, None
        start = self.anchor + relativedelta(months=self.months)
        self.months += 1
        self.lived.append(Lived(start, self.anchor + relativedelta(months=self.months), self.plan))

    def upgrade(self, at: datetime, plan: str) -> None:
        self.lived[-1].end, self.lived[-1].upgraded = at, True
        self.anchor, self.months, self.plan, self.pending = at, 0, plan, None
        self.reach(at)


def _rounded(exact: Fraction) -> int:
    return int(exact + Fraction(1, 2))


@pytest.fixture
async def books(sqlite_copy_url: str) -> AsyncIterator[Books]:
    opened = await Books.open(sqlite_copy_url)
    yield opened
    await opened.close()


@dataclass
class World:
    """All accounts under one clock."""

    books: Books
    clock: Clock
    accounts: Accounts
    closer: Closer
    dice: random.Random
    models: list[Model] = field(default_factory=list)
    events: int = 0

    @property
    def open_models(self) -> list[Model]:
        return [model for model in self.models if not model.closed]

    async def open_account(self) -> None:
        plan = self.dice.choice(list(CENTS))
        opened = await self.accounts.create("Acme", plan)
        life = relativedelta(months=self.dice.randint(SHORTEST_LIFE, LONGEST_LIFE))
        model = Model(opened.id, self.clock(), plan, self.clock() + life)
        model.reach(self.clock())
        self.models.append(model)

    async def use(self) -> None:
        made: list[UsageEvent] = []
        for model in self.open_models:
            model.reach(self.clock())
            # Now and then something is settled a period late.
            late = len(model.lived) > 1 and self.dice.random() < 0.05
            period = model.lived[-2 if late else -1]
            for _ in range(self.dice.randrange(3)):
                self.events += 1
                amount = self.dice.choice([0, 1, 3, 4, 7, 12_341, CREDITS[period.plan] // 2, CREDITS[period.plan]])
                period.used += amount
                made.append(
                    event(
                        model.account_id,
                        self.events,
                        captured=amount * CREDIT,
                        period_start_ms=epoch_ms(period.start),
                        admitted_at_ms=epoch_ms(period.start),
                        product=self.dice.choice(["parse", "extract", "split"]),
                    )
                )
        async with self.books.begin() as conn:
            await usage.book(conn, made)

    async def close_old(self) -> None:
        for model in self.open_models:
            if model.ends <= self.clock():
                model.reach(self.clock())
                await self.accounts.close(model.account_id)
                model.closed = True

    async def change_plan(self, model: Model) -> None:
        plan = self.dice.choice(list(CENTS))
        await self.accounts.change_plan(model.account_id, plan)
        if CENTS[plan] > CENTS[model.plan]:
            model.upgrade(self.clock(), plan)
        else:
            model.pending = None if plan == model.plan else plan


def _openings() -> list[datetime]:
    """The first of a month, the second of a later one, and so on to a 31st, again and again: so many, less a life."""
    openings = []
    for number in range(ACCOUNTS):
        day = number % DAYS_OF_A_MONTH + 1
        month = BEGIN + relativedelta(months=number * (MONTHS - LONGEST_LIFE) // ACCOUNTS)
        while (month + relativedelta(day=day)).day != day:
            month += relativedelta(months=1)
        # Each at a second of its own, so that nothing is changed in the very instant in which a period begins.
        openings.append(month + relativedelta(day=day, seconds=number * 17))
    return sorted(openings)


async def test_months_of_many_accounts_come_to_the_cent(books: Books) -> None:
    clock, dice = Clock(BEGIN), random.Random(48)
    billing = billing_over(books, clock)
    accounts, closer = Accounts(billing), Closer(billing, longest_hold_ms=lambda: 0)
    world = World(books, clock, accounts, closer, dice)
    openings = _openings()
    while openings or world.open_models:
        while openings and openings[0] <= clock():
            openings.pop(0)
            await world.open_account()
        await world.use()
        await world.close_old()
        settled = [model for model in world.open_models if model.lived[0].start < clock()]
        for model in dice.sample(settled, k=ceil(len(settled) * CHANGING)):
            await world.change_plan(model)
        # A process that sleeps for weeks catches up.
        clock.forward(days=dice.randrange(1, 40), milliseconds=dice.randrange(DAY_MS))
        if openings:
            clock.now = min(clock.now, openings[0])
        await closer.close_due()
    # Two months without anything: what was late is settled, and nothing is left to be charged.
    for _ in range(2):
        clock.forward(days=32)
        await closer.close_due()
    assert await prove_invoices(books) == []
    assert len(world.models) == ACCOUNTS
    assert {model.lived[0].start.day for model in world.models} == set(range(1, min(ACCOUNTS, DAYS_OF_A_MONTH) + 1))
    assert clock() > BEGIN + relativedelta(months=MONTHS - 2)
    await _compare(world)


async def _compare(world: World) -> None:
    kinds: Counter[str] = Counter()
    for model in world.models:
        async with world.books.read() as conn:
            booked = await periods.of_account(conn, model.account_id)
            issued = await invoices.of_account(conn, model.account_id)
        assert [(one.start_ms, one.plan_id) for one in booked][: len(model.lived)] == [
            (epoch_ms(one.start), one.plan) for one in model.lived
        ]
        assert all(one.end_ms == following.start_ms for one, following in pairwise(booked))
        assert sum(one.total_cents for one in issued) == sum(period.cents() for period in model.lived)
        kinds.update(line["kind"] for one in issued for line in orjson.loads(one.document)["lines"])
    assert set(kinds) == {"plan_fee", "pay_as_you_go", "unused_allowance"}
    assert world.events > 3 * ACCOUNTS


async def test_a_free_account_downgraded_at_once_is_given_nothing_back_by_itself(books: Books) -> None:
    clock = Clock(BEGIN)
    accounts = Accounts(billing_over(books, clock))
    opened = await accounts.create("Acme", "pro")
    clock.forward(days=3)
    change = await accounts.change_plan(opened.id, "free", when=ChangeAt.NOW, reason="asked for it")
    assert change.invoice is None
    assert await prove_invoices(books, [opened.id]) == []
