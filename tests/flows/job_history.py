"""Histories of one job: what happens to it, in what order and with which faults, made up from a seed and then lived.

The gateway's parts are real, replicas of them share one Redis; the upstream is made up, and faults are put between any
two awaits of a replica. What a history may end in is `verdict`'s to say, by what the upstream knows.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import orjson

from gateway.books.books import Books
from gateway.domain.admission import Admitted
from gateway.domain.hold import HoldState
from gateway.domain.job import LONGEST_PAUSE_MS, hold_ms, patience_ms
from gateway.domain.outcome import Attach
from gateway.domain.terms import Terms
from gateway.flows.follow_job import Followed, Follower, JobAlert
from gateway.flows.live_holds import LiveHolds
from gateway.flows.settle import Held, NotAcknowledged, Settler
from gateway.ledger.answers import AdmitCall
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.keys import outbox_key, shard_of, shard_prefix, shard_tag
from gateway.ledger.ledger import Ledger
from gateway.ledger.scripts import Script, load_scripts
from gateway.ledger.store import Argument, Still, Store
from gateway.upstream.answer import HeaderLines, RequestBody
from gateway.upstream.faults import UpstreamUnreachable
from gateway.wire.call_facts import facts_json
from gateway.wire.job_reply import read_job_id
from gateway.wire.route import CostSource, Delivery, JobKind
from gateway.wire.usage_record import fields_of
from tests.made_up import CREDIT, facts

LIMIT_MS: Final = 1_800_000
HELD: Final = 100 * CREDIT
KIND: Final = JobKind(
    name="parse_v2",
    upstream="parse",
    id=("id",),
    poll_path="/jobs/{job_id}?expand=usage",
    status=("job", "status"),
    statuses={"COMPLETED": Delivery.CHARGED, "CANCELLED": Delivery.STOPPED, "FAILED": Delivery.FREE},
    costs=(
        CostSource(credits=("job", "usage", "credits")),
        CostSource(path="/metrics?key={job_id}", credits=("items", "*", "credits")),
    ),
    limit_ms=LIMIT_MS,
    billed_mode=("job", "tier"),
)
# A clock for each shard, so that histories side by side each have their own.
CLOCK_LUA: Final = """\
local call = redis.call
local function now_us()
  return tonumber(call('GET', 'test:clock:' .. string.match(KEYS[1], '{[^}]*}')))
end
"""


class Fault(StrEnum):
    """What is put at one await of one act."""

    AWAY = "store away before it ran"
    LOST = "reply lost after it ran"
    CRASH = "replica killed"
    PAUSE = "replica stands still while others go on"
    UNREACHABLE = "upstream unreachable"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happens. A fault, if any, hits the act's await number `at`."""

    name: str
    replica: int = 0
    amount: int = 0
    fault: Fault | None = None
    at: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """`cost` is what the upstream bills in the end; it tells after `looks_until_billed` looks at the ended job."""

    number: int
    cost: int
    looks_until_billed: int
    metrics: bool
    acts: tuple[Act, ...]


NOTHING: Final = Act("nothing")
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
        cost=dice.choice([0, CREDIT, 12_500, HELD, 3 * HELD]),
        looks_until_billed=dice.choice([0, 0, 0, 1, 2, 4, 10_000]),
        metrics=dice.random() < 0.5,
        acts=tuple(acts),
    )


class Crashed(asyncio.CancelledError):
    """The replica is gone: nothing of it runs any further."""


class Gate:
    """Stands at every await of a replica and lets its plan happen."""

    def __init__(self, hit: Callable[[Fault], None]) -> None:
        self._hit = hit
        self._plan: Act | None = None
        self._awaits = 0
        self.dead = False
        self.paused = asyncio.Event()
        self.resume = asyncio.Event()

    def plan(self, act: Act) -> None:
        self._plan, self._awaits = act, 0
        self.paused.clear()
        self.resume.clear()

    async def pass_(self, *possible: Fault) -> None:
        """One await of the replica's; the faults that make sense here."""
        if self.dead:
            raise Crashed
        plan = self._plan
        if plan is None or plan.fault is None or plan.fault not in possible:
            return
        self._awaits += 1
        if self._awaits <= plan.at:
            return
        self._plan = None
        self._hit(plan.fault)
        match plan.fault:
            case Fault.AWAY:
                raise StoreUnavailable("connection_lost")
            case Fault.LOST:
                raise StoreUnavailable("timeout", outcome_unknown=True)
            case Fault.UNREACHABLE:
                raise UpstreamUnreachable("made up")
            case Fault.CRASH:
                self.dead = True
                raise Crashed
            case Fault.PAUSE:
                self.paused.set()
                await self.resume.wait()
                if self.dead:
                    raise Crashed


