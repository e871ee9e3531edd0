"""Jobs that Redis no longer knows, long over or lost with it: whose they are, the books remember for good.

Asked only where an admission found no such job, so other calls pay nothing for it. Makes no hold and settles nothing:
a job that still runs is made again by `flows.rebuild`.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from gateway.books import jobs
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.ledger.ledger import Ledger

# Made-up ids are asked about once in a while, and never all at once.
UNKNOWN_FOR_S: Final = 10.0
MOST_UNKNOWN: Final = 10_000
ASKED_AT_ONCE: Final = 4


class OldJobs:
    """Brings jobs back to Redis. Remembers for some seconds, per process, which ones the books do not know."""

    def __init__(self, books: Books, ledger: Ledger) -> None:
        self._books = books
        self._ledger = ledger
        self._unknown: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._turns = asyncio.Semaphore(ASKED_AT_ONCE)

    async def recall(self, account_id: str, job: tuple[str, str]) -> bool:
        """Whether a job, as (upstream, job id), is the account's by the books; Redis knows it again then.

        False also where the books are away. StoreUnavailable.
        """
        name = (account_id, *job)
        now_s = asyncio.get_running_loop().time()
        if self._unknown.get(name, 0.0) > now_s:
            return False
        async with self._turns:
            try:
                async with self._books.read() as conn:
                    found = await jobs.find(conn, *job)
            except BooksUnavailable:
                return False
        if found is None or found.account_id != account_id:
            self._unknown[name] = now_s + UNKNOWN_FOR_S
            self._unknown.move_to_end(name)
            if len(self._unknown) > MOST_UNKNOWN:
                self._unknown.popitem(last=False)
            return False
        upstream, job_id = job
        await self._ledger.remember_job(
            account_id, upstream=upstream, job_id=job_id, hold_id=found.request_id, job_kind=found.kind
        )
        return True
