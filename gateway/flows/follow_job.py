"""Following jobs to their end: whoever sees the end first settles, and the ledger makes a second settlement nothing.

Two ways in: `seen` is shown the document of a poll that passes through the gateway, `run` looks by itself at every
job whose turn it is, in this process or another (a lease in Redis), until the job has ended and its cost is known.
A job that never ends is left to its hold's deadline, which releases it; one that is gone from the upstream costs what
can still be learnt of it, else its quote.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from gateway.domain.hold import JobHold
from gateway.domain.job import JobCost, JobStatus, NoCost, first_known, together
from gateway.domain.outcome import Capture, Release
from gateway.domain.usage import CallFacts
from gateway.flows.settle import NotAcknowledged, Settler
from gateway.ledger.answers import JobLease
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.upstream.answer import HeaderLines, Upstream
from gateway.upstream.faults import UpstreamFault
from gateway.wire.call_facts import read_facts
from gateway.wire.job_reply import cost_sources, fill, job_ids, read_cost, read_each, read_job_report
from gateway.wire.route import CostSource, JobKind

LOOK_EVERY_S: Final = 0.5
LEASE_MS: Final = 30_000
LEASES_PER_SHARD: Final = 16
LOOKS_AT_ONCE: Final = 32
LOOK_WITHIN_S: Final = 20.0
REPLY_BYTES: Final = 4_194_304
LONGEST_PAUSE_MS: Final = 15_000
# An ended job whose cost stays unknown so long is charged by the next best evidence.
PATIENCE_MS: Final = 600_000
# So long before a job's limit its cost is not waited for any more: at the limit its hold is given back.
LAST_LOOKS_MS: Final = 60_000
REMEMBERED_ENDS: Final = 10_000
# A job that was deleted has run all the same. Right after its start an upstream may not know it yet.
GONE_AFTER_LOOKS: Final = 3
_GONE: Final = frozenset({404, 410})
# Jobs of a job of jobs are asked about so many at a time.
ASKED_AT_ONCE: Final = 8

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Gone:
    """The upstream knows no such thing (any more)."""

    status: int


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look is about."""

    lease: JobLease
    facts: CallFacts
    kind: JobKind

    @property
    def names(self) -> dict[str, str]:
        """What the log calls it."""
        return {"request_id": self.lease.hold_id, "job": self.lease.job_id}


@dataclass(frozen=True, slots=True)
class Followed:
    """An upstream as the follower asks it."""

    upstream: Upstream
    credential: tuple[bytes, bytes] | None


