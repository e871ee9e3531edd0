"""Keeping refused calls for a while, so that an operator or a caller can ask why: off the hot path, on best effort.

Takes a bounded number a second and counts the rest; when the books are away, what waits is given up. Nothing waits for
it, and nothing is charged by what it keeps.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.books import refusals
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.books.refusals import Refusal
from gateway.domain.instant import DAY_MS, epoch_ms

KEEP_EVERY_S: Final = 1.0
MOST_AT_ONCE: Final = 200
# One account that repeats a refused call in a tight loop must not push all others out.
MOST_OF_AN_ACCOUNT: Final = 50
NEWEST: Final = 100_000
LONGEST_MS: Final = 30 * DAY_MS
TRIM_EVERY_TURNS: Final = 60
TRIM_BATCH: Final = 1_000
TRIM_BATCHES: Final = 100

log = structlog.get_logger()


class RefusedCall(Protocol):
    """A refused call as the log has it. It is read only where it will be kept."""

    account_id: str

    def refusal(self) -> Refusal:
        """What is kept of it."""
        ...


class RefusalKeeper:
    """Of one process. `dropped` is told how many refusals were not kept."""

    def __init__(self, *, books: Books, clock: Callable[[], datetime], dropped: Callable[[int], None]) -> None:
        self._books = books
        self._clock = clock
        self._dropped = dropped
        self._waiting: list[Refusal] = []
        self._of_account: Counter[str] = Counter()

    def offer(self, calls: Iterable[RefusedCall]) -> None:
        """Refused calls that may be kept. Never waits."""
        passed_over = 0
        for call in calls:
            if len(self._waiting) >= MOST_AT_ONCE or self._of_account[call.account_id] >= MOST_OF_AN_ACCOUNT:
                passed_over += 1
                continue
            self._of_account[call.account_id] += 1
            self._waiting.append(call.refusal())
        if passed_over:
            self._dropped(passed_over)

    async def run(self) -> None:
        """Keeps and trims until cancelled."""
        turn = 0
        while True:
            if turn % TRIM_EVERY_TURNS == 0:
                await self.trim()
            await asyncio.sleep(KEEP_EVERY_S)
            await self.keep()
            turn += 1

    async def keep(self) -> None:
        """Books what waits, or gives it up."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        self._of_account.clear()
        try:
            async with self._books.begin() as conn:
                await refusals.add(conn, waiting)
        except (BooksUnavailable, SQLAlchemyError) as error:
            log.warning("refusals were not kept", count=len(waiting), why=type(error).__name__)
            self._dropped(len(waiting))

    async def trim(self) -> None:
        """Forgets those that are too old or too many, in small transactions."""
        try:
            async with self._books.read() as conn:
                too_many_ms = await refusals.first_to_keep_ms(conn, most=NEWEST)
            before_ms = max(epoch_ms(self._clock()) - LONGEST_MS, too_many_ms)
            for _ in range(TRIM_BATCHES):
                async with self._books.begin() as conn:
                    if await refusals.trim(conn, before_ms=before_ms, limit=TRIM_BATCH) < TRIM_BATCH:
                        return
        except (BooksUnavailable, SQLAlchemyError) as error:
            log.warning("refusals were not trimmed", why=type(error).__name__)
