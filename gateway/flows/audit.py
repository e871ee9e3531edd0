"""Finding accounts whose counters in Redis lack what the books have, and having them rebuilt.

An admission compares sequence numbers, which tells a Redis that came back older as long as it has not counted on past
what the books have seen. The auditor looks when that may have happened: at every account when Redis was reached again
or has lost its memory, and at those that the relay has reason to doubt. It runs with the background work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NoReturn

import structlog

from gateway.books import running_jobs, usage
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.flows.faults import NoSuchThing
from gateway.flows.reconcile import differences_of
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger

_PAGE: Final = 500
_PAUSE_S: Final = 0.5
# More doubts than this are looked into by looking at everything.
_DOUBTS_AT_MOST: Final = 10_000
# What is captured while an account is being put right may need it put right again.
_TRIES: Final = 5
# How far ahead of Redis the books must claim to be, so that no capture in between makes it look whole.
_AHEAD: Final = 1_000

log = structlog.get_logger()


class Auditor:
    """One process's. `rebuild` loads an account into Redis where Redis is behind the books."""

    def __init__(self, *, books: Books, ledger: Ledger, rebuild: Callable[[str], Awaitable[None]]) -> None:
        self._books = books
        self._ledger = ledger
        self._rebuild = rebuild
        self._doubted: set[str] = set()
        # Redis may have been exchanged while nobody was running.
        self._everything = True
        self._wanted = asyncio.Event()
        self._wanted.set()

    def doubt(self, account_ids: Iterable[str]) -> None:
        """Look into these soon."""
        self._doubted.update(account_ids)
        if len(self._doubted) > _DOUBTS_AT_MOST:
            self._doubted.clear()
            self._everything = True
        if self._doubted or self._everything:
            self._wanted.set()

    def look_at_all(self) -> None:
        """Look at every account soon: Redis may have less than it had."""
        self._everything = True
        self._wanted.set()

    async def run(self) -> NoReturn:
        """Looks into what it is asked to, until cancelled, through any absence of either store."""
        while True:
            await self._wanted.wait()
            try:
                await self.turn()
            except (BooksUnavailable, StoreUnavailable):
                await asyncio.sleep(_PAUSE_S)

    async def turn(self) -> None:
        """Looks into everything asked for so far. What a fault leaves over is looked into the next time."""
        self._wanted.clear()
        try:
            if self._everything:
                await self._look_at_all()
                self._everything = False
            while self._doubted:
                account_id = next(iter(self._doubted))
                await self.check(account_id)
                self._doubted.discard(account_id)
        except BaseException:
            self._wanted.set()
            raise

    async def check(self, account_id: str) -> bool:
        """Compares an account with the books and puts it right; whether that was needed."""
        mended = False
        for _ in range(_TRIES):
            wrong = [one for one in await differences_of(self._books, self._ledger, account_id) if one.in_redis]
            if not wrong:
                return mended
            log.warning(
                "an account's counters differ from the books and are rebuilt",
                account_id=account_id,
                differences=[(one.what, one.expected, one.found) for one in wrong],
            )
            counters = await self._ledger.counters(account_id)
            async with self._books.begin() as conn:
                await usage.expect_seq(conn, account_id, counters.seq + _AHEAD)
            await self._rebuild_known(account_id)
            mended = True
        log.error("an account's counters still differ from the books", account_id=account_id)
        return mended

    async def _look_at_all(self) -> None:
        """Rebuilds what is behind. What is absent is rebuilt when somebody calls, or now if jobs of it run."""
        async with self._books.read() as conn:
            with_jobs = await running_jobs.accounts_with_jobs(conn)
        for account_id in with_jobs:
            await self._rebuild_known(account_id)
        last = ""
        while True:
            async with self._books.read() as conn:
                booked = await usage.booked_seqs(conn, after=last, count=_PAGE)
            for (account_id, booked_seq), seq in zip(
                booked, await self._ledger.seqs([account_id for account_id, _ in booked]), strict=True
            ):
                if seq is not None and seq < booked_seq:
                    await self._rebuild_known(account_id)
            if len(booked) < _PAGE:
                return
            last = booked[-1][0]

    async def _rebuild_known(self, account_id: str) -> None:
        try:
            await self._rebuild(account_id)
        except NoSuchThing:
            log.exception("usage is booked for an account that does not exist", account_id=account_id)