class Follower:
    """Settles jobs. Any number of processes may follow at a time."""

    def __init__(
        self,
        ledger: Ledger,
        settler: Settler,
        *,
        job_kinds: Callable[[], Mapping[str, JobKind]],
        upstreams: Mapping[str, Followed],
        shards: int,
    ) -> None:
        self._ledger = ledger
        self._settler = settler
        self._job_kinds = job_kinds
        self._upstreams = upstreams
        self._shards = shards
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._looks: set[asyncio.Task[None]] = set()
        self._ended: dict[str, int] = {}

    async def seen(self, kind: JobKind, job: JobHold, account_id: str, document: object) -> None:
        """A caller's poll has passed: settles the job where its document tells the end and the cost.

        Where it tells only the end, the follower looks at once. NotAcknowledged where Redis stays silent.
        """
        report = read_job_report(document, kind)
        match report.status, report.cost:
            case JobStatus.RUNNING, _:
                return
            case JobStatus.FREE, _:
                await self._settler.settle_job(job.hold_id, account_id, Release("the job failed: free"))
            case _, JobCost() as cost:
                await self._settler.settle_job(job.hold_id, account_id, _capture(cost, read_facts(job.facts), "poll"))
            case _:
                try:
                    await self._ledger.look_now(job.hold_id, account_id)
                except StoreUnavailable:
                    return  # its turn comes anyhow

    async def run(self) -> None:
        """Looks at jobs until cancelled; what is under way then is looked at again when its lease ends."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                try:
                    await self.turn()
                except StoreUnavailable:
                    continue
        finally:
            for look in self._looks:
                look.cancel()

    async def turn(self) -> None:
        """Takes the jobs whose turn it is and begins to look at them."""
        if self._looking.locked():
            return
        leases = await asyncio.gather(
            *(
                self._ledger.lease_jobs(shard, count=LEASES_PER_SHARD, lease_ms=LEASE_MS)
                for shard in range(self._shards)
            )
        )
        for lease in (lease for of_shard in leases for lease in of_shard):
            look = asyncio.create_task(self._look_safely(lease))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)

    async def _look_safely(self, lease: JobLease) -> None:
        async with self._looking:
            try:
                async with asyncio.timeout(LOOK_WITHIN_S):
                    await self.look(lease)
            except (UpstreamFault, TimeoutError, StoreUnavailable, NotAcknowledged) as error:
                log.warning("a job could not be looked at", request_id=lease.hold_id, job=lease.job_id, why=repr(error))
                await self._later(lease)
            except Exception:
                log.exception("following a job failed", request_id=lease.hold_id, job=lease.job_id)
                await self._later(lease)

    async def look(self, lease: JobLease) -> None:
        """One look at the job or jobs of a hold: settles it, or says when to look again.

        UpstreamFault, StoreUnavailable.
        """
        kind = self._job_kinds().get(lease.job_kind)
        if kind is None:
            log.error("no such job kind in routes.yaml", kind=lease.job_kind, request_id=lease.hold_id)
            await self._later(lease)
            return
        decided = await self._decide(_Look(lease, read_facts(lease.facts), kind))
        if decided is None:
            await self._later(lease)
        else:
            self._ended.pop(lease.hold_id, None)
            await self._settler.settle_job(lease.hold_id, lease.account_id, decided)

    async def _decide(self, look: "_Look") -> Capture | Release | None:
        """What the hold's jobs cost together, once all of them have ended; None: not yet."""
        costs: list[JobCost] = []
        untold = False
        ids = job_ids(look.lease.job_id)
        for job_id in ids:
            document = await self._document(look, look.kind.poll_path, job_id)
            if isinstance(document, Gone) and look.lease.looks < GONE_AFTER_LOOKS:
                return None
            status = JobStatus.CHARGED if isinstance(document, Gone) else read_job_report(document, look.kind).status
            if status is JobStatus.RUNNING:
                return None
            if status is JobStatus.FREE:
                continue
            cost = await self._cost(look, job_id, None if isinstance(document, Gone) else document)
            if cost is NoCost.NOT_YET:
                return None
            if isinstance(cost, JobCost):
                costs.append(cost)
            else:
                untold = True
        if untold:
            log.error("a job's cost was never told: its quote is charged", **look.names)
            return Capture(None, None, "the upstream never told the cost: the quote")
        if not costs:
            return Release("the job failed: free")
        evidence = costs[0].evidence if len(ids) == 1 else f"{len(costs)} of {len(ids)} jobs, {costs[0].evidence}"
        per_unit = look.facts.millicredits_per_unit
        return _capture(together(costs, per_unit=per_unit, evidence=evidence), look.facts, "follower")

    async def _cost(self, look: "_Look", job_id: str, document: object) -> JobCost | NoCost:
        """What an ended job costs, from its kind's sources in order of trust.

        NOT_THERE: nothing tells it, or nothing has for long.
        """
        kind, patience_over = look.kind, self._patience_over(look)
        readings: list[JobCost | NoCost] = []
        for source in cost_sources(document, kind):
            readings.append(await self._read(look, source, job_id, document))
            cost = first_known(readings, patience_over=patience_over)
            if isinstance(cost, JobCost):
                return cost
        return NoCost.NOT_THERE if patience_over or not kind.costs else NoCost.NOT_YET

    def _patience_over(self, look: "_Look") -> bool:
        """Whether an ended job's cost has been waited for long enough, or its time is nearly up.

        Counted in looks, from the first that found it ended; a process that takes over counts anew.
        """
        looks, limit_ms = look.lease.looks, look.kind.limit_ms
        if len(self._ended) >= REMEMBERED_ENDS and look.lease.hold_id not in self._ended:
            self._ended.pop(next(iter(self._ended)))
        first = self._ended.setdefault(look.lease.hold_id, looks)
        short = min(looks, LONGEST_PAUSE_MS // 1_000)
        passed_ms = 500 * short * (short + 1) + (looks - short) * LONGEST_PAUSE_MS
        waited_ms = (looks - first) * LONGEST_PAUSE_MS
        return waited_ms > min(PATIENCE_MS, limit_ms // 2) or passed_ms > limit_ms - min(LAST_LOOKS_MS, limit_ms // 2)

    async def _read(self, look: "_Look", source: CostSource, job_id: str, document: object) -> JobCost | NoCost:
        if source.path is None:
            return read_cost(document, source)
        if source.each is None:
            return await self._ask(look, source, job_id)
        ids = read_each(document, source.each)
        if isinstance(ids, NoCost):
            return ids
        costs: list[JobCost] = []
        for chunk in range(0, len(ids), ASKED_AT_ONCE):
            found = await asyncio.gather(
                *(self._ask(look, source, one) for one in ids[chunk : chunk + ASKED_AT_ONCE]), return_exceptions=True
            )
            for cost in found:
                if isinstance(cost, BaseException):
                    raise cost
                if isinstance(cost, NoCost):
                    return cost
                costs.append(cost)
        evidence = f"{len(ids)} jobs, {costs[0].evidence}" if costs else "the job names no further jobs: free"
        return together(costs, per_unit=look.facts.millicredits_per_unit, evidence=evidence)

    async def _ask(self, look: "_Look", source: CostSource, job_id: str) -> JobCost | NoCost:
        found = await self._document(look, source.path or "", job_id)
        return NoCost.NOT_THERE if isinstance(found, Gone) else read_cost(found, source)

    async def _document(self, look: "_Look", path: str, job_id: str) -> "object | Gone":
        """A GET as the account that owns the job; None where the reply is no JSON of a reasonable size."""
        facts, followed = look.facts, self._upstreams[look.lease.upstream]
        headers: HeaderLines = [
            (b"accept", b"application/json"),
            (b"x-account-id", facts.account_id.encode()),
            (b"x-project-id", facts.project_id.encode()),
            (b"x-request-id", facts.request_id.encode()),
        ]
        if followed.credential is not None:
            headers.append(followed.credential)
        target = fill(path, job_id=job_id, account_id=facts.account_id).encode()
        answer = await followed.upstream.send(b"GET", target, headers, None)
        try:
            body = bytearray()
            while chunk := await answer.read():
                body += chunk
                if len(body) > REPLY_BYTES:
                    return None
        finally:
            await answer.close()
        if answer.status in _GONE:
            return Gone(answer.status)
        if answer.status != 200:  # noqa: PLR2004
            raise UpstreamFault(f"{answer.status} for {path}")
        try:
            document: object = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        return document

    async def _later(self, lease: JobLease) -> None:
        pause_ms = min(1_000 * (1 + lease.looks), LONGEST_PAUSE_MS)
        try:
            await self._ledger.look_later(lease.hold_id, lease.account_id, in_ms=pause_ms)
        except StoreUnavailable:
            return  # the lease runs out by itself


def _capture(cost: JobCost, facts: CallFacts, who: str) -> Capture:
    amount = cost.millicredits(per_unit=facts.millicredits_per_unit)
    return Capture(amount, cost.units, f"{who}: {cost.evidence}")
