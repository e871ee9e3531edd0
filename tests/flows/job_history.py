"""Histories of one job: what happens to it, in what order and with which faults, made up from a seed and then lived.

The gateway's parts are real, replicas of them share one Redis; the upstream is made up, and faults are put between any
two awaits of a replica. What a history may end in is `job_verdict`'s to say, by what the upstream knows.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.books.books import Books
from gateway.domain.admission import Admitted
from gateway.domain.hold import HoldState
from gateway.domain.instant import epoch_ms
from gateway.domain.job import hold_ms
from gateway.domain.outcome import Attach
from gateway.domain.terms import Terms
from gateway.flows.accounts import Accounts
from gateway.flows.follow_job import Follower, JobAlert
from gateway.flows.job_documents import Followed
from gateway.flows.live_holds import LiveHolds
from gateway.flows.rebuild import rebuild
from gateway.flows.settle import Held, NotAcknowledged, Settler
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.ledger.answers import AdmitCall
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.keys import outbox_key, shard_of, shard_prefix, shard_tag
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.scripts import load_scripts
from gateway.ledger.store import Store
from gateway.wire.call_facts import facts_json
from gateway.wire.job_reply import read_job_id
from gateway.wire.usage_record import fields_of
from tests.billing import billing_over
from tests.flows.job_faults import NOTHING, Act, Crashed, Fault, FaultyStore, Gate
from tests.flows.job_upstream import HELD, KIND, LIMIT_MS, MANY_LOOKS, Bill, MadeUpJob, MadeUpUpstream
from tests.flows.job_verdict import verdict
from tests.made_up import CREDIT, PLANS, Clock, facts

# A clock for each shard, so that histories side by side each have their own.
CLOCK_LUA: Final = """\
local call = redis.call
local function now_us()
  return tonumber(call('GET', 'test:clock:' .. string.match(KEYS[1], '{[^}]*}')))
end
"""


@dataclass(frozen=True, slots=True)
class History:
    """What happens to one job, in order."""

    number: int
    bill: Bill
    acts: tuple[Act, ...]


FAULTS: Final = (
    *[None] * 5,
    Fault.LOST,
    Fault.LOST,
    Fault.CRASH,
    Fault.PAUSE,
    Fault.PAUSE,
    Fault.AWAY,
    Fault.UNREACHABLE,
)


def made_up_history(seed: int, number: int) -> History:
    """The history of this number: always the same for a seed."""
    dice = random.Random(f"{seed}.{number}")

    def act(name: str, amount: int = 0) -> Act:
        fault = dice.choice(FAULTS)
        at = 0 if fault is Fault.UNREACHABLE else dice.choice((0, 0, 0, 1, 1, 2, 3, 4, 5))
        return Act(name, dice.randrange(2), amount, fault, at)

    def anything() -> Act:
        name = dice.choices(
            ["poll", "poll_usage", "look", "webhook", "wait", "long", "sweep", "end", "cancel", "delete", "resume"],
            [3, 5, 8, 3, 5, 1, 1, 6, 1, 1, 3],
        )[0]
        match name:
            case "wait":
                return Act(name, amount=dice.choice([500, 1_500, 5_000, 16_000]))
            case "long":
                return Act(name, amount=dice.choice([61_000, 300_000, 700_000, 1_900_000]))
            case "end":
                return Act(name, amount=dice.choice([0, 0, 0, 1]))
            case "cancel" | "delete" | "resume" | "sweep":
                return Act(name)
        return act(name)

    acts = [act("attach"), *(anything() for _ in range(dice.randint(2, 9)))]
    if dice.random() < 0.03:
        # The hold expires before the job is known, which comes to be known all the same.
        acts[:1] = [Act("attach", fault=Fault.PAUSE), Act("long", amount=61_000), Act("sweep"), Act("resume")]
    # A repeat of any of them, anywhere after it.
    if dice.random() < 0.5:
        again = dice.randrange(1, len(acts))
        acts.insert(dice.randrange(again, len(acts)) + 1, acts[again])
    if dice.random() < 0.9:
        acts.append(Act("end", amount=0))
    return History(
        number,
        Bill(
            cost=dice.choice([0, CREDIT, 12_500, HELD, 3 * HELD]),
            looks_until_billed=dice.choice([0, 0, 0, 1, 2, 4, 10 * MANY_LOOKS]),
            metrics=dice.random() < 0.5,
        ),
        tuple(acts),
    )


class Tally:
    """Alerts and faults, counted over all histories."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.acts: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.mismatches: Counter[tuple[str, str]] = Counter()

    def job_alert(self, kind: str, alert: JobAlert) -> None:
        assert kind == KIND.name
        self.alerts[alert] += 1

    def mode_mismatch(self, product: str, requested: str) -> None:
        self.mismatches[product, requested] += 1


