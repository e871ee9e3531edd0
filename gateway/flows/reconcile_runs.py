"""Reconciling all accounts while somebody waits for it on a page: one run at a time, with how far it is.

Keeps the last run, in this process alone. What reconciling means is `flows.reconcile`'s.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NoReturn

from gateway.books import accounts
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.domain.instant import epoch_ms
from gateway.flows.reconcile import Difference, differences_of
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger

PAGE: Final = 100
MOST_SHOWN: Final = 200


@dataclass(slots=True)
class Run:
    """One run: `accounts` looked at so far of `total`. `ended_ms` None: it goes on. `stopped`: why it could not end.

    `differences` are the first `MOST_SHOWN` of all that were found.
    """

    actor: str
    started_ms: int
    total: int = 0
    accounts: int = 0
    found: int = 0
    differences: list[Difference] = field(default_factory=list)
    ended_ms: int | None = None
    stopped: str = ""

    @property
    def ok(self) -> bool:
        """Everything was looked at, and agrees."""
        return self.ended_ms is not None and not self.stopped and not self.found


class ReconcileRuns:
    """`last` is the run that goes on, or the last one; None: there was none since this process began."""

    def __init__(self, *, books: Books, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._books = books
        self._ledger = ledger
        self._clock = clock
        self._wanted = asyncio.Event()
        self.last: Run | None = None

    @property
    def running(self) -> bool:
        """Whether one goes on."""
        return self.last is not None and self.last.ended_ms is None

    def start(self, actor: str) -> bool:
        """Begin a run; False where one goes on already."""
        if self.running:
            return False
        self.last = Run(actor, epoch_ms(self._clock()))
        self._wanted.set()
        return True

    async def run(self) -> NoReturn:
        """Does what is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            await self.turn()

    async def turn(self) -> None:
        """The run that was begun, to its end."""
        self._wanted.clear()
        run = self.last
        if run is None or run.ended_ms is not None:
            return
        try:
            await self._look_at_all(run)
        except (BooksUnavailable, StoreUnavailable) as away:
            run.stopped = str(away)
        finally:
            run.ended_ms = epoch_ms(self._clock())

    async def _look_at_all(self, run: Run) -> None:
        at_ms, after = run.started_ms, None
        async with self._books.read() as conn:
            run.total = await accounts.count(conn)
        while True:
            async with self._books.read() as conn:
                found = await accounts.page(
                    conn, at_ms=at_ms, name=None, plan_id=None, status=None, after=after, limit=PAGE
                )
            for account, _ in found:
                differences = await differences_of(self._books, self._ledger, account.id)
                run.accounts += 1
                run.found += len(differences)
                run.differences += differences[: max(0, MOST_SHOWN - len(run.differences))]
            if len(found) < PAGE:
                return
            after = (found[-1][0].created_ms, found[-1][0].id)
