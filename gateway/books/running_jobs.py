"""Jobs that hold credits: what their holds are made of again where Redis has lost them. Gone once their end is booked.

Whose job an id is, for good, is in `jobs`.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.bulk import Bulk, Row
from gateway.books.dialect import one_of
from gateway.books.tables import running_jobs
from gateway.domain.usage import JobAttached, UsageEvent
from gateway.wire.call_facts import facts_json, read_facts

_BEGUN: Final = Bulk(running_jobs, settled=lambda insert: insert.on_conflict_do_nothing())


async def begin(conn: AsyncConnection, attached: Sequence[JobAttached]) -> None:
    """Remember jobs that have begun; again changes nothing."""
    await _BEGUN.write(conn, [_row(job) for job in sorted(attached, key=lambda job: job.request_id)])


async def end(conn: AsyncConnection, events: Sequence[UsageEvent]) -> None:
    """Forget the jobs whose end is booked with these events."""
    ended = sorted({event.facts.request_id for event in events if event.job_id is not None})
    if ended:
        await conn.execute(delete(running_jobs).where(one_of(conn, running_jobs.c.request_id, ended)))


async def of_account(conn: AsyncConnection, account_id: str) -> list[JobAttached]:
    """The account's jobs without an end, but for such whose end was booked before their beginning."""
    rows = await conn.execute(select(running_jobs).where(running_jobs.c.account_id == account_id))
    return [_job(row) for row in rows.mappings()]


async def accounts_with_jobs(conn: AsyncConnection) -> list[str]:
    """The accounts that have such jobs."""
    query = select(running_jobs.c.account_id).distinct().order_by(running_jobs.c.account_id)
    return list((await conn.execute(query)).scalars())


def _row(job: JobAttached) -> Row:
    """In the order of the table's columns."""
    return (
        job.request_id,
        job.account_id,
        facts_json(job.facts).decode(),
        job.job_kind,
        job.upstream,
        job.job_id,
        job.held_millicredits,
        job.period_start_ms,
        job.admitted_at_ms,
        job.deadline_ms,
        job.happened_at_ms,
        job.seq,
    )


def _job(row: Any) -> JobAttached:
    return JobAttached(
        facts=read_facts(row["facts"].encode()),
        job_kind=row["kind"],
        upstream=row["upstream"],
        job_id=row["job_id"],
        held_millicredits=row["held_millicredits"],
        period_start_ms=row["period_start_ms"],
        admitted_at_ms=row["admitted_at_ms"],
        deadline_ms=row["deadline_ms"],
        happened_at_ms=row["attached_at_ms"],
        seq=row["seq"],
    )
