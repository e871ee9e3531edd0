"""Terms that are in use, looked after before they are too old: of many accounts in one question, while nobody waits.

Whatever changes an account's terms raises its version, so as long as that is the same they hold still, and with them
the account's keys. What has changed is left to whoever calls next, and so is everything while the books are away.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from gateway.books import terms
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.books.terms import Versions
from gateway.domain.instant import epoch_ms
from gateway.domain.terms import Terms
from gateway.flows.remembered import Remembered
from gateway.flows.terms import holds_still

_BATCH: Final = 500
_MOST_WANTED: Final = 100_000
_PAUSE_MS: Final = 1_000


class Renewal:
    """Renews the `known` terms that it is told are in use."""

    def __init__(self, books: Books, known: Remembered[str, Terms], clock: Callable[[], datetime]) -> None:
        self._books = books
        self._known = known
        self._clock = clock
        self._wanted: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._not_before_ms = 0

    def soon(self, account_id: str, now_ms: int) -> None:
        """Renew this account's terms with the next question. For any number of calls; returns at once."""
        if now_ms < self._not_before_ms or len(self._wanted) >= _MOST_WANTED:
            return
        self._wanted[account_id] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Ask nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._wanted:
            batch = {account_id: self._known.whatever_age(account_id) for account_id in list(self._wanted)[:_BATCH]}
            now_ms = epoch_ms(self._clock())
            try:
                async with self._books.read() as conn:
                    versions = await terms.versions_of(conn, batch)
            except BooksUnavailable:
                self._wanted.clear()
                self._not_before_ms = now_ms + _PAUSE_MS
                return
            for account_id, seen in batch.items():
                # What was read or forgotten meanwhile is newer than this.
                if seen is not None and self._known.whatever_age(account_id) is seen:
                    self._renew(seen, versions.get(account_id), now_ms)
                del self._wanted[account_id]

    def _renew(self, seen: Terms, found: Versions | None, now_ms: int) -> None:
        if found is None or found.version != seen.version or not holds_still(seen, now_ms):
            self._known.make_do(seen.account_id, now_ms, for_ms=0)
            return
        same = (found.epoch, found.booked_seq) == (seen.epoch, seen.booked_seq)
        renewed = seen if same else replace(seen, epoch=found.epoch, booked_seq=found.booked_seq)
        self._known.keep(seen.account_id, renewed, now_ms)