class FaultyStore:
    """The real store, with a gate before and after everything asked of it."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    async def evalsha(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        repeat: bool = True,
        deadline_ms: int | None = None,
        still: Still | None = None,
    ) -> Any:
        await self._gate.pass_(Fault.AWAY, Fault.CRASH, Fault.PAUSE)
        reply = await self._store.evalsha(script, keys, args, repeat=repeat, deadline_ms=deadline_ms, still=still)
        await self._gate.pass_(Fault.LOST, Fault.CRASH, Fault.PAUSE)
        return reply

    async def execute(self, *command: Argument, key: str, repeat: bool = False, deadline_ms: int | None = None) -> Any:
        return await self._store.execute(*command, key=key, repeat=repeat, deadline_ms=deadline_ms)

    async def on_every_node(self, *command: Argument) -> list[Any]:
        return await self._store.on_every_node(*command)


@dataclass
class Answer:
    """A whole answer."""

    status: int
    body: bytes
    headers: HeaderLines = field(default_factory=list)
    complete: bool = True

    @property
    def content_length(self) -> int | None:
        return len(self.body)

    async def read(self) -> bytes:
        body, self.body = self.body, b""
        return body

    async def close(self) -> None:
        """Nothing is open."""


class MadeUpJob:
    """The upstream's side: one job, its bill, and when either came to be."""

    def __init__(self, history: History, job_id: str, now_ms: Callable[[], int]) -> None:
        self.history = history
        self.id = job_id
        self.status = "RUNNING"
        self.ended_ms: int | None = None
        self.deleted_ms: int | None = None
        self.billed = history.cost
        self._looks_left = history.looks_until_billed
        self._now_ms = now_ms
        # When the gateway was told the end, and the bill, by whatever way.
        self.end_told_ms: int | None = None
        self.bill_told_ms: int | None = None

    def end(self, status: str, billed: int) -> None:
        if self.status == "RUNNING" and self.deleted_ms is None:
            self.status, self.billed, self.ended_ms = status, billed, self._now_ms()

    def delete(self) -> None:
        if self.deleted_ms is None:
            self.deleted_ms = self._now_ms()

    def poll(self, *, usage: bool) -> Answer:
        if self.deleted_ms is not None:
            return Answer(404, b"{}")
        job: dict[str, Any] = {"id": self.id, "status": self.status, "tier": "agentic"}
        if usage:
            job["usage"] = {"credits": self._bill()}
        return Answer(200, orjson.dumps({"job": job}))

    def metrics(self) -> Answer:
        told = self.history.metrics and self.ended_ms is not None and self.status != "FAILED" and not self._looks_left
        return Answer(200, orjson.dumps({"items": [{"credits": self.billed / CREDIT}] if told else []}))

    def _bill(self) -> float | None:
        if self.ended_ms is None:
            return None
        if self._looks_left:
            self._looks_left -= 1
            return None
        return 0.0 if self.status == "FAILED" else self.billed / CREDIT


class MadeUpUpstream:
    """The job's service, behind one replica's gate."""

    def __init__(self, job: MadeUpJob, gate: Gate) -> None:
        self._job = job
        self._gate = gate

    async def send(self, method: bytes, target: bytes, headers: HeaderLines, body: RequestBody) -> Answer:
        assert (method, body) == (b"GET", None)
        assert dict(headers)[b"x-account-id"]
        await self._gate.pass_(Fault.UNREACHABLE, Fault.CRASH, Fault.PAUSE)
        path, job_id = target.decode().split("?")[0], self._job.id
        answer = self._job.poll(usage=True) if path == f"/jobs/{job_id}" else self._job.metrics()
        await self._gate.pass_(Fault.CRASH, Fault.PAUSE)
        return answer

    async def aclose(self) -> None:
        """Nothing is open."""


