"""An account's usage over time, window by window, exact at the moment of asking: what is booked and what waits to be.

Redis is read first, then the books, and each event counts once by its id, so the windows of any range add up to what
the ledger has captured of the calls admitted in it. With Redis away it is what the books have, and says so.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple

from gateway.books import accounts, series, series_question, usage
from gateway.books.books import Books
from gateway.books.reports import Bucket, By
from gateway.books.series import Column, Key
from gateway.domain.usage import UsageEvent
from gateway.domain.windows import Window, edges
from gateway.flows.faults import NoSuchThing, WrongParameter
from gateway.flows.in_redis import ReadsCounters
from gateway.flows.usage_report import LONGEST_RANGE_MS, Range
from gateway.ledger.faults import StoreUnavailable

# Series share the books' connections with the calls that look up a key.
AT_ONCE: Final = 4
MOST_WINDOWS: Final = 2_000
MOST_BUCKETS: Final = 10_000
BY: Final = tuple(series_question.BY)
BY_DEFAULT: Final = (By.PRODUCT, By.MODE)
_NOTHING: Final[Mapping[By, str]] = {}


class SeriesWindow(NamedTuple):
    """The calls that were admitted in `[start_ms, end_ms)`; no buckets where there were none."""

    start_ms: int
    end_ms: int
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """Every window of a range: the nth is `[edges[n], edges[n + 1])`. `columns` are in the order of their keys.

    `live` False: Redis was away, so what is not booked yet is not counted.
    """

    account_id: str
    by: tuple[By, ...]
    edges: tuple[int, ...]
    columns: tuple[Column, ...]
    live: bool

    @property
    def total(self) -> Bucket:
        """All windows together."""
        return summed(column.total for column in self.columns)

    def windows(self) -> tuple[SeriesWindow, ...]:
        """Window by window, in order."""
        buckets: list[list[Bucket]] = [[] for _ in self.edges[1:]]
        for column in self.columns:
            bucket = Bucket(0, 0, 0, **{name.value: value for name, value in zip(self.by, column.key, strict=True)})
            for number, calls, units, captured in zip(*column[1:], strict=True):
                buckets[number].append(bucket._replace(calls=calls, units=units, captured_millicredits=captured))
        return tuple(
            SeriesWindow(start_ms, end_ms, tuple(of_window))
            for (start_ms, end_ms), of_window in zip(pairwise(self.edges), buckets, strict=True)
        )

    def captured_millicredits(self) -> list[int]:
        """What was captured in each window."""
        sums = [0] * (len(self.edges) - 1)
        for column in self.columns:
            for number, millicredits in zip(column.numbers, column.captured_millicredits, strict=True):
                sums[number] += millicredits
        return sums


def summed(buckets: Iterable[Bucket]) -> Bucket:
    """Several buckets as one that tells nothing apart."""
    calls = units = captured = 0
    for bucket in buckets:
        calls += bucket.calls
        units += bucket.units
        captured += bucket.captured_millicredits
    return Bucket(calls, units, captured)


class UsageSeries:
    """Series of all accounts."""

    def __init__(self, *, books: Books, ledger: ReadsCounters) -> None:
        self._books = books
        self._ledger = ledger
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def of_account(
        self,
        account_id: str,
        within: Range,
        window: Window,
        zone: tzinfo,
        *,
        by: Sequence[str] = BY_DEFAULT,
        only: Mapping[By, str] = _NOTHING,
    ) -> Series:
        """Usage over a range, all or of what `only` names.

        WrongParameter, NoSuchThing for a project of others, BooksUnavailable.
        """
        told = _dimensions(by)
        cut = _edges(within, window, zone)
        async with self._turns:
            waiting = await self._waiting(account_id)
            async with self._books.read() as conn:
                if (project_id := only.get(By.PROJECT)) is not None:
                    owned = await accounts.projects_of(conn, account_id)
                    if all(project.id != project_id for project in owned):
                        raise NoSuchThing("project", project_id)
                booked = await usage.booked_ids(conn, [event.id for event in waiting or ()])
                found = await series.usage(conn, account_id, cut, told, only=only, limit=MOST_BUCKETS + 1)
        if sum(len(column.numbers) for column in found) > MOST_BUCKETS:
            raise WrongParameter("window", f"this is more than {MOST_BUCKETS} buckets; choose wider windows")
        unbooked = [
            event
            for event in waiting or ()
            if event.id not in booked
            and cut[0] <= event.admitted_at_ms < cut[-1]
            and all(_of(event)[name] == value for name, value in only.items())
        ]
        columns = _with(found, unbooked, cut, told)
        return Series(account_id, told, cut, tuple(sorted(columns, key=attrgetter("key"))), live=waiting is not None)

    async def _waiting(self, account_id: str) -> list[UsageEvent] | None:
        """Captures in the outbox; None where Redis is away."""
        try:
            counters = await self._ledger.counters(account_id)
        except StoreUnavailable:
            return None
        return [event for event in counters.unbooked.values() if event.ending in usage.CAPTURES]


def _of(event: UsageEvent) -> dict[By, str]:
    """What tells it apart from others."""
    facts = event.facts
    return {By.PRODUCT: facts.product, By.MODE: facts.mode, By.PROJECT: facts.project_id, By.KEY: facts.key_id}


def _edges(within: Range, window: Window, zone: tzinfo) -> tuple[int, ...]:
    if not 0 < within.to_ms - within.from_ms <= LONGEST_RANGE_MS:
        raise WrongParameter("to", "the range must end after it starts, at most five years later")
    found = edges(within.from_ms, within.to_ms, window, zone, most=MOST_WINDOWS)
    if found is None:
        raise WrongParameter("window", f"this is more than {MOST_WINDOWS} windows; choose wider ones")
    return found


def _dimensions(by: Sequence[str]) -> tuple[By, ...]:
    for name in by:
        if name not in BY:
            raise WrongParameter(
                "by", f"usage over time can be told apart by {', '.join(BY)}; {name!r} is none of them"
            )
    return tuple(dict.fromkeys(map(By, by)))


def _with(
    found: Iterable[Column], unbooked: Iterable[UsageEvent], cut: Sequence[int], by: Sequence[By]
) -> Iterable[Column]:
    """The columns, and in them what is not booked yet."""
    columns = {column.key: column for column in found}
    # By key and window. Few columns have any; the others are as they were found.
    waiting: dict[Key, dict[int, list[int]]] = {}
    for event in unbooked:
        values = _of(event)
        key = tuple(values[name] for name in by)
        if key not in waiting:
            waiting[key] = _by_number(columns.get(key))
        sums = waiting[key].setdefault(bisect_right(cut, event.admitted_at_ms) - 1, [0, 0, 0])
        sums[0] += 1
        sums[1] += event.settlement.units or 0
        sums[2] += event.captured_millicredits
    for key, of_windows in waiting.items():
        columns[key] = Column(key, tuple(of_windows), *zip(*of_windows.values(), strict=True))
    return columns.values()


def _by_number(column: Column | None) -> dict[int, list[int]]:
    """A column's sums by the numbers of its windows."""
    return {number: sums for number, *sums in zip(*column[1:], strict=True)} if column is not None else {}
