"""Pipelines name the job they saw last: each job is paid once, by the first whose it may be, the others their quote."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from gateway.books.books import Books
from gateway.domain.admission import Admitted
from gateway.domain.outcome import Attach
from gateway.flows.follow_job import Follower
from gateway.flows.job_documents import Followed
from gateway.flows.live_holds import LiveHolds
from gateway.flows.settle import Held, Settler
from gateway.ledger.answers import AdmitCall
from gateway.ledger.connection import RedisConnection
from gateway.ledger.keys import outbox_key, shard_prefix, shard_tag
from gateway.ledger.ledger import Ledger
from gateway.ledger.scripts import load_scripts
from gateway.upstream.answer import HeaderLines, RequestBody
from gateway.wire.call_facts import facts_json
from gateway.wire.route import CostSource, Delivery, JobKind
from gateway.wire.usage_record import fields_of
from tests.flows.job_history import CLOCK_LUA, Lane, Tally, open_lanes
from tests.flows.job_upstream import Answer
from tests.made_up import CREDIT, Clock, facts

KIND = JobKind(
    name="new_pipeline",
    upstream="parse",
    id=("id",),
    poll_path="/pipelines/{job_id}/status",
    status=("status",),
    statuses={"SUCCESS": Delivery.CHARGED, "ERROR": Delivery.FREE, "NOT_STARTED": Delivery.FREE},
    costs=(CostSource(path="/metrics?key={job_id}", credits=("items", "*", "credits"), each=("job_id",), wait=True),),
    limit_ms=7_200_000,
)
QUOTE = 100 * CREDIT


class Pipeline:
    """Its status, and what its jobs cost."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {"status": "NOT_STARTED", "job_id": None}
        self.credits: dict[str, int] = {}

    def now(self, status: str, job_id: str) -> None:
        self.status = {"status": status, "job_id": job_id}

    async def send(self, method: bytes, target: bytes, headers: HeaderLines, body: RequestBody) -> Answer:
        assert (method, body) == (b"GET", None)
        assert dict(headers)[b"x-account-id"]
        path, _, key = target.decode().partition("?key=")
        if path == "/pipelines/pipe/status":
            return Answer(200, orjson.dumps(self.status))
        told = [{"credits": self.credits[key]}] if key in self.credits else []
        return Answer(200, orjson.dumps({"items": told}))

    async def aclose(self) -> None:
        """Nothing is open."""


