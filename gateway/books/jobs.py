"""Whose job an upstream's job id is, remembered for good: Redis forgets it once the job is long over."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.dialect import upsert
from gateway.books.tables import jobs
from gateway.domain.usage import JobAttached


@dataclass(frozen=True, slots=True)
class BookedJob:
    """One job and the call it came from."""

    upstream: str
    job_id: str
    account_id: str
    project_id: str
    request_id: str
    kind: str
    attached_at_ms: int


async def book(conn: AsyncConnection, attached: Sequence[JobAttached]) -> int:
    """Book the jobs that are new; how many those were. The first account to name a job owns it."""
    if not attached:
        return 0
    rows = [
        {
            "upstream": job.upstream,
            "job_id": job.job_id,
            "account_id": job.account_id,
            "project_id": job.project_id,
            "request_id": job.request_id,
            "kind": job.job_kind,
            "attached_at_ms": job.happened_at_ms,
        }
        for job in sorted(attached, key=lambda job: (job.upstream, job.job_id))
    ]
    statement = upsert(conn, jobs).on_conflict_do_nothing().returning(jobs.c.job_id)
    return len((await conn.execute(statement, rows)).all())


async def find(conn: AsyncConnection, upstream: str, job_id: str) -> BookedJob | None:
    """The job, None where no such job was ever attached."""
    query = select(jobs).where(jobs.c.upstream == upstream, jobs.c.job_id == job_id)
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else BookedJob(*row)


async def of_request(conn: AsyncConnection, request_id: str) -> BookedJob | None:
    """The job that a call started, None where it started none."""
    row = (await conn.execute(select(jobs).where(jobs.c.request_id == request_id).limit(1))).one_or_none()
    return None if row is None else BookedJob(*row)
