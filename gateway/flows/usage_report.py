"""What an account has used, exact at the moment of asking: what is booked, and what Redis has and the books have not.

Redis is read first, at one instant; then the books, with what was captured after that instant left out again. Each
event counts once, by its id, wherever it is found. So the buckets of a period add up to `used`, and `used` is what
Redis counts as captured. With Redis away it is what the books have, and says so. Changes nothing, but for booking a
period that has become due.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, reports, usage
from gateway.books.books import Books
from gateway.books.reports import Bucket, By
from gateway.domain.credit_summary import CreditSummary
from gateway.domain.instant import DAY_MS, epoch_ms, from_epoch_ms
from gateway.domain.terms import AccountStatus, PeriodTerms, Terms
from gateway.domain.usage import UsageEvent
from gateway.flows.authenticate import TermsOf
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.in_redis import ReadsCounters
from gateway.ledger.answers import Counters
from gateway.ledger.faults import StoreUnavailable

# Reports share the books' connections with the calls that look up a key.
AT_ONCE: Final = 4
LONGEST_RANGE_MS: Final = 5 * 366 * DAY_MS
BY_DEFAULT: Final = (By.PRODUCT, By.MODE)

_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The calls that were admitted in `[from_ms, to_ms)`."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Credits of the current period, and its buckets; with `range`, the buckets are of that instead.

    `live` False: Redis was away, so what is held and what is not booked yet are not counted.
    """

    account_id: str
    status: AccountStatus
    plan_id: str
    period: PeriodTerms
    credits: CreditSummary
    by: tuple[By, ...]
    buckets: tuple[Bucket, ...]
    range: Range | None
    live: bool

    @property
    def bucket_millicredits(self) -> int:
        """The buckets together."""
        return sum(bucket.captured_millicredits for bucket in self.buckets)


class UsageReports:
    """Reports on all accounts. `terms_of` is `current_terms` with its books and plans."""

    def __init__(self, *, books: Books, ledger: ReadsCounters, terms_of: TermsOf) -> None:
        self._books = books
        self._ledger = ledger
        self._terms_of = terms_of
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def of_account(
        self, account_id: str, at: datetime, *, by: Sequence[str] = BY_DEFAULT, within: Range | None = None
    ) -> UsageReport:
        """Usage as it stands. NoSuchThing, CallerFault for a wrong range or `by`, BooksUnavailable."""
        dimensions = _dimensions(by)
        if within is not None and not 0 < within.to_ms - within.from_ms <= LONGEST_RANGE_MS:
            raise CallerFault("the range must end after it starts, at most five years later")
        async with self._turns:
            return await self._of_account(account_id, at, dimensions, within)

    async def period_start_ms(self, account_id: str, at: datetime) -> int:
        """When the account's current period began. NoSuchThing, BooksUnavailable."""
        return (await self._period(account_id, at))[1].start_ms

    async def must_own(self, account_id: str, project_id: str) -> None:
        """NoSuchThing where the project is not the account's. BooksUnavailable."""
        async with self._books.read() as conn:
            if all(project.id != project_id for project in await accounts.projects_of(conn, account_id)):
                raise NoSuchThing("project", project_id)

    async def _of_account(self, account_id: str, at: datetime, by: tuple[By, ...], within: Range | None) -> UsageReport:
        terms, period = await self._period(account_id, at)
        counters = await self._counters(account_id)
        async with self._books.read() as conn:
            later_than = await self._later_than(conn, account_id, counters)
            of_period = _Sums(by, await reports.usage_of_period(conn, account_id, period.start_ms, by))
            if later_than is not None:
                of_period.take(
                    await reports.usage_of_period_after(conn, account_id, period.start_ms, by, seq=later_than)
                )
            booked = await usage.booked_ids(conn, list(counters.unbooked) if counters else [])
            of_range = None
            if within is not None:
                found = await reports.usage(conn, account_id, within.from_ms, within.to_ms, by)
                of_range = _Sums(by, found)
        unbooked = _captures(counters.unbooked if counters else {}, booked)
        of_period.add(event for event in unbooked if event.period_start_ms == period.start_ms)
        if of_range is not None and within is not None:
            of_range.add(event for event in unbooked if within.from_ms <= event.admitted_at_ms < within.to_ms)
        in_redis = counters.periods.get(period.start_ms) if counters else None
        return UsageReport(
            account_id=account_id,
            status=terms.status,
            plan_id=period.plan_id,
            period=period,
            credits=CreditSummary(
                included_millicredits=period.granted_millicredits,
                used_millicredits=of_period.captured_millicredits,
                held_millicredits=in_redis.held_millicredits if in_redis else 0,
            ),
            by=by,
            buckets=(of_range or of_period).buckets(),
            range=within,
            live=counters is not None,
        )

    async def _period(self, account_id: str, at: datetime) -> tuple[Terms, PeriodTerms]:
        """The current period; a closed account's last."""
        terms = await self._terms_of(account_id, at)
        if terms is None or not terms.periods:
            raise NoSuchThing("account", account_id)
        return terms, terms.period_at(terms.own_ms(epoch_ms(at))) or terms.periods[0]

    async def _counters(self, account_id: str) -> Counters | None:
        try:
            return await self._ledger.counters(account_id)
        except StoreUnavailable:
            return None

    async def _later_than(self, conn: AsyncConnection, account_id: str, counters: Counters | None) -> int | None:
        """The sequence number at which Redis was read, where the books have seen more since; else None.

        A Redis that came back older than the books is no measure: what they have then counts in full.
        """
        booked_seq = await accounts.booked_seq(conn, account_id)
        if counters is None or booked_seq <= counters.seq:
            return None
        now = await self._counters(account_id)
        return counters.seq if now is not None and now.seq >= booked_seq else None