class Town:
    """One account, whose calls put things into one pipeline."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._now_ms = lane.start_ms
        self.pipeline = Pipeline()
        self.ledger = Ledger(lane.store, scripts=load_scripts(CLOCK_LUA))
        self._settler = Settler(self.ledger, lane.books, LiveHolds(self.ledger), self._no_rebuild)
        self._follower = Follower(
            self.ledger,
            self._settler,
            job_kinds=lambda: {KIND.name: KIND},
            upstreams={"parse": Followed(self.pipeline, None)},
            tell=Tally(),
            capped=lambda _: False,
            shards=1,
        )

    async def _no_rebuild(self, _account_id: str) -> None:
        raise AssertionError("Redis has lost nothing here")

    async def pass_s(self, seconds: float) -> None:
        """So much later, everybody who is due has been looked at."""
        self._now_ms += int(seconds * 1000)
        key = f"test:clock:{shard_tag(self._lane.shard)}"
        await self._lane.store.execute("SET", key, self._now_ms * 1000, key=key)
        for lease in await self.ledger.lease_jobs(self._lane.shard, count=10, lease_ms=30_000):
            await self._follower.look(lease)

    async def call(self, number: int) -> None:
        """A call puts something into the pipeline."""
        await self.pass_s(0.001)
        account_id, hold_id = self._lane.terms.account_id, f"req_{number:032x}"
        told = facts_json(facts(account_id, hold_id, plan_id="pro", quote_millicredits=QUOTE))
        call = AdmitCall(hold_id, hold_id, self._lane.terms, (), None, QUOTE, QUOTE, 60_000, told, None)
        admitted = await self.ledger.admit(call)
        assert isinstance(admitted, Admitted)
        held = Held(hold_id, account_id, QUOTE, admitted.period_start_ms, told)
        await self._settler.settle(held, Attach("pipe"), cap=False, kind=KIND)

    async def charged(self) -> list[tuple[int, int]]:
        """The calls that are settled, and their millicredits."""
        outbox = outbox_key(shard_prefix(self._lane.shard))
        entries = await self._lane.store.execute("XRANGE", outbox, "-", "+", key=outbox)
        ends = [told for _, flat in entries if (told := fields_of(flat))[b"kind"] == b"usage"]
        return sorted((int(end[b"id"].split(b".")[0][4:], 16), int(end[b"captured"])) for end in ends)


@pytest.fixture
async def town(sqlite_copy_url: str, redis: RedisConnection, clock: Clock) -> AsyncIterator[Town]:
    books = await Books.open(sqlite_copy_url)
    (lane,) = await open_lanes(books, redis, clock, 1)
    town = Town(lane)
    await town.pass_s(0)
    yield town
    await books.close()


async def test_one_call_after_the_other_costs_what_its_own_job_costs(town: Town) -> None:
    town.pipeline.credits = {"a": 7, "b": 9}
    await town.call(1)
    town.pipeline.now("SUCCESS", "a")
    await town.pass_s(6)
    assert await town.charged() == [(1, 7 * CREDIT)]
    await town.call(2)
    for _ in range(3):  # the pipeline still tells of the job before
        await town.pass_s(10)
    assert await town.charged() == [(1, 7 * CREDIT)]
    town.pipeline.now("SUCCESS", "b")
    await town.pass_s(10)
    assert await town.charged() == [(1, 7 * CREDIT), (2, 9 * CREDIT)]


async def test_of_calls_at_once_one_pays_the_job_that_is_named_and_the_others_their_quote(town: Town) -> None:
    town.pipeline.credits = {"c": 7}
    for number in (1, 2, 3):
        await town.call(number)
    town.pipeline.now("IN_PROGRESS", "c")
    await town.pass_s(6)
    town.pipeline.now("SUCCESS", "c")
    for _ in range(6):
        await town.pass_s(16)
    amounts = [amount for _, amount in await town.charged()]
    assert sorted(amounts) == [7 * CREDIT, QUOTE, QUOTE]


async def test_a_call_that_has_nothing_done_is_free_only_after_long(town: Town) -> None:
    town.pipeline.credits = {"a": 7}
    await town.call(1)
    town.pipeline.now("SUCCESS", "a")
    await town.pass_s(6)
    await town.call(2)
    for _ in range(30):
        await town.pass_s(18)
    assert await town.charged() == [(1, 7 * CREDIT)]
    for _ in range(4):
        await town.pass_s(18)
    assert await town.charged() == [(1, 7 * CREDIT), (2, 0)]


async def test_a_job_that_failed_makes_no_other_call_free(town: Town) -> None:
    await town.call(1)
    town.pipeline.now("ERROR", "a")
    await town.pass_s(6)
    assert await town.charged() == [(1, 0)]
    await town.call(2)
    for _ in range(6):
        await town.pass_s(16)
    assert await town.charged() == [(1, 0)]
    town.pipeline.credits = {"b": 9}
    town.pipeline.now("SUCCESS", "b")
    await town.pass_s(16)
    assert await town.charged() == [(1, 0), (2, 9 * CREDIT)]


async def test_a_cost_that_is_told_late_is_asked_of_the_call_s_own_job(town: Town) -> None:
    await town.call(1)
    town.pipeline.now("SUCCESS", "a")
    await town.pass_s(6)
    town.pipeline.now("ERROR", "b")
    await town.pass_s(6)
    town.pipeline.credits = {"a": 7, "b": 9}
    await town.pass_s(16)
    assert await town.charged() == [(1, 7 * CREDIT)]


async def test_a_pipeline_that_has_not_started_is_free_only_after_a_minute(town: Town) -> None:
    await town.call(1)
    for _ in range(5):
        await town.pass_s(11)
    assert await town.charged() == []
    await town.pass_s(16)
    assert await town.charged() == [(1, 0)]
