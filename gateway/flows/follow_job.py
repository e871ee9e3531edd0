"""Following jobs to their end: whoever sees the end first settles, and the ledger makes a second settlement nothing.

Two ways in: `seen` is shown the document of a poll that passes through the gateway, `run` looks by itself at every
job whose turn it is, in this process or another (a lease in Redis), until the job has ended and its cost is known.
A job that never ends is left to its hold's deadline, which releases it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
import structlog

from gateway.domain.hold import JobHold
from gateway.domain.job import JobCost, JobStatus, NoCost, first_known
from gateway.domain.outcome import Capture, Release
from gateway.domain.usage import CallFacts
from gateway.flows.settle import NotAcknowledged, Settler
from gateway.ledger.answers import JobLease
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.upstream.answer import HeaderLines, Upstream
from gateway.upstream.faults import UpstreamFault
from gateway.wire.call_facts import read_facts
from gateway.wire.job_reply import cost_sources, fill, read_cost, read_job_report
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

log = structlog.get_logger()


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
        """One look at one job: settles it, or says when to look again. UpstreamFault, StoreUnavailable."""
        kind = self._job_kinds().get(lease.job_kind)
        if kind is None:
            log.error("no such job kind in routes.yaml", kind=lease.job_kind, request_id=lease.hold_id)
            await self._later(lease)
            return
        facts = read_facts(lease.facts)
        document = await self._document(lease, facts, kind.poll_path)
        report = read_job_report(document, kind)
        decided: Capture | Release | None = None
        if report.status is JobStatus.FREE:
            decided = Release("the job failed: free")
        elif report.status is JobStatus.CHARGED:
            decided = await self._cost(lease, facts, kind, document)
        if decided is None:
            await self._later(lease)
        else:
            await self._settler.settle_job(lease.hold_id, lease.account_id, decided)

    async def _cost(
        self, lease: JobLease, facts: CallFacts, kind: JobKind, document: object
    ) -> Capture | Release | None:
        """What an ended job costs, from its kind's sources in order of trust; None: not known yet."""
        patience_over = lease.looks * LONGEST_PAUSE_MS > min(PATIENCE_MS, kind.limit_ms // 2)
        readings: list[JobCost | NoCost] = []
        for source in cost_sources(document, kind):
            readings.append(await self._read(lease, facts, source, document))
            cost = first_known(readings, patience_over=patience_over)
            if isinstance(cost, JobCost):
                return _capture(cost, facts, "follower")
        if patience_over:
            log.error("a job's cost was never told: its quote is charged", request_id=lease.hold_id, job=lease.job_id)
            return Capture(None, None, "the upstream never told the cost: the quote")
        return None

    async def _read(self, lease: JobLease, facts: CallFacts, source: CostSource, document: object) -> JobCost | NoCost:
        if source.path is not None:
            document = await self._document(lease, facts, source.path)
        return read_cost(document, source)

    async def _document(self, lease: JobLease, facts: CallFacts, path: str) -> object:
        """A GET as the account that owns the job; None where the reply is no JSON of a reasonable size."""
        followed = self._upstreams[lease.upstream]
        headers: HeaderLines = [
            (b"accept", b"application/json"),
            (b"x-account-id", facts.account_id.encode()),
            (b"x-project-id", facts.project_id.encode()),
            (b"x-request-id", facts.request_id.encode()),
        ]
        if followed.credential is not None:
            headers.append(followed.credential)
        target = fill(path, job_id=lease.job_id, account_id=facts.account_id).encode()
        answer = await followed.upstream.send(b"GET", target, headers, None)
        try:
            body = bytearray()
            while chunk := await answer.read():
                body += chunk
                if len(body) > REPLY_BYTES:
                    return None
        finally:
            await answer.close()
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
