"""An account's captures one by one, the latest first, page by page: booked ones, and those still in the outbox.

Redis is read first, then the books, and each event counts once by its id. The order is that of admission, which never
changes, and a page begins behind the last event of the one before: what arrives meanwhile shifts nothing, so that
nothing is shown twice and nothing that was there is left out. Changes nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from gateway.books import accounts, events, usage
from gateway.books.books import Books
from gateway.books.events import Chosen, Position
from gateway.domain.usage import UsageEvent
from gateway.domain.usage_metric import EVENT_TYPES, aggregation_key, aggregation_type, event_type
from gateway.flows.faults import NoSuchThing
from gateway.flows.in_redis import ReadsCounters
from gateway.ledger.faults import StoreUnavailable

# Lists share the books' connections with the calls that look up a key.
AT_ONCE: Final = 4
_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which captures; None: whatever they say there. `times` are half-open ranges of the admission.

    `key` is what the events of a call are summed up under: a job's id or a request's. `key_id` is the API key's.
    """

    project_id: str | None = None
    times: tuple[tuple[int, int], ...] | None = None
    event_types: frozenset[str] | None = None
    key: str | None = None
    key_type: str | None = None
    product: str | None = None
    mode: str | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """A page. `after` is where the next one begins, None on the last; `total` only where it was asked for."""

    events: tuple[UsageEvent, ...]
    after: Position | None
    total: int | None


class UsageMetrics:
    """Captures of all accounts."""

    def __init__(self, *, books: Books, ledger: ReadsCounters) -> None:
        self._books = books
        self._ledger = ledger
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def page(
        self, account_id: str, wanted: Wanted, *, size: int, after: Position | None = None, with_total: bool = False
    ) -> MetricsPage:
        """Up to `size` captures. NoSuchThing for a project that is not the account's; BooksUnavailable."""
        async with self._turns:
            return await self._page(account_id, wanted, size, after, with_total=with_total)

    async def every(self, account_id: str, wanted: Wanted) -> AsyncGenerator[UsageEvent]:
        """All captures, the latest admitted first, a page in memory at a time. As `page`."""
        after: Position | None = None
        while True:
            page = await self.page(account_id, wanted, size=_PAGE, after=after)
            for event in page.events:
                yield event
            if page.after is None:
                return
            after = page.after

    async def _page(
        self, account_id: str, wanted: Wanted, size: int, after: Position | None, *, with_total: bool
    ) -> MetricsPage:
        waiting = await self._waiting(account_id)
        async with self._books.read() as conn:
            if wanted.project_id is not None:
                owned = await accounts.projects_of(conn, account_id)
                if all(project.id != wanted.project_id for project in owned):
                    raise NoSuchThing("project", wanted.project_id)
            request_ids = None
            if wanted.key is not None:
                request_ids = (wanted.key, *await events.requests_of_job(conn, account_id, wanted.key))
            chosen = Chosen(
                project_id=wanted.project_id,
                times=wanted.times,
                request_ids=request_ids,
                names=wanted.event_types,
                aggregation=wanted.key_type,
                product=wanted.product,
                mode=wanted.mode,
                key_id=wanted.key_id,
            )
            booked = await usage.booked_ids(conn, [event.id for event in waiting])
            found = await events.captures(conn, account_id, chosen, EVENT_TYPES, after=after, limit=size + 1)
            total = await events.count(conn, account_id, chosen, EVENT_TYPES) if with_total else None
        unbooked = [event for event in waiting if event.id not in booked and _matches(event, wanted)]
        found = sorted((*found, *_behind(unbooked, after)), key=_place, reverse=True)
        last = found[size - 1] if len(found) > size else None
        return MetricsPage(
            tuple(found[:size]),
            None if last is None else Position(*_place(last)),
            None if total is None else total + len(unbooked),
        )

    async def _waiting(self, account_id: str) -> list[UsageEvent]:
        """Captures in the outbox; none where Redis is away."""
        try:
            counters = await self._ledger.counters(account_id)
        except StoreUnavailable:
            return []
        return [event for event in counters.unbooked.values() if event.ending in usage.CAPTURES]


def _matches(event: UsageEvent, wanted: Wanted) -> bool:
    """As `books.events` chooses among the booked ones."""
    facts, at_ms = event.facts, event.admitted_at_ms
    checks: tuple[tuple[object, Callable[[], bool]], ...] = (
        (wanted.project_id, lambda: facts.project_id == wanted.project_id),
        (wanted.times, lambda: any(start_ms <= at_ms < end_ms for start_ms, end_ms in wanted.times or ())),
        (wanted.event_types, lambda: event_type(facts.product, facts.unit) in (wanted.event_types or ())),
        (wanted.key, lambda: wanted.key in {aggregation_key(event), facts.request_id}),
        (wanted.key_type, lambda: aggregation_type(event) == wanted.key_type),
        (wanted.product, lambda: facts.product == wanted.product),
        (wanted.mode, lambda: facts.mode == wanted.mode),
        (wanted.key_id, lambda: facts.key_id == wanted.key_id),
    )
    return all(holds() for asked, holds in checks if asked is not None)


def _behind(unbooked: Iterable[UsageEvent], after: Position | None) -> list[UsageEvent]:
    if after is None:
        return list(unbooked)
    return [event for event in unbooked if _place(event) < (after.admitted_at_ms, after.event_id)]


def _place(event: UsageEvent) -> tuple[int, str]:
    return event.admitted_at_ms, event.id
