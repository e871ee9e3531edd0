"""An account's usage over time, window by window, exact at the moment of asking: what is booked and what waits to be.

Redis is read first, then the books, and each event counts once by its id, so the windows of any range add up to what
the ledger has captured of the calls admitted in it. With Redis away it is what the books have, and says so.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final, NamedTuple

from gateway.books import accounts, series, series_question, usage
from gateway.books.books import Books
from gateway.books.reports import Bucket, By
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

Key = tuple[str, ...]


class SeriesWindow(NamedTuple):
    """The calls that were admitted in `[start_ms, end_ms)`; no buckets where there were none."""

    start_ms: int
    end_ms: int
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """Every window of a range, in order. `live` False: Redis was away, so what is not booked yet is not counted."""

    account_id: str
    by: tuple[By, ...]
    windows: tuple[SeriesWindow, ...]
    live: bool

    @property
    def total(self) -> Bucket:
        """All windows together."""
        return summed(bucket for window in self.windows for bucket in window.buckets)


def keys_by(by: Sequence[By]) -> Callable[[Bucket], Key]:
    """What tells a bucket apart from others. For thousands of them, so the names are looked at once."""
    values: Callable[[Bucket], Any] = attrgetter(*by) if by else lambda _bucket: ()
    return (lambda bucket: (values(bucket),)) if len(by) == 1 else values


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
        if sum(map(len, found.values())) > MOST_BUCKETS:
            raise WrongParameter("window", f"this is more than {MOST_BUCKETS} buckets; choose wider windows")
        unbooked = [
            event
            for event in waiting or ()
            if event.id not in booked
            and cut[0] <= event.admitted_at_ms < cut[-1]
            and all(_of(event)[name] == value for name, value in only.items())
        ]
        buckets = _with(found, unbooked, cut, told)
        return Series(
            account_id,
            told,
            tuple(SeriesWindow(start, end, buckets.get(n, ())) for n, (start, end) in enumerate(pairwise(cut))),
            live=waiting is not None,
        )

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


def _together(one: Bucket, other: Bucket) -> Bucket:
    """Two buckets of the same things as one."""
    calls, units, captured = (a + b for a, b in zip(one[:3], other[:3], strict=True))
    return one._replace(calls=calls, units=units, captured_millicredits=captured)


def _with(
    found: Mapping[int, Sequence[Bucket]], unbooked: Iterable[UsageEvent], cut: Sequence[int], by: Sequence[By]
) -> dict[int, tuple[Bucket, ...]]:
    """The buckets of each window in their order, what is not booked yet added to them."""
    key_of = keys_by(by)
    # Few windows have any; the others' buckets are as they were found.
    changed: dict[int, dict[Key, Bucket]] = {}
    for event in unbooked:
        values = _of(event)
        told = {name.value: values[name] for name in by}
        one = Bucket(1, event.settlement.units or 0, event.captured_millicredits, **told)
        number = bisect_right(cut, event.admitted_at_ms) - 1
        if number not in changed:
            changed[number] = {key_of(bucket): bucket for bucket in found.get(number, ())}
        known = changed[number].get(key_of(one))
        changed[number][key_of(one)] = one if known is None else _together(one, known)
    buckets = {**found, **{number: of_window.values() for number, of_window in changed.items()}}
    return {number: tuple(sorted(of_window, key=key_of)) for number, of_window in buckets.items()}
