"""Accounts with a made-up past, lived through the real ledger call by call, and what a bystander noted of each call.

Redis goes by the clock of the past, so that every call is admitted, settled and booked by the same scripts and flows as
today's. The notes owe nothing to what the gateway says later: whoever is asked about usage must agree with them.
"""

import heapq
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import redis.asyncio

from gateway.domain.admission import Admitted, Refused
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms, from_epoch_ms
from gateway.domain.terms import Terms
from gateway.domain.usage import Settlement
from gateway.flows.faults import CallerFault
from gateway.flows.issue_invoice import Closer
from gateway.flows.rebuild import Rebuilder
from gateway.flows.relay import Relay
from gateway.flows.terms import current_terms
from gateway.ledger.answers import AdmitCall
from gateway.ledger.outbox import Outbox
from gateway.ledger.scripts import load_scripts
from gateway.wire.call_facts import facts_json, settlement_json
from tests.billing import billing_over
from tests.edges.api.conftest import Running, open_running
from tests.flows.contracted import CONTRACT, SOLD
from tests.ledger.conftest import CLOCK_KEY, CLOCK_LUA
from tests.made_up import CREDIT, NOON, NOON_MS, Clock, facts

DAYS = 100
CALLS = 50
LONGEST_HOLD_MS = 4 * DAY_MS
# What settles after this has not left the outbox when the story ends.
LAST_BOOKED_MS = NOON_MS - 17 * DAY_MS
PLANS_OF = ("starter", "free", "pro", "enterprise", "free", "starter")
MODES = {
    "parse": ("agentic", "fast", "agentic_plus"),
    "extract": ("agentic", "premium"),
    "split": ("default", "by_page"),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was charged."""

    request_id: str
    admitted_ms: int
    period_start_ms: int
    product: str
    mode: str
    project_id: str
    key_id: str
    units: int
    millicredits: int


@dataclass
class Person:
    """An account, its keys by project, and its charged calls."""

    id: str
    secret: str
    # Project and key.
    keys: list[tuple[str, str]]
    # What people call them.
    names: dict[str, str]
    calls: list[Call] = field(default_factory=list)
    terms: Terms | None = None


@dataclass
class World:
    """Everything that is served, and the hands that made it so."""

    running: Running
    raw: "redis.asyncio.Redis"
    relay: Relay
    closer: Closer
    load: Rebuilder
    dice: random.Random
    people: list[Person] = field(default_factory=list)
    acts: list[tuple[int, int, Callable[[], Awaitable[None]]]] = field(default_factory=list)
    made: int = 0

    async def at(self, now_ms: int) -> None:
        """It is then, for the gateway and for Redis."""
        self.running.clock.now = from_epoch_ms(now_ms)
        await self.raw.set(CLOCK_KEY, now_ms * 1000)

    def later(self, at_ms: int, act: Callable[[], Awaitable[None]]) -> None:
        """Do that then."""
        self.made += 1
        heapq.heappush(self.acts, (at_ms, self.made, act))

    async def live(self, until_ms: int) -> None:
        """Do everything in its time."""
        while self.acts and self.acts[0][0] <= until_ms:
            at_ms, _, act = heapq.heappop(self.acts)
            await self.at(at_ms)
            await act()
        await self.at(until_ms)

    async def book(self) -> None:
        """Everything that waits in the outbox."""
        while await self.relay.drain_once():
            pass

    async def close(self) -> None:
        """Issue what is due."""
        await self.closer.close_due()

    async def open(self, plan_id: str) -> None:
        """Another account, with three keys in two projects."""
        running = self.running
        opened = await running.accounts.create("Acme", plan_id)
        if plan_id == "enterprise":
            small = replace(CONTRACT, committed_millicredits=30_000 * CREDIT)
            await running.parts.desk.contracts.agree(opened.id, small, reason="C-1")
        other = await running.accounts.create_project(opened.id, "Other")
        first = await running.keys.create(opened.id, name="First")
        keys, names = (
            [(opened.project_id, first.id)],
            {opened.project_id: "default", other.id: "Other", first.id: "First"},
        )
        for project_id, name in ((opened.project_id, "Second"), (other.id, "Third")):
            made = await running.keys.create(opened.id, project_id=project_id, name=name)
            keys.append((project_id, made.id))
            names[made.id] = name
        self.people.append(Person(opened.id, first.secret, keys, names))

    async def call(self, one: Person) -> None:
        """One call, admitted now and settled a moment or days later, or by nobody; refused without credits."""
        dice, now_ms = self.dice, epoch_ms(self.running.clock())
        product = dice.choice(tuple(MODES))
        project_id, key_id = dice.choice(one.keys)
        self.made += 1
        request_id = f"req_{self.made:032x}"
        told = facts(one.id, request_id, product=product, mode=dice.choice(MODES[product]), project_id=project_id)
        told = replace(told, key_id=key_id)
        quote = dice.choice([0, 1, 400 * CREDIT, dice.randrange(6_000 * CREDIT)])
        cost = dice.choice([quote, quote // 2, quote * 2, dice.randrange(7_000 * CREDIT)])
        units = dice.choice([None, 0, 3, 40])
        settlement = settlement_json(Settlement(units, "reported by the upstream"))
        ending = dice.choice(["capture"] * 14 + ["release", "expire", "late", "late", "recover"])
        terms = await self._terms(one)
        period = terms.period_at(now_ms)
        assert period is not None
        ledger = self.running.ledger
        ttl_ms = HOUR_MS if ending in {"expire", "late"} else LONGEST_HOLD_MS
        if ending != "recover" and not await self._admitted(one, request_id, quote, facts_json(told), ttl_ms):
            return

        def note() -> None:
            one.calls.append(
                Call(
                    request_id,
                    now_ms,
                    period.start_ms,
                    product,
                    told.mode,
                    project_id,
                    key_id,
                    units or 0,
                    cost,
                )
            )

        async def settle() -> None:
            if ending == "release":
                await ledger.release(request_id, one.id, settlement=settlement)
            elif ending == "expire":
                await ledger.expire_account(one.id)
            else:
                done = await ledger.capture(
                    request_id, one.id, cost_millicredits=cost, cap=False, settlement=settlement
                )
                assert done.state_before is not None
                note()

        if ending == "recover":
            await ledger.recover(
                request_id,
                one.id,
                period_start_ms=period.start_ms,
                cost_millicredits=cost,
                facts=facts_json(told),
                settlement=settlement,
            )
            note()
            return
        soon_ms = dice.choice([0, 1, 2_000, 2_000, 40_000, dice.randrange(3 * DAY_MS)])
        self.later(now_ms + (2 * HOUR_MS if ending in {"expire", "late"} else soon_ms), settle)

    async def act(self, one: Person) -> None:
        """Something an owner or an operator does; what makes no sense now is left."""
        dice, desk = self.dice, self.running.parts.desk
        what = dice.choice(["give", "take", "plan", "limit"])
        try:
            match what:
                case "give":
                    await desk.accounts.adjust(one.id, dice.randrange(1, 9_000 * CREDIT), reason="for the trouble")
                case "take":
                    await desk.accounts.adjust(one.id, -dice.randrange(1, 2_000 * CREDIT), reason="given by mistake")
                case "plan":
                    await desk.accounts.change_plan(one.id, dice.choice(["free", "starter", "pro"]))
                case _:
                    most = dice.choice([None, None, 0, dice.randrange(2_000)])
                    await desk.limits.change(one.id, lambda own: replace(own, max_cents=most))
        except CallerFault:
            pass
        one.terms = None

    async def _terms(self, one: Person) -> Terms:
        if one.terms is None or one.terms.period_at(epoch_ms(self.running.clock())) is None:
            await self.load(one.id)
            await self.running.parts.desk.accounts.now(one.id)
            one.terms = await current_terms(self.running.books, SOLD, one.id, self.running.clock())
            assert one.terms is not None
            await self.running.ledger.project(one.terms)
        return one.terms

    async def _admitted(self, one: Person, request_id: str, quote: int, told: bytes, ttl_ms: int) -> bool:
        for _ in range(3):
            terms = await self._terms(one)
            call = AdmitCall(request_id, request_id, terms, (), None, quote, quote, ttl_ms, told)
            answer = await self.running.ledger.admit(call)
            if isinstance(answer, Admitted | Refused):
                return isinstance(answer, Admitted)
            one.terms = None
        raise AssertionError(f"Redis does not get to know {one.id}")


@asynccontextmanager
async def lived(books_url: str, redis_url: str, *, seed: int) -> AsyncIterator[World]:
    """A hundred days of several accounts at once, until noon. Some of it is not booked yet, some still runs.

    The last of them uses a lot, most of all in the last week, and changes nothing.
    """
    clock, dice = Clock(NOON - timedelta(days=DAYS)), random.Random(seed)
    scripts = load_scripts(CLOCK_LUA)
    async with (
        redis.asyncio.Redis.from_url(redis_url) as raw,
        open_running(books_url, redis_url, clock=clock, plans=SOLD, scripts=scripts) as running,
    ):
        outbox = Outbox(running.store)
        terms_of = partial(current_terms, running.books, SOLD)
        world = World(
            running,
            raw,
            Relay(outbox=outbox, books=running.books, consumer="one", block_ms=0),
            Closer(
                billing_over(running.books, clock, plans=SOLD, ledger=running.ledger),
                longest_hold_ms=lambda: LONGEST_HOLD_MS,
            ),
            Rebuilder(
                books=running.books,
                ledger=running.ledger,
                outbox=outbox,
                terms_of=terms_of,
                clock=clock,
            ),
            dice,
        )
        start_ms = epoch_ms(clock())
        await world.at(start_ms)
        for plan_id in PLANS_OF:
            await world.open(plan_id)
        *others, busy = world.people
        for one in (*others, busy, busy):
            for _ in range(CALLS):
                at_ms = dice.randrange(start_ms, NOON_MS)
                if dice.random() < 0.3:
                    at_ms = max(start_ms, at_ms // HOUR_MS * HOUR_MS + dice.choice([-1, 0, 1]))
                world.later(at_ms, partial(world.call, one))
        for _ in range(CALLS):
            world.later(dice.randrange(NOON_MS - 6 * DAY_MS, NOON_MS), partial(world.call, busy))
        for one in others:
            for _ in range(4):
                world.later(dice.randrange(start_ms, NOON_MS), partial(world.act, one))
        for _ in range(6):
            world.later(dice.randrange(start_ms, LAST_BOOKED_MS), world.book)
        world.later(LAST_BOOKED_MS, world.book)
        for day in range(5, DAYS - 8, 8):
            world.later(start_ms + day * DAY_MS, world.close)
        await world.live(NOON_MS)
        yield world
