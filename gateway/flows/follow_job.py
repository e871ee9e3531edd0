"""Following jobs to their end: whoever sees the end first settles, and the ledger makes a second settlement nothing.

Two ways in: `seen` is shown the document of a poll that passes through the gateway, `run` looks by itself at every
job whose turn it is, in this process or another (a lease in Redis), until the job has ended and its cost is known.
What a look finds out (the job has ended, the job is gone) is kept with the hold, so that nothing depends on who looks
next, or on whether this process lives. A job that does not end within its limit is given up loudly and costs nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import structlog

from gateway.domain.hold import JobHold
from gateway.domain.job import JobAge, JobCost, JobStatus, NoCost, together
from gateway.domain.outcome import Capture, Release
from gateway.domain.usage import CallFacts
from gateway.flows.job_costs import JobCosts, Look, Over
from gateway.flows.job_documents import Followed, Gone, JobDocuments, Unreadable
from gateway.flows.look_lanes import LaneFull, LookLanes
from gateway.flows.own_job import OwnJobs, Wait
from gateway.flows.settle import NotAcknowledged, Settler
from gateway.ledger.answers import JobLease, JobMark
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.upstream.faults import UpstreamFault
from gateway.wire.call_facts import read_facts
from gateway.wire.job_reply import (
    job_ids,
    last_job,
    read_billed_mode,
    read_job_report,
)
from gateway.wire.route import JobKind

LOOK_EVERY_S: Final = 0.5
LEASE_MS: Final = 30_000
LEASES_PER_SHARD: Final = 16
LOOK_WITHIN_S: Final = 20.0
LATER_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
UNKNOWN_KIND_PAUSE_MS: Final = 15_000

log = structlog.get_logger()


class JobAlert(StrEnum):
    """What an operator should know of, each with an error in the log."""

    NEVER_ENDED = "never_ended"  # given up at its limit: free
    COST_NEVER_TOLD = "cost_never_told"  # it ended, or could not be read until its limit, and its quote was charged
    NEVER_ANSWERED = "never_answered"  # the upstream gave no usable answer until the hold ended


class TellsOperators(Protocol):
    """Where jobs that did not go as they should are counted."""

    def job_alert(self, kind: str, alert: JobAlert) -> None:
        """One job of this kind."""
        ...

    def mode_mismatch(self, product: str, requested: str) -> None:
        """One job ran in another mode than was asked for."""
        ...


@dataclass(frozen=True, slots=True)
class NotYet:
    """The job is to be looked at again. `mark` is what the next look must know."""

    mark: JobMark | None = None


class Follower:
    """Settles jobs. Any number of processes may follow at a time."""

    def __init__(
        self,
        ledger: Ledger,
        settler: Settler,
        *,
        job_kinds: Callable[[], Mapping[str, JobKind]],
        upstreams: Mapping[str, Followed],
        tell: TellsOperators,
        capped: Callable[[str], bool],
        shards: int,
    ) -> None:
        """`capped`: whether a route, by its name, charges at most what is held."""
        self._ledger = ledger
        self._settler = settler
        self._job_kinds = job_kinds
        self._documents = JobDocuments(upstreams)
        self._costs = JobCosts(self._documents)
        self._own = OwnJobs(ledger)
        self._tell = tell
        self._capped = capped
        self._shards = shards
        self._lanes = LookLanes(upstreams)
        self._looks: set[asyncio.Task[None]] = set()

    async def seen(self, kind: JobKind, job: JobHold, account_id: str, document: object) -> None:
        """A caller's poll has passed: settles the job where its document tells the end and the credits.

        Where it tells only the end, that is remembered and the follower looks at once; so too where the job shares its
        hold with others, and where units would have to be counted in a reply that the caller may have asked a part of.
        NotAcknowledged where Redis stays silent.
        """
        report = read_job_report(document, kind)
        if report.status is JobStatus.RUNNING:
            return
        cost = report.cost
        if job.job_kind != kind.name:
            await self._settler.look_now(job.hold_id, account_id, None)
        elif report.status is JobStatus.FREE:
            await self._settler.settle_job(job.hold_id, account_id, Release("the job failed: free"))
        elif isinstance(cost, JobCost) and cost.credits_millicredits is not None:
            facts = read_facts(job.facts)
            await self._settle(job.hold_id, facts, self._capture(cost, facts, "poll", report.billed_mode))
        else:
            await self._settler.look_now(job.hold_id, account_id, _mark([report.status]))

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
        """Takes jobs whose turn it is, as many as there is room for, and begins to look at them."""
        count = min(LEASES_PER_SHARD, -(-self._lanes.room // self._shards))
        if count <= 0:
            return
        leased = await asyncio.gather(
            *(self._ledger.lease_jobs(shard, count=count, lease_ms=LEASE_MS) for shard in range(self._shards)),
            return_exceptions=True,
        )
        for of_shard in leased:
            if isinstance(of_shard, BaseException):
                continue
            for lease in of_shard:
                look = asyncio.create_task(self.look(lease))
                self._looks.add(look)
                look.add_done_callback(self._looks.discard)
        # What some shards have leased is looked at, though others did not answer.
        if failed := next((each for each in leased if isinstance(each, BaseException)), None):
            raise failed

    async def look(self, lease: JobLease) -> None:
        """One look at one hold's job or jobs: settles it, or says when to look again. Faults are logged."""
        kind = self._job_kinds().get(lease.job_kind)
        if kind is None:
            log.error("no such job kind in routes.yaml", kind=lease.job_kind, request_id=lease.hold_id)
            await self._later(lease, UNKNOWN_KIND_PAUSE_MS)
            return
        age = _age(lease, kind)
        try:
            async with self._lanes.place(lease.upstream), asyncio.timeout(LOOK_WITHIN_S):
                await self._look(Look(lease, read_facts(lease.facts), kind, age))
        except LaneFull:
            await self._missed(lease, kind, age)
        except (UpstreamFault, TimeoutError, StoreUnavailable, NotAcknowledged) as error:
            log.warning("a job could not be looked at", request_id=lease.hold_id, job=lease.job_id, why=repr(error))
            await self._missed(lease, kind, age)
        except Exception:
            log.exception("following a job failed", request_id=lease.hold_id, job=lease.job_id)
            await self._missed(lease, kind, age)

    async def _missed(self, lease: JobLease, kind: JobKind, age: JobAge) -> None:
        """A look that came to nothing; loud where it was the last one before the hold ends."""
        if age.left_ms <= age.pause_ms:
            log.error("a job's hold ends and nobody could be asked about it", request_id=lease.hold_id)
            self._tell.job_alert(kind.name, JobAlert.NEVER_ANSWERED)
        await self._later(lease, age.pause_ms)

    async def _look(self, look: Look) -> None:
        lease = look.lease
        decided = await self._decide(look)
        if isinstance(decided, NotYet):
            await self._later(lease, look.age.pause_ms, decided.mark)
        else:
            await self._settle(lease.hold_id, look.facts, decided)

    async def _settle(self, hold_id: str, facts: CallFacts, decided: Capture | Release) -> None:
        await self._settler.settle_job(hold_id, facts.account_id, decided, cap=self._capped(facts.route))

    async def _decide(self, look: Look) -> Capture | Release | NotYet:
        """What the hold's jobs cost together, once all of them are over."""
        if (known := await self._known(look)) is not None:
            return await self._priced(look, [known])
        over: list[Over] = []
        deleted: list[str] = []
        for job_id in job_ids(look.lease.job_id):
            document = await self._document(look, look.kind.poll_path, job_id)
            if isinstance(document, Unreadable):
                if not await self._costs.told_elsewhere(look, job_id):
                    return self._unreadable(look)
                over.append(Over(job_id, JobStatus.CHARGED, None))
                continue
            if isinstance(document, Gone):
                deleted.append(job_id)
                continue
            status = read_job_report(document, look.kind).status
            if status is JobStatus.RUNNING:
                return self._running(look)
            over.append(Over(job_id, status, document))
        if (pointer := last_job(look.kind)) is not None and len(over) == 1:
            own = await self._own.find(look.lease, look.age, over[0].document, pointer)
            if isinstance(own, Wait):
                return NotYet(None if look.lease.gone_at_ms is None else JobMark.THERE)
            if isinstance(own, Capture | Release):
                return own
            over = [Over(over[0].job_id, over[0].status if own.named else JobStatus.STOPPED, own.document)]
        if deleted and look.age.ended_ms is None and not look.age.gone_for_sure:
            return NotYet(JobMark.GONE)
        # A job that ended, and was deleted before it was known what it costs, is owed all the same.
        status = JobStatus.STOPPED if look.lease.ended_at_ms is None else JobStatus.CHARGED
        over += [Over(job_id, status, None) for job_id in deleted]
        return await self._priced(look, over)

    async def _known(self, look: Look) -> Over | None:
        """The hold's own job, of those that a job is only the latest of, where an earlier look has seen it end."""
        pointer = last_job(look.kind)
        if pointer is None or look.age.ended_ms is None:
            return None
        document = await self._own.known(look.lease, pointer)
        status = JobStatus.STOPPED if look.lease.ended_at_ms is None else JobStatus.CHARGED
        return None if document is None else Over(look.lease.job_id, status, document)

    def _running(self, look: Look) -> Release | NotYet:
        if look.age.over_limit:
            log.error("a job did not end within its limit: its hold is given back", **look.names)
            self._tell.job_alert(look.kind.name, JobAlert.NEVER_ENDED)
            return Release("the job did not end within its limit")
        return NotYet(None if look.lease.gone_at_ms is None else JobMark.THERE)

    def _unreadable(self, look: Look) -> Capture | NotYet:
        """Nobody knows whether such a job has ended, so it is looked at until its limit; it is never free."""
        if look.age.over_limit:
            return self._quote(look, "no reply about the job could be read: the quote")
        return NotYet(None if look.lease.gone_at_ms is None else JobMark.THERE)

    def _quote(self, look: Look, evidence: str) -> Capture:
        log.error("a job's cost was never told: its quote is charged", why=evidence, **look.names)
        self._tell.job_alert(look.kind.name, JobAlert.COST_NEVER_TOLD)
        return Capture(None, None, evidence)

    async def _priced(self, look: Look, over: list[Over]) -> Capture | Release | NotYet:
        """The cost of jobs that are all over."""
        costs: list[JobCost] = []
        for job in over:
            if job.status is JobStatus.FREE:
                continue
            cost = await self._costs.of(look, job)
            if cost is NoCost.NOT_YET:
                seen = [one.status for one in over if one.document is not None]
                return NotYet(_mark(seen) if seen or look.age.ended_ms is not None else JobMark.GONE)
            if isinstance(cost, JobCost):
                costs.append(cost)
            elif job.status is JobStatus.CHARGED:
                return self._quote(look, "the upstream never told the cost: the quote")
        if not costs:
            return Release(_nothing_owed(over, look.age))
        evidence = costs[0].evidence if len(over) == 1 else f"{len(costs)} of {len(over)} jobs, {costs[0].evidence}"
        cost = together(costs, per_unit=look.facts.millicredits_per_unit, evidence=evidence)
        modes = {mode for job in over if (mode := read_billed_mode(job.document, look.kind)) is not None}
        return self._capture(cost, look.facts, "follower", ",".join(sorted(modes)) or None)

    async def _document(self, look: Look, path: str, job_id: str) -> "object | Gone | Unreadable":
        return await self._documents.get(look.lease.upstream, look.facts, path, job_id)

    def _capture(self, cost: JobCost, facts: CallFacts, who: str, billed_mode: str | None) -> Capture:
        amount = cost.millicredits(per_unit=facts.millicredits_per_unit)
        units = cost.units_at(per_unit=facts.millicredits_per_unit)
        evidence = f"{who}: {cost.evidence}"
        if billed_mode is not None and billed_mode.lower() != facts.mode.lower():
            evidence += f"; asked for {facts.mode}, billed as {billed_mode}"
            log.warning(
                "a job ran in another mode than was asked for",
                request_id=facts.request_id,
                product=facts.product,
                requested=facts.mode,
                billed=billed_mode,
            )
            self._tell.mode_mismatch(facts.product, facts.mode)
        return Capture(amount, units, evidence, billed_mode)

    async def _later(self, lease: JobLease, in_ms: int, mark: JobMark | None = None) -> None:
        """Sets the next look. A Redis that is away for a moment must not cost the job the rest of its lease."""
        for pause_s in LATER_PAUSES_S:
            try:
                await self._ledger.look_later(lease.hold_id, lease.account_id, in_ms=in_ms, mark=mark)
                return
            except StoreUnavailable:
                await asyncio.sleep(pause_s)


def _age(lease: JobLease, kind: JobKind) -> JobAge:
    now_ms = lease.leased_at_ms
    ended = [at_ms for at_ms in (lease.ended_at_ms, lease.stopped_at_ms) if at_ms is not None]
    return JobAge(
        limit_ms=kind.limit_ms,
        attached_ms=now_ms - lease.attached_at_ms,
        ended_ms=now_ms - min(ended) if ended else None,
        gone_ms=None if lease.gone_at_ms is None else now_ms - lease.gone_at_ms,
        left_ms=lease.deadline_ms - now_ms,
    )


def _mark(seen: Sequence[JobStatus]) -> JobMark | None:
    """What the next look must know of jobs that were seen to be over."""
    if JobStatus.CHARGED in seen:
        return JobMark.ENDED
    return JobMark.STOPPED if JobStatus.STOPPED in seen else None


def _nothing_owed(over: list[Over], age: JobAge) -> str:
    """Why jobs that are over cost nothing, in words."""
    if all(job.status is JobStatus.FREE for job in over):
        return "the job failed: free"
    if any(job.document is None for job in over) and age.ended_ms is None:
        return "deleted before it ended"
    return "stopped, and the upstream tells of nothing delivered"