class _Sums:
    """Buckets being added up, by what they are told apart by."""

    def __init__(self, by: tuple[By, ...], buckets: Iterable[Bucket]) -> None:
        self._by = by
        self._sums: dict[_Key, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._count(buckets, 1)

    @property
    def captured_millicredits(self) -> int:
        return sum(captured for _, _, captured in self._sums.values())

    def take(self, buckets: Iterable[Bucket]) -> None:
        """Leave these out again."""
        self._count(buckets, -1)

    def add(self, events: Iterable[UsageEvent]) -> None:
        """Count captures that are not booked yet."""
        for event in events:
            sums = self._sums[tuple(_told(event, name) for name in self._by)]
            sums[0] += 1
            sums[1] += event.settlement.units or 0
            sums[2] += event.captured_millicredits

    def buckets(self) -> tuple[Bucket, ...]:
        """Those in which there was a call, in the order of `by`."""
        return tuple(
            Bucket(calls, units, captured, **{name.value: value for name, value in zip(self._by, key, strict=True)})
            for key, (calls, units, captured) in sorted(self._sums.items())
            if calls
        )

    def _count(self, buckets: Iterable[Bucket], sign: int) -> None:
        for bucket in buckets:
            sums = self._sums[tuple(getattr(bucket, name) for name in self._by)]
            sums[0] += sign * bucket.calls
            sums[1] += sign * bucket.units
            sums[2] += sign * bucket.captured_millicredits


def _dimensions(by: Sequence[str]) -> tuple[By, ...]:
    for name in by:
        if name not in set(By):
            raise CallerFault(f"usage can be told apart by {', '.join(By)}; {name!r} is none of them")
    return tuple(dict.fromkeys(map(By, by)))


def _captures(unbooked: Mapping[str, UsageEvent], booked: frozenset[str]) -> list[UsageEvent]:
    return [event for event in unbooked.values() if event.ending in usage.CAPTURES and event.id not in booked]


def _told(event: UsageEvent, by: By) -> str:
    match by:
        case By.PRODUCT:
            return event.facts.product
        case By.MODE:
            return event.facts.mode
        case By.PROJECT:
            return event.facts.project_id
        case By.KEY:
            return event.facts.key_id
        case By.DAY:
            return from_epoch_ms(event.admitted_at_ms // DAY_MS * DAY_MS).date().isoformat()