class Tally:
    """Alerts and faults, counted over all histories."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.acts: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    def job_alert(self, kind: str, alert: JobAlert) -> None:
        assert kind == KIND.name
        self.alerts[alert] += 1

    def mode_mismatch(self, product: str, requested: str) -> None:
        raise AssertionError(f"{product} {requested}: the job ran in the mode that was asked for")


class Replica:
    """A gateway process's parts that have to do with jobs."""

    def __init__(self, store: Store, books: Books, job: MadeUpJob, tally: Tally) -> None:
        self.gate = Gate(lambda fault: tally.faults.update([fault.value]))
        self.ledger = Ledger(FaultyStore(store, self.gate), scripts=load_scripts(CLOCK_LUA))
        self.settler = Settler(self.ledger, books, LiveHolds(self.ledger), _no_rebuild)
        self.follower = Follower(
            self.ledger,
            self.settler,
            job_kinds=lambda: {KIND.name: KIND},
            upstreams={"parse": Followed(MadeUpUpstream(job, self.gate), None)},
            tell=tally,
            capped=lambda _: False,
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
        return shard_of(self.terms.account_id)


class Lived:
    """One history being lived."""

    def __init__(self, lane: Lane, history: History, tally: Tally) -> None:
        self.lane = lane
        self.history = history
        self.tally = tally
        self.hold_id = f"req_{history.number:032x}"
        self.job_id = f"pjb-{history.number}"
        self.now_ms = lane.start_ms
        self.attached_ms: int | None = None
        self.job = MadeUpJob(history, self.job_id, lambda: self.now_ms)
        self._dice = random.Random(history.number)
        self._quiet_ledger = Ledger(lane.store, scripts=load_scripts(CLOCK_LUA))
        self._replicas = [self._replica(), self._replica()]
        self._running: list[tuple[Replica, asyncio.Task[None]]] = []

    def _replica(self) -> Replica:
        return Replica(self.lane.store, self.lane.books, self.job, self.tally)

    async def live(self) -> str | None:
        """Lives it to its end; what is wrong with it, or None."""
        await self._tick(0)
        for act in self.history.acts:
            self.tally.acts[act.name] += 1
            await self._act(act)
        await self._quiet()
        for replica in self._replicas:
            await replica.settler.close(within_s=5)
        return await self._verdict()

    async def _act(self, act: Act) -> None:
        match act.name:
            case "wait" | "long":
                await self._tick(act.amount)
            case "end":
                if act.amount:
                    self.job.end("FAILED", 0)
                else:
                    self.job.end("COMPLETED", self.history.cost)
            case "cancel":
                self.job.end("CANCELLED", self.history.cost // 2 // 500 * 500)
            case "delete":
                self.job.delete()
            case "resume":
                await self._resume()
            case "sweep":
                await self._quiet_ledger.expire(self.lane.shard)
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
        admitted = await self._quiet_ledger.admit(call)
        assert isinstance(admitted, Admitted), admitted
        assert read_job_id({"id": self.job_id}, KIND) == self.job_id
        held = Held(self.hold_id, account_id, HELD, admitted.period_start_ms, told)
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

    async def _tick(self, by_ms: int) -> None:
        self.now_ms += by_ms
        key = f"test:clock:{shard_tag(self.lane.shard)}"
        await self.lane.store.execute("SET", key, self.now_ms * 1000, key=key)

    async def _quiet(self) -> None:
        """The faults stop. One healthy replica follows, and all that stood still goes on."""
        follow, due = (f"{shard_prefix(self.lane.shard)}{name}" for name in ("follow", "due"))
        for step in (16_000, 16_000, 16_000, 61_000, 61_000, *[700_000] * 4, LIMIT_MS):
            await self._tick(step)
            await self._as(Act("look"), self._look)
            await self._resume()
            if not await self.lane.store.execute("ZCARD", follow, key=follow):
                break
        await self._tick(hold_ms(LIMIT_MS))
        if await self.lane.store.execute("ZCARD", due, key=due):
            await self._quiet_ledger.expire(self.lane.shard)
        await self.lane.store.execute("DEL", follow, key=follow)

    async def _verdict(self) -> str | None:
        outbox = outbox_key(shard_prefix(self.lane.shard))
        entries = await self.lane.store.execute("XREVRANGE", outbox, "+", "-", "COUNT", 8, key=outbox)
        told = [fields_of(flat) for _, flat in reversed(entries)]
        mine = [one for one in told if one[b"id"].startswith(self.hold_id.encode())]
        self.attached_ms = next((int(one[b"at"]) for one in mine if one[b"kind"] == b"job"), None)
        return verdict(self, [one for one in mine if one[b"kind"] == b"usage"])


async def _survived(act: Awaitable[None]) -> None:
    try:
        await act
    except (Crashed, StoreUnavailable, NotAcknowledged):
        return


def verdict(lived: Lived, ends: Sequence[dict[bytes, bytes]]) -> str | None:
    """What is wrong with how a hold ended, None where that is what the upstream's side calls for."""
    job, history, attached_ms = lived.job, lived.history, lived.attached_ms
    words = [end[b"ending"].decode() for end in ends]
    lived.tally.ends[" then ".join(words)] += 1
    if sum(word in {"captured", "late", "recovered"} for word in words) > 1:
        return f"charged more than once: {words}"
    if words[:1] == ["expired"] and (attached_ms is None or int(ends[0][b"at"]) <= attached_ms):
        # The process that began the job stood still, or died, before the job was known.
        if len(ends) == 1:
            free = attached_ms is None or job.status in {"FAILED", "RUNNING", "CANCELLED"} or job.deleted_ms is not None
            late = job.ended_ms is not None and history.looks_until_billed > 100
            return None if free or late else "a job that was known was not charged"
        ends, words = ends[1:], words[1:]
    if len(ends) != 1:
        return f"ended {len(ends)} times: {words}"
    end = ends[0]
    at_ms, charged = int(end[b"at"]), int(end[b"captured"])
    evidence = orjson.loads(end[b"settlement"])["evidence"]
    lived.tally.ends[evidence.partition(":")[0]] += 1
    if attached_ms is None:
        return None if words == ["expired"] else f"{words} without a job"
    return _job_verdict(job, words[0], evidence, charged=charged, at_ms=at_ms, attached_ms=attached_ms)


def _job_verdict(
    job: MadeUpJob, ending: str, evidence: str, *, charged: int, at_ms: int, attached_ms: int
) -> str | None:
    wrong = f"{ending} {charged} ({evidence}), the upstream says {job.status} {job.billed}"
    deadline_ms = attached_ms + hold_ms(LIMIT_MS)
    ended_ms = job.ended_ms
    if ending == "expired":
        return None if at_ms >= deadline_ms else f"before its time: {wrong}"
    if evidence == "the job did not end within its limit":
        in_time = ended_ms is not None and ended_ms < attached_ms + LIMIT_MS and job.deleted_ms is None
        return wrong if in_time or at_ms < attached_ms + LIMIT_MS else None
    if evidence == "deleted before it ended":
        return wrong if job.deleted_ms is None or job.end_told_ms is not None else None
    if ended_ms is None:
        return f"it never ended: {wrong}"
    waited = at_ms - ended_ms >= patience_ms(LIMIT_MS) or at_ms >= deadline_ms - 2 * LONGEST_PAUSE_MS
    if evidence == "the upstream never told the cost: the quote":
        deleted = job.deleted_ms is not None and not job.history.metrics
        return None if job.status == "COMPLETED" and charged == HELD and (waited or deleted) else wrong
    if evidence == "stopped, and the upstream tells of nothing delivered":
        deleted = job.deleted_ms is not None and not job.history.metrics
        return None if job.status == "CANCELLED" and (waited or deleted) else wrong
    if job.status == "FAILED":
        return (
            None if (ending, charged) == ("released", 0) or (evidence.endswith("credits") and charged == 0) else wrong
        )
    return None if ending in {"captured", "late"} and charged == job.billed else wrong