class Replica:
    """A gateway process's parts that have to do with jobs."""

    def __init__(self, store: Store, books: Books, job: MadeUpJob, tally: Tally) -> None:
        self.gate = Gate(lambda fault: tally.faults.update([fault.value]))
        self.ledger = Ledger(FaultyStore(store, self.gate), scripts=load_scripts(CLOCK_LUA))
        self.settler = Settler(self.ledger, books, LiveHolds(self.ledger), _no_rebuild)
        self._upstream = MadeUpUpstream(job, self.gate)
        self._tally = tally
        self.follower = self.follower_of(capped=lambda _: False)

    def follower_of(self, *, capped: Callable[[str], bool]) -> Follower:
        """A follower of this process."""
        return Follower(
            self.ledger,
            self.settler,
            job_kinds=lambda: {KIND.name: KIND},
            upstreams={"parse": Followed(self._upstream, None)},
            tell=self._tally,
            capped=capped,
            shards=1,
        )


async def _no_rebuild(_account_id: str) -> None:
    raise AssertionError("Redis has lost nothing here")


@dataclass(frozen=True, slots=True)
class Lane:
    """An account on a shard of its own, where histories are lived one after the other."""

    terms: Terms
    store: Store
    books: Books
    start_ms: int

    @property
    def shard(self) -> int:
        """All its own."""
        return shard_of(self.terms.account_id)


async def open_lanes(books: Books, redis: RedisConnection, clock: Clock, count: int) -> list[Lane]:
    """So many accounts that share no shard."""
    ledger, outbox = Ledger(redis), Outbox(redis)
    tell = TellLedger(books=books, ledger=ledger, plans=lambda: PLANS, clock=clock)
    accounts = Accounts(billing_over(books, clock, tell=tell))
    lanes: dict[int, Lane] = {}
    while len(lanes) < count:
        opened = await accounts.create("Acme", "pro")
        terms = await current_terms(books, PLANS, opened.id, clock())
        assert terms is not None
        await rebuild(books, ledger, outbox, terms)
        lanes.setdefault(shard_of(opened.id), Lane(terms, redis, books, epoch_ms(clock())))
    return list(lanes.values())


