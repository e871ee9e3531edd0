"""What a history of a job may end in, by what the upstream's side of it knows."""

from collections.abc import Sequence

import orjson

from gateway.domain.job import LONGEST_PAUSE_MS, hold_ms, patience_ms
from tests.flows.job_upstream import HELD, LIMIT_MS, MANY_LOOKS, MadeUpJob


def verdict(job: MadeUpJob, ends: Sequence[dict[bytes, bytes]], *, attached_ms: int | None) -> str | None:
    """What is wrong with how a hold ended, None where that is what the upstream's side calls for.

    `ends` are the outbox's usage events of the hold. `attached_ms` None: its job never came to be known.
    """
    words = [end[b"ending"].decode() for end in ends]
    if sum(word in {"captured", "late", "recovered"} for word in words) > 1:
        return f"charged more than once: {words}"
    if words[:1] == ["expired"] and (attached_ms is None or int(ends[0][b"at"]) <= attached_ms):
        # The process that began the job stood still, or died, before the job was known.
        ends, words = ends[1:], words[1:]
        if not words:
            return _expired_verdict(job, attached_ms)
    if len(words) != 1:
        return f"ended {len(words)} times: {words}"
    if attached_ms is None:
        return f"{words} without a job"
    return _job_verdict(job, ends[0], attached_ms)


def _expired_verdict(job: MadeUpJob, attached_ms: int | None) -> str | None:
    """Of a hold that expired, and was not charged after that."""
    if attached_ms is None or job.ended_ms is None or job.status != "COMPLETED" or job.deleted_ms is not None:
        return None
    given_up = job.ended_ms >= attached_ms + LIMIT_MS or job.bill.looks_until_billed > MANY_LOOKS
    return None if given_up else "a job that was known was not charged"


def _job_verdict(job: MadeUpJob, end: dict[bytes, bytes], attached_ms: int) -> str | None:
    ending, at_ms, charged = end[b"ending"].decode(), int(end[b"at"]), int(end[b"captured"])
    evidence = orjson.loads(end[b"settlement"])["evidence"]
    wrong = f"{ending} {charged} ({evidence}), the upstream says {job.status} {job.billed}"
    deadline_ms, ended_ms = attached_ms + hold_ms(LIMIT_MS), job.ended_ms
    waited = ended_ms is not None and at_ms - ended_ms >= patience_ms(LIMIT_MS)
    waited = waited or at_ms >= deadline_ms - 2 * LONGEST_PAUSE_MS
    untold = waited or (job.deleted_ms is not None and not job.bill.metrics)
    match evidence:
        case "nobody settled the hold in time":
            right = at_ms >= deadline_ms
        case "the job did not end within its limit":
            in_time = ended_ms is not None and ended_ms < attached_ms + LIMIT_MS and job.deleted_ms is None
            right = not in_time and at_ms >= attached_ms + LIMIT_MS
        case "deleted before it ended":
            right = job.deleted_ms is not None and job.end_told_ms is None
        case "the upstream never told the cost: the quote":
            right = job.status == "COMPLETED" and charged == HELD and untold
        case "stopped, and the upstream tells of nothing delivered":
            right = job.status == "CANCELLED" and untold
        case "the job failed: free":
            right = job.status == "FAILED"
        case _:
            right = ending in {"captured", "late"} and charged == (0 if job.status == "FAILED" else job.billed)
            right = right and ended_ms is not None
    return None if right and (charged == 0 or ending != "released") else wrong
