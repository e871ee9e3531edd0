"""How the whole gateway stands, for operators: accounts, credits, refusals, holds, money owed, stores and their clocks.

Each number is of one cheap question; what Redis cannot tell while it is away is None. Changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.books import overview, periods, poison
from gateway.books.books import Books
from gateway.books.overview import Owed, RunningJobs, RunningPeriod
from gateway.domain.credit_summary import CreditSummary
from gateway.domain.instant import DAY_MS, epoch_ms
from gateway.domain.terms import AccountStatus
from gateway.flows.issue_invoice import ISSUED_AFTER_MS
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.outbox import OutboxLag
from gateway.ledger.server_state import OpenHolds, ServerState

DAYS: Final = 7
REFUSED_FOR_MS: Final = DAY_MS
MOST_WAITING: Final = 500


@dataclass(frozen=True, slots=True)
class RedisState:
    """What Redis tells. `ahead_ms` is how far its clock is ahead of ours, below zero where it is behind."""

    version: str
    ahead_ms: int
    lag: OutboxLag
    holds: OpenHolds


@dataclass(frozen=True, slots=True)
class Overview:
    """`refused` is of the last day, `put_aside` usage records that could not be read. `redis` None: it is away.

    `to_close`: accounts with a period that waits to be invoiced, at most `MOST_WAITING` of them.
    """

    at_ms: int
    accounts: Sequence[tuple[str | None, AccountStatus, int]]
    captured_today_millicredits: int
    captured_week_millicredits: int
    refused: Sequence[tuple[str, int]]
    owed: Owed
    to_close: int
    jobs: RunningJobs
    put_aside: int
    books_version: str
    redis: RedisState | None


@dataclass(frozen=True, slots=True)
class AccountStanding:
    """One account in a list. `credits` are of its running period; None where that is not booked yet.

    `due` is how many invoices it has to pay, `due_cents` what they ask for together.
    """

    credits: CreditSummary | None
    due: int
    due_cents: int


class Overviews:
    """Of all accounts. `lag` tells how far the books are behind, `usage` what Redis counts as captured and held."""

    def __init__(
        self,
        *,
        books: Books,
        server: ServerState,
        lag: Callable[[], Awaitable[OutboxLag]],
        usage: Callable[[str, int], Awaitable[tuple[int, int] | None]],
        clock: Callable[[], datetime],
    ) -> None:
        self._books = books
        self._server = server
        self._lag = lag
        self._usage = usage
        self._clock = clock

    async def look(self) -> Overview:
        """As it stands. BooksUnavailable."""
        at_ms = epoch_ms(self._clock())
        redis = await self._redis()
        async with self._books.read() as conn:
            today, week = await overview.captured(conn, at_ms // DAY_MS * DAY_MS, days=DAYS)
            waiting = await periods.accounts_to_close(
                conn, begun_ms=at_ms, ended_ms=at_ms - ISSUED_AFTER_MS, limit=MOST_WAITING
            )
            return Overview(
                at_ms=at_ms,
                accounts=await overview.accounts_by_plan(conn, at_ms),
                captured_today_millicredits=today,
                captured_week_millicredits=week,
                refused=await overview.refused(conn, at_ms - REFUSED_FOR_MS),
                owed=await overview.owed(conn, at_ms),
                to_close=len(waiting),
                jobs=await overview.jobs_running(conn),
                put_aside=await poison.count(conn),
                books_version=await overview.store_version(conn),
                redis=redis,
            )

    async def due(self, account_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """How many invoices each account has to pay, and cents, without those that owe nothing. BooksUnavailable."""
        async with self._books.read() as conn:
            return await overview.due_by_account(conn, account_ids)

    async def standing(self, account_ids: Sequence[str]) -> dict[str, AccountStanding]:
        """Of each of a page of accounts. BooksUnavailable."""
        async with self._books.read() as conn:
            due = await overview.due_by_account(conn, account_ids)
            running = await overview.running_periods(conn, account_ids, epoch_ms(self._clock()))
        used = dict(zip(running, await asyncio.gather(*map(self._credits, running, running.values())), strict=True))
        return {each: AccountStanding(used.get(each), *due.get(each, (0, 0))) for each in account_ids}

    async def _credits(self, account_id: str, period: RunningPeriod) -> CreditSummary:
        """A Redis that is behind the books does not make usage smaller."""
        try:
            captured, held = await self._usage(account_id, period.start_ms) or (0, 0)
        except StoreUnavailable:
            captured, held = 0, 0
        return CreditSummary(period.granted_millicredits, max(captured, period.captured_millicredits), held)

    async def _redis(self) -> RedisState | None:
        try:
            before_ms = epoch_ms(self._clock())
            there_ms = await self._server.clock_ms()
            after_ms = epoch_ms(self._clock())
            # What the question took is nobody's difference.
            ahead_ms = max(there_ms - after_ms, 0) or min(there_ms - before_ms, 0)
            return RedisState(
                await self._server.version(), ahead_ms, await self._lag(), await self._server.open_holds()
            )
        except StoreUnavailable:
            return None