class Lived:
    """One history being lived."""

    def __init__(self, lane: Lane, history: History, tally: Tally) -> None:
        self.lane = lane
        self.history = history
        self.tally = tally
        self.hold_id = f"req_{history.number:032x}"
        self.job_id = f"pjb-{history.number}"
        self.now_ms = lane.start_ms
        self.ends: list[dict[bytes, bytes]] = []
        self.job = MadeUpJob(history.bill, self.job_id, lambda: self.now_ms)
        self._dice = random.Random(history.number)
        self.ledger = Ledger(lane.store, scripts=load_scripts(CLOCK_LUA))
        self._replicas = [self._replica(), self._replica()]
        self._running: list[tuple[Replica, asyncio.Task[None]]] = []

    def _replica(self) -> Replica:
        return Replica(self.lane.store, self.lane.books, self.job, self.tally)

    async def live(self) -> str | None:
        """Lives it to its end; what is wrong with it, or None."""
        await self.begin()
        return await self.end()

    async def begin(self) -> None:
        """Lives what the history tells."""
        await self.pass_ms(0)
        for act in self.history.acts:
            self.tally.acts[act.name] += 1
            await self._act(act)

    async def end(self) -> str | None:
        """Lives on until everything has been settled."""
        await self._quiet()
        for replica in self._replicas:
            await replica.settler.close(within_s=5)
        return await self._verdict()

    async def _act(self, act: Act) -> None:
        match act.name:
            case "wait" | "long":
                await self.pass_ms(act.amount)
            case "end":
                if act.amount:
                    self.job.end("FAILED", 0)
                else:
                    self.job.end("COMPLETED", self.history.bill.cost)
            case "cancel":
                self.job.end("CANCELLED", self.history.bill.cost // 2 // 500 * 500)
            case "delete":
                self.job.delete()
            case "resume":
                await self._resume()
            case "sweep":
                await self.ledger.expire(self.lane.shard)
            case "attach":
                await self._as(act, self._attach)
            case "poll" | "poll_usage":
                await self._as(act, lambda replica: self._poll(replica, usage=act.name == "poll_usage"))
            case "look":
                await self._as(act, self._look)
            case "webhook":
                await self._as(act, self._webhook)

    async def _as(self, act: Act, do: Callable[[Replica], Awaitable[None]]) -> None:
        """An act of a replica, until it ends, dies, or stands still."""
        if any(replica is self._replicas[act.replica] for replica, _ in self._running):
            act = Act(act.name, 1 - act.replica, act.amount, act.fault, act.at)
        replica = self._replicas[act.replica]
        if any(standing is replica for standing, _ in self._running):
            return
        replica.gate.plan(act)
        task = asyncio.ensure_future(_survived(do(replica)))
        paused = asyncio.ensure_future(replica.gate.paused.wait())
        await asyncio.wait({task, paused}, return_when=asyncio.FIRST_COMPLETED)
        paused.cancel()
        if task.done():
            await task
            replica.gate.plan(NOTHING)
            self._bury(replica)
        else:
            self._running.append((replica, task))

    async def _resume(self) -> None:
        """What stands still goes on, in some order."""
        self._dice.shuffle(self._running)
        while self._running:
            replica, task = self._running.pop()
            replica.gate.resume.set()
            await task
            self._bury(replica)

    def _bury(self, replica: Replica) -> None:
        """A dead process is started anew; what it had in memory is gone."""
        if replica.gate.dead:
            self._replicas[self._replicas.index(replica)] = self._replica()

    async def _attach(self, replica: Replica) -> None:
        """The call that starts the job."""
        account_id = self.lane.terms.account_id
        told = facts(account_id, self.hold_id, plan_id="pro", quote_millicredits=HELD)
        call = AdmitCall(
            self.hold_id, self.hold_id, self.lane.terms, (), None, HELD, HELD, 60_000, facts_json(told), None
        )
        admitted = await self.ledger.admit(call)
        assert isinstance(admitted, Admitted), admitted
        assert read_job_id({"id": self.job_id}, KIND) == self.job_id
        held = Held(self.hold_id, account_id, HELD, admitted.period_start_ms, facts_json(told))
        await replica.settler.settle(held, Attach(self.job_id), cap=False, kind=KIND)

    async def _poll(self, replica: Replica, *, usage: bool) -> None:
        """A caller's poll passes through, as the proxy does it."""
        call = AdmitCall("", "", self.lane.terms, (), None, 0, 0, 60_000, b"", ("parse", self.job_id))
        admitted = await replica.ledger.admit(call)
        if not isinstance(admitted, Admitted):
            return
        job = admitted.job
        assert job is not None
        answer = self.job.poll(usage=usage)
        if answer.status == 200 and job.state is HoldState.OPEN:
            await replica.follower.seen(KIND, job, self.lane.terms.account_id, orjson.loads(answer.body))
            if self.job.ended_ms is not None and self.job.deleted_ms is None:
                self.job.end_told_ms = self.now_ms

    async def _look(self, replica: Replica) -> None:
        for lease in await replica.ledger.lease_jobs(self.lane.shard, count=4, lease_ms=30_000):
            await replica.follower.look(lease)

    async def _webhook(self, replica: Replica) -> None:
        await replica.ledger.look_now(self.hold_id, self.lane.terms.account_id)
        await self._look(replica)

    async def pass_ms(self, by_ms: int) -> None:
        """Moves Redis's clock, as this account sees it."""
        self.now_ms += by_ms
        key = f"test:clock:{shard_tag(self.lane.shard)}"
        await self.lane.store.execute("SET", key, self.now_ms * 1000, key=key)

    async def _quiet(self) -> None:
        """The faults stop. One healthy replica follows, and all that stood still goes on."""
        follow, due = (f"{shard_prefix(self.lane.shard)}{name}" for name in ("follow", "due"))
        for step in (16_000, 16_000, 16_000, 61_000, 61_000, *[700_000] * 4, LIMIT_MS):
            await self.pass_ms(step)
            await self._as(Act("look"), self._look)
            await self._resume()
            if not await self.lane.store.execute("ZCARD", follow, key=follow):
                break
        await self.pass_ms(hold_ms(LIMIT_MS))
        if await self.lane.store.execute("ZCARD", due, key=due):
            await self.ledger.expire(self.lane.shard)
        await self.lane.store.execute("DEL", follow, key=follow)

    async def _verdict(self) -> str | None:
        outbox = outbox_key(shard_prefix(self.lane.shard))
        entries = await self.lane.store.execute("XREVRANGE", outbox, "+", "-", "COUNT", 8, key=outbox)
        told = [fields_of(flat) for _, flat in reversed(entries)]
        mine = [one for one in told if one[b"id"].startswith(self.hold_id.encode())]
        attached_ms = next((int(one[b"at"]) for one in mine if one[b"kind"] == b"job"), None)
        self.ends = [one for one in mine if one[b"kind"] == b"usage"]
        self.tally.ends[" then ".join(one[b"ending"].decode() for one in self.ends)] += 1
        return verdict(self.job, self.ends, attached_ms=attached_ms)

    @property
    def evidence(self) -> str:
        """What the last ending says for itself."""
        told: str = orjson.loads(self.ends[-1][b"settlement"])["evidence"]
        return told

    @property
    def charged(self) -> int:
        """Millicredits, all endings together."""
        return sum(int(end[b"captured"]) for end in self.ends)


async def _survived(act: Awaitable[None]) -> None:
    try:
        await act
    except (Crashed, StoreUnavailable, NotAcknowledged):
        return
