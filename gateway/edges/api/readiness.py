"""Whether this process should be given calls: each part named, with what is wrong.

Asked every few seconds by load balancers, so an answer is kept for a moment and asked for once at a time.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.ledger.faults import InvariantBroken, StoreUnavailable

KEPT_S: Final = 0.5
BOOKS_PATIENCE_S: Final = 2.0


class AsksRedis(Protocol):
    """The part of the ledger that is needed here."""

    async def settings_check(self) -> list[str]:
        """What is wrong with how Redis is set up. StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Ready:
    """`parts` says `ok`, or what is wrong, of each part."""

    ready: bool
    parts: dict[str, str]


class Readiness:
    """Of one process. Not ready once `drain` was called, for good, whatever its stores."""

    def __init__(self, *, ledger: AsksRedis, books: Books) -> None:
        self._ledger = ledger
        self._books = books
        self._draining = False
        self._stores: tuple[str, str] | None = None
        self._asked_at = 0.0
        self._asking = asyncio.Lock()

    def drain(self) -> None:
        """From now on, calls are to be sent elsewhere."""
        self._draining = True

    async def __call__(self) -> Ready:
        """How it stands now, or stood a moment ago."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._stores is None or now - self._asked_at >= KEPT_S:
                self._stores = await asyncio.gather(self._redis(), self._sql())
                self._asked_at = asyncio.get_running_loop().time()
            redis, books = self._stores
        parts = {"redis": redis, "books": books, "draining": "yes" if self._draining else "no"}
        return Ready(redis == books == "ok" and not self._draining, parts)

    async def _redis(self) -> str:
        try:
            problems = await self._ledger.settings_check()
        except StoreUnavailable as away:
            return f"not available: {away.reason}"
        except InvariantBroken:
            return "INFO is refused, so its settings cannot be checked"
        return "; ".join(problems) or "ok"

    async def _sql(self) -> str:
        try:
            await asyncio.wait_for(self._books.ping(), BOOKS_PATIENCE_S)
        except BooksUnavailable:
            # The reason may name hosts and users; this page is open to everyone.
            return "not available"
        except TimeoutError:
            return "too slow"
        return "ok"
