"""News of a job from its service: the follower looks at it at once. Settles nothing itself.

The service names a job and no account; the books know whose it is, and Redis before the books do.
"""

import structlog

from gateway.books import jobs
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.ledger.ledger import Ledger

log = structlog.get_logger()


class JobNews:
    """What a service tells of its jobs, unasked."""

    def __init__(self, *, books: Books, ledger: Ledger) -> None:
        self._books = books
        self._ledger = ledger

    async def heed(self, upstream: str, job_id: str) -> bool:
        """Has the job looked at now; False where it is no job of ours, or one that is settled. StoreUnavailable."""
        owner = await self._booked(upstream, job_id) or await self._ledger.find_job(upstream, job_id)
        if owner is None:
            return False
        hold_id, account_id = owner
        return await self._ledger.look_now(hold_id, account_id)

    async def _booked(self, upstream: str, job_id: str) -> tuple[str, str] | None:
        try:
            async with self._books.read() as conn:
                job = await jobs.find(conn, upstream, job_id)
        except BooksUnavailable as away:
            log.warning("whose job it is was asked of Redis alone", why=str(away))
            return None
        return None if job is None else (job.request_id, job.account_id)
