"""Carrying usage events from the outbox to the books, each booked exactly once, whatever dies in between.

Read, book in one transaction, commit, acknowledge: a relay that dies anywhere leaves records that another reads again,
and an event that is booked already is found by its id. Any number of relays share the shards. It forgets nothing and
trims nothing that is not booked.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from gateway.books import poison, usage
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.books.poison import PoisonRecord
from gateway.domain.usage import JobAttached, UsageEvent
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.outbox import OutboxLag, OutboxRecord

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_IDLE_PAUSE_S: Final = 0.05

log = structlog.get_logger()


class ReadsOutbox(Protocol):
    """The part of the outbox that a relay needs."""

    async def read(
        self, consumer: str, *, count: int, block_ms: int, shards: Sequence[int] | None = None
    ) -> list[OutboxRecord]:
        """Records for this consumer."""
        ...

    async def ack(self, records: Iterable[OutboxRecord]) -> int:
        """They are booked."""
        ...

    async def lag(self) -> OutboxLag:
        """How far the books are behind."""
        ...


@dataclass(slots=True)
class RelayCounts:
    """What a relay has done since it began, for metrics. `away` while it cannot reach a store."""

    records: int = 0
    booked: int = 0
    poison: int = 0
    failures: int = 0
    away: bool = False


class Relay:
    """One relay. `consumer` names it among all relays, for ever: it takes up after an earlier self of that name.

    Memory is bounded by `count` records. `doubt` is told of accounts whose counters in Redis should be looked at,
    `noticed` of every account and start of a period that usage was booked of, before it is acknowledged.
    `sleep` waits between attempts while a store is away.
    """

    def __init__(
        self,
        *,
        outbox: ReadsOutbox,
        books: Books,
        consumer: str,
        count: int = 2000,
        block_ms: int = 1000,
        shards: Sequence[int] | None = None,
        doubt: Callable[[Iterable[str]], None] = lambda _: None,
        noticed: Callable[[Collection[tuple[str, int]]], Awaitable[object]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._books = books
        self._consumer = consumer
        self._count = count
        self._block_ms = block_ms
        self._shards = shards
        self._doubt = doubt
        self._noticed = noticed
        self._sleep = sleep
        # Read and not booked yet, the books being away: nothing new is read meanwhile.
        self._waiting: list[OutboxRecord] = []
        self.counts = RelayCounts()

    async def run(self) -> NoReturn:
        """Relay until cancelled, through any absence of either store."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                done = await self.drain_once()
            except (BooksUnavailable, StoreUnavailable) as error:
                self._is_away(str(error))
                # Jitter, so that many relays do not come back in the same instant.
                await self._sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S
                self._is_back()
                if not done:
                    # An outbox that has nothing may answer so at once, for ever.
                    await self._sleep(_IDLE_PAUSE_S)

    async def drain_once(self) -> int:
        """Book one batch; how many records that was, 0 where none came within `block_ms`.

        BooksUnavailable: the batch is kept and tried again next time. StoreUnavailable.
        """
        if not self._waiting:
            self._waiting = await self._outbox.read(
                self._consumer, count=self._count, block_ms=self._block_ms, shards=self._shards
            )
        records = self._waiting
        if not records:
            return 0
        await self._book(records)
        if self._noticed is not None:
            await self._noticed(_periods_of(records))
        # From here on a death costs nothing but reading them again.
        self._waiting = []
        if await self._outbox.ack(records) < len(records):
            # They are gone from the outbox, perhaps with all of Redis, and a rebuild then may have missed them.
            self._doubt({_account_of(record.event) for record in records if record.event is not None})
        self.counts.records += len(records)
        return len(records)

    async def lag(self) -> OutboxLag:
        """How far the books are behind the outbox, all relays together."""
        return await self._outbox.lag()

    async def _book(self, records: Sequence[OutboxRecord]) -> None:
        """Book them all, and put aside what cannot be: a refused batch is halved until the culprit stands alone."""
        try:
            async with self._books.begin() as conn:
                bad = [_poison(record, record.reason) for record in records if record.event is None]
                await poison.put_aside(conn, bad)
                events = [record.event for record in records if record.event is not None]
                doubtful = await usage.doubtful(conn, [event for event in events if isinstance(event, UsageEvent)])
                booked = await usage.book(conn, events)
        except (SQLAlchemyError, ValueError, TypeError, OverflowError) as error:
            if len(records) == 1:
                await self._put_aside(records[0], error)
                return
            middle = len(records) // 2
            await self._book(records[:middle])
            await self._book(records[middle:])
            return
        self.counts.booked += booked
        self._put_aside_count(bad)
        self._doubt(doubtful)

    async def _put_aside(self, record: OutboxRecord, error: Exception) -> None:
        cause = getattr(error, "orig", None) or error
        bad = _poison(record, f"{type(cause).__name__}: {cause}".splitlines()[0])
        async with self._books.begin() as conn:
            await poison.put_aside(conn, [bad])
        self._put_aside_count([bad])

    def _put_aside_count(self, bad: Sequence[PoisonRecord]) -> None:
        self.counts.poison += len(bad)
        for record in bad:
            log.error(
                "an outbox record was put aside", shard=record.shard, stream_id=record.stream_id, reason=record.reason
            )

    def _is_away(self, reason: str) -> None:
        self.counts.failures += 1
        if not self.counts.away:
            self.counts.away = True
            log.warning("the relay waits", reason=reason)

    def _is_back(self) -> None:
        if self.counts.away:
            self.counts.away = False
            log.info("the relay goes on")


def _account_of(event: UsageEvent | JobAttached) -> str:
    return event.account_id if isinstance(event, JobAttached) else event.facts.account_id


def _periods_of(records: Iterable[OutboxRecord]) -> set[tuple[str, int]]:
    events = (record.event for record in records)
    captures = (one for one in events if isinstance(one, UsageEvent) and one.captured_millicredits > 0)
    return {(one.facts.account_id, one.period_start_ms) for one in captures}


def _poison(record: OutboxRecord, reason: str) -> PoisonRecord:
    raw = {_readable(name): _readable(value) for name, value in record.raw.items()}
    return PoisonRecord(record.shard, record.stream_id, json.dumps(raw), _readable(reason.encode()))


def _readable(raw: bytes) -> str:
    """Text, with what is none written as escapes; PostgreSQL stores no NUL."""
    return raw.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
