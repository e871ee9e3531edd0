"""Which job is a hold's own, where the service tells of a thing (a pipeline) only the job that it saw last.

That may be the job of the call before, or of the call after. So each such job belongs to the first hold that claims it
and to no other: nobody pays for it twice. A hold that cannot know its own, since another call claimed the job while it
ran, pays its quote; one that for long sees no job but that of a call before had nothing to do. What a job costs is not
asked here.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from gateway.domain.job import JobAge, NoCost
from gateway.domain.outcome import Capture, Release
from gateway.ledger.answers import JobLease
from gateway.ledger.ledger import Ledger
from gateway.wire.job_reply import naming, read_each
from gateway.wire.route import Pointer

# A thing that was just given work may still tell of the job before, or of none.
SETTLES_AFTER_MS: Final = 5_000
PATIENCE_MS: Final = 60_000
_NONE_BEGAN_MS: Final = 600_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wait:
    """The hold's own job may still be named."""


@dataclass(frozen=True, slots=True)
class Own:
    """What is known of the hold's own job. `named`: the reply that was read told of it, and not of a later one."""

    document: object
    named: bool = True


class OwnJobs:
    """Finds them, and remembers whose they are in Redis."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def known(self, lease: JobLease, pointer: Pointer) -> object | None:
        """A document that names the job which the hold has claimed before, None where it has not."""
        claim = await self._ledger.claim_job(lease.hold_id, lease.account_id, upstream=lease.upstream, job_id=None)
        return None if claim.own is None else naming(pointer, claim.own)

    async def find(
        self, lease: JobLease, age: JobAge, document: object, pointer: Pointer
    ) -> Own | Wait | Capture | Release:
        """Whether a poll that tells of an end tells of the hold's own. A poll that names no job is taken at its word,
        once there was time for one to begin.
        """
        patience_ms = min(PATIENCE_MS, age.limit_ms // 2)
        ids = read_each(document, pointer)
        if isinstance(ids, NoCost) or not ids:
            return Own(document) if age.attached_ms >= patience_ms else Wait()
        if age.attached_ms < min(SETTLES_AFTER_MS, patience_ms):
            return Wait()
        claim = await self._ledger.claim_job(lease.hold_id, lease.account_id, upstream=lease.upstream, job_id=ids[0])
        if claim.own is not None:
            named = claim.own == ids[0]
            return Own(document if named else naming(pointer, claim.own), named)
        if claim.taken_at_ms is not None and claim.taken_at_ms < lease.attached_at_ms:
            # Charged before this call began, and no job came after it: known, not guessed, so it is free.
            none_began = age.attached_ms >= min(_NONE_BEGAN_MS, age.limit_ms // 2)
            return Release("no job began for the call: free") if none_began else Wait()
        if lease.leased_at_ms - (claim.taken_at_ms or 0) < patience_ms and not age.over_limit:
            return Wait()
        log.warning("a call's own job was not told: its quote is charged", request_id=lease.hold_id, job=lease.job_id)
        return Capture(None, None, f"the job {ids[0]} is another call's, its own is not told: the quote")
