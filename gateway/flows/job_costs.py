"""What a job that is over costs, from the places where its kind says that this is told, in order of trust.

Decides nothing about the hold: whether to wait, and what is charged where nothing tells, is the follower's.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway.domain.job import JobAge, JobCost, JobStatus, NoCost, first_known, together
from gateway.domain.usage import CallFacts
from gateway.flows.job_documents import Gone, JobDocuments, Unreadable
from gateway.ledger.answers import JobLease
from gateway.upstream.faults import UpstreamFault
from gateway.wire.job_reply import cost_sources, read_cost, read_each
from gateway.wire.route import CostSource, JobKind

# Jobs of a job of jobs are asked about so many at a time.
ASKED_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Look:
    """What one look is about."""

    lease: JobLease
    facts: CallFacts
    kind: JobKind
    age: JobAge

    @property
    def names(self) -> dict[str, str]:
        """What the log calls it."""
        return {"request_id": self.lease.hold_id, "job": self.lease.job_id, "kind": self.kind.name}


@dataclass(frozen=True, slots=True)
class Over:
    """One job of a hold that is over. `document` is its poll's, None where the upstream does not have it any more."""

    job_id: str
    status: JobStatus
    document: object


class JobCosts:
    """The costs of jobs, by what the upstreams' documents say."""

    def __init__(self, documents: JobDocuments) -> None:
        self._documents = documents

    async def of(self, look: Look, job: Over) -> JobCost | NoCost:
        """What an ended job costs, from its kind's sources in order of trust.

        NOT_THERE: nothing tells it, or nothing has for long.
        """
        deleted_midway = job.document is None and look.age.ended_ms is None
        over = look.age.deleted_patience_over if deleted_midway else look.age.patience_over
        readings: list[JobCost | NoCost] = []
        sources = cost_sources(job.document, look.kind)
        for source in sources:
            readings.append(await self._read(look, source, job.job_id, job.document))
            cost = first_known(readings, patience_over=over)
            if isinstance(cost, JobCost):
                return cost
        asks = any(source.path is not None for source in sources)
        if over or not sources or (job.document is None and not asks):
            return NoCost.NOT_THERE
        return NoCost.NOT_YET

    async def told_elsewhere(self, look: Look, job_id: str) -> bool:
        """Whether a place that does not need the job's own reply tells a cost: what is billed has ended."""
        for source in cost_sources(None, look.kind):
            if source.path is None or source.each is not None:
                continue
            try:
                cost = await self._ask(look, source, job_id)
            except UpstreamFault:
                continue
            if isinstance(cost, JobCost):
                return True
        return False

    async def _read(self, look: Look, source: CostSource, job_id: str, document: object) -> JobCost | NoCost:
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

    async def _ask(self, look: Look, source: CostSource, job_id: str) -> JobCost | NoCost:
        found = await self._documents.get(look.lease.upstream, look.facts, source.path or "", job_id)
        if isinstance(found, Gone):
            return NoCost.NOT_THERE
        return read_cost(None if isinstance(found, Unreadable) else found, source)
