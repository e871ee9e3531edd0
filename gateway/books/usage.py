"""Usage events as booked, each once by its id, with their ledger entries and rollups in the same transaction.

Whatever order, batch or repeat the relay hands them over in, the books end up the same. Reading for charts is in
`reports`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Table, and_, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import jobs, ledger_entries, period_usage, running_jobs, stretches
from gateway.books.bulk import Bulk, Row, adding_up, rows_of
from gateway.books.dialect import now_ms, one_of
from gateway.books.tables import (
    account_seq,
    usage_daily,
    usage_daily_by_mode,
    usage_events,
    usage_hourly,
    usage_hourly_by_mode,
)
from gateway.books.tables.usage import QUARTERS, SUMS, up_to
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS, HOUR_MS, MINUTE_MS
from gateway.domain.usage import JobAttached, UsageEvent

CAPTURES: Final = frozenset({Ending.CAPTURED, Ending.LATE, Ending.RECOVERED})
# So many rows keep the event loop busy for about two milliseconds.
_BATCH: Final = 500
# And so many conditions of three columns each.
_PAIRS: Final = 200
# Calls, units and millicredits by the key of a rollup's row; of an hour then the same up to each quarter of it.
_Sums = dict[tuple[Any, ...], list[int]]

_EVENTS: Final = Bulk(usage_events, told={"booked_at_ms": now_ms()})
_TO_QUARTERS: Final = [up_to(name, minute) for minute in QUARTERS for name in SUMS]
_HOURS: Final = Bulk(usage_hourly, settled=adding_up(*SUMS, *_TO_QUARTERS))
_DAYS: Final = Bulk(usage_daily, settled=adding_up(*SUMS))
_HOURS_BY_MODE: Final = Bulk(usage_hourly_by_mode, settled=adding_up(*SUMS, *_TO_QUARTERS))
_DAYS_BY_MODE: Final = Bulk(usage_daily_by_mode, settled=adding_up(*SUMS))
_SEQS: Final = Bulk(
    account_seq,
    settled=lambda insert: insert.on_conflict_do_update(
        index_elements=["account_id"],
        set_={"seq": insert.excluded.seq},
        where=account_seq.c.seq < insert.excluded.seq,
    ),
)


async def book(conn: AsyncConnection, events: Sequence[UsageEvent | JobAttached]) -> int:
    """Book what is new; how many events and jobs that was. One transaction of the caller's holds all of it.

    Rows are written in the order of their keys, so that several relays at work never wait for each other in a circle.
    """
    attached = [event for event in events if isinstance(event, JobAttached)]
    settled = {event.id: event for event in events if isinstance(event, UsageEvent)}
    ordered = [settled[event_id] for event_id in sorted(settled)]
    # First, for it locks the accounts: of two relays with the same events the second waits here, and finds them booked.
    await _keep_seq(conn, events)
    booked = await booked_ids(conn, [event.id for event in ordered])
    fresh = [event for event in ordered if event.id not in booked]
    for first in range(0, len(fresh), _BATCH):
        batch = fresh[first : first + _BATCH]
        await _EVENTS.write(conn, [_row(event) for event in batch])
        await ledger_entries.book_used(conn, batch)
    await _roll_up(conn, fresh)
    await stretches.add(conn, fresh)
    new_jobs = await jobs.book(conn, attached)
    await running_jobs.begin(conn, attached)
    await running_jobs.end(conn, ordered)
    return len(fresh) + new_jobs


def _row(event: UsageEvent) -> Row:
    """In the order of the table's columns."""
    facts, settlement = event.facts, event.settlement
    return (
        event.id,
        facts.request_id,
        event.ending.value,
        facts.account_id,
        facts.project_id,
        facts.key_id,
        facts.product,
        facts.mode,
        facts.unit,
        facts.route,
        facts.upstream,
        facts.plan_id,
        facts.rate_card_version,
        facts.millicredits_per_unit,
        facts.expected_units,
        facts.quote_millicredits,
        settlement.units,
        settlement.evidence,
        event.held_millicredits,
        event.captured_millicredits,
        event.period_start_ms,
        event.admitted_at_ms,
        event.happened_at_ms,
        event.seq,
        event.job_id,
        settlement.billed_mode,
    )


async def _roll_up(conn: AsyncConnection, events: Iterable[UsageEvent]) -> None:
    """Add captures to their hours, days and periods. Releases and expiries are no usage."""
    by_period: dict[tuple[str, int], int] = defaultdict(int)
    hours: _Sums = defaultdict(lambda: [0] * len(SUMS) * (1 + len(QUARTERS)))
    days: _Sums = defaultdict(lambda: [0] * len(SUMS))
    for event in events:
        if event.ending not in CAPTURES:
            continue
        facts, at_ms = event.facts, event.admitted_at_ms
        told = (event.period_start_ms, facts.project_id, facts.key_id, facts.product, facts.mode)
        new = (1, event.settlement.units or 0, event.captured_millicredits)
        _add(days[(facts.account_id, at_ms // DAY_MS * DAY_MS, *told)], 0, new)
        hour = hours[(facts.account_id, at_ms // HOUR_MS * HOUR_MS, *told)]
        _add(hour, 0, new)
        minute = at_ms % HOUR_MS // MINUTE_MS
        for number, quarter in enumerate(QUARTERS, start=1):
            if minute < quarter:
                _add(hour, number * len(new), new)
        by_period[facts.account_id, event.period_start_ms] += event.captured_millicredits
    await _HOURS.write(conn, rows_of(hours))
    await _DAYS.write(conn, rows_of(days))
    await _HOURS_BY_MODE.write(conn, rows_of(_by_mode(hours)))
    await _DAYS_BY_MODE.write(conn, rows_of(_by_mode(days)))
    await period_usage.add(conn, by_period)


def _by_mode(sums: _Sums) -> _Sums:
    """The same for all projects and keys together."""
    found: _Sums = {}
    for (account_id, at_ms, period_start_ms, _project_id, _key_id, product, mode), new in sums.items():
        key = (account_id, at_ms, period_start_ms, product, mode)
        if key in found:
            _add(found[key], 0, new)
        else:
            found[key] = list(new)
    return found


def _add(sums: list[int], first: int, new: Sequence[int]) -> None:
    for number, value in enumerate(new, start=first):
        sums[number] += value


async def _keep_seq(conn: AsyncConnection, events: Iterable[UsageEvent | JobAttached]) -> None:
    """Remember the highest sequence number seen of each account: a Redis below it has lost captures."""
    highest: dict[str, int] = {}
    for event in events:
        account_id = event.account_id if isinstance(event, JobAttached) else event.facts.account_id
        highest[account_id] = max(highest.get(account_id, 0), event.seq)
    await _SEQS.write(conn, sorted(highest.items()))


async def doubtful(conn: AsyncConnection, events: Sequence[UsageEvent]) -> frozenset[str]:
    """Accounts that these events, before they are booked, give reason to doubt: Redis may have forgotten what it told.

    It gives every number once, so a number under which the books have another event, or a booked event with another
    number, was given by a Redis that had gone back. A recovery says that a hold was lost.
    """
    found = {event.facts.account_id for event in events if event.ending is Ending.RECOVERED}
    highest = await _highest_seqs(conn, {event.facts.account_id for event in events})
    repeated = [event for event in events if event.seq <= highest.get(event.facts.account_id, 0)]
    table = usage_events.c
    for first in range(0, len(repeated), _PAIRS):
        batch = repeated[first : first + _PAIRS]
        numbers = {(event.facts.account_id, event.period_start_ms, event.seq): event.id for event in batch}
        ids = {event.id: event.seq for event in batch}
        by_number = select(table.account_id, table.period_start_ms, table.seq, table.id).where(
            # One by one: SQLite finds no tuples by an index.
            or_(
                *(
                    and_(table.account_id == account_id, table.period_start_ms == start_ms, table.seq == seq)
                    for account_id, start_ms, seq in numbers
                )
            )
        )
        found |= {row[0] for row in await conn.execute(by_number) if numbers[row[0], row[1], row[2]] != row[3]}
        by_id = select(table.account_id, table.id, table.seq).where(one_of(conn, table.id, ids))
        found |= {row[0] for row in await conn.execute(by_id) if ids[row[1]] != row[2]}
    return frozenset(found)


async def _highest_seqs(conn: AsyncConnection, account_ids: Iterable[str]) -> dict[str, int]:
    query = select(account_seq.c.account_id, account_seq.c.seq).where(
        one_of(conn, account_seq.c.account_id, account_ids)
    )
    return {row[0]: row[1] for row in await conn.execute(query)}


async def booked_seqs(conn: AsyncConnection, *, after: str, count: int) -> list[tuple[str, int]]:
    """A page of accounts, by id, with the highest sequence number that the books have seen of each."""
    table = account_seq.c
    query = select(table.account_id, table.seq).where(table.account_id > after).order_by(table.account_id).limit(count)
    return [(row[0], row[1]) for row in await conn.execute(query)]


async def expect_seq(conn: AsyncConnection, account_id: str, seq: int) -> None:
    """From now on a Redis below this number is behind, and is rebuilt before anyone is admitted."""
    await _SEQS.write(conn, [(account_id, seq)])


async def has_settled(conn: AsyncConnection, hold_id: str) -> bool:
    """Whether the books know an end of this hold after which nothing more is charged.

    An expiry is not one: what its call delivered after all is still to be taken.
    """
    final = [f"{hold_id}.{ending}" for ending in Ending if ending is not Ending.EXPIRED]
    query = select(usage_events.c.id).where(usage_events.c.id.in_(final)).limit(1)
    return (await conn.execute(query)).scalar_one_or_none() is not None


async def settled_holds(conn: AsyncConnection, hold_ids: Sequence[str]) -> frozenset[str]:
    """Which of these holds have ended as far as the books know, in whatever way."""
    ids = {f"{hold_id}.{ending}": hold_id for hold_id in hold_ids for ending in Ending}
    return frozenset(ids[event_id] for event_id in await booked_ids(conn, list(ids)))


async def booked_ids(conn: AsyncConnection, event_ids: Sequence[str]) -> frozenset[str]:
    """Which of these events are booked."""
    found: set[str] = set()
    for first in range(0, len(event_ids), _BATCH):
        query = select(usage_events.c.id).where(one_of(conn, usage_events.c.id, event_ids[first : first + _BATCH]))
        found.update((await conn.execute(query)).scalars())
    return frozenset(found)


async def captured_by_period(
    conn: AsyncConnection, account_id: str, *, up_to_seq: int | None = None, periods: Sequence[int] | None = None
) -> dict[int, int]:
    """Captured millicredits by start of period, from the events themselves.

    `up_to_seq` leaves out what happened later, `periods` (their starts) all others.
    """
    table = usage_events
    query = (
        select(table.c.period_start_ms, cast(func.sum(table.c.captured_millicredits), BigInteger))
        .where(table.c.account_id == account_id)
        .group_by(table.c.period_start_ms)
    )
    if up_to_seq is not None:
        query = query.where(table.c.seq <= up_to_seq)
    if periods is not None:
        query = query.where(table.c.period_start_ms.in_(periods))
    return {row[0]: row[1] for row in await conn.execute(query)}


async def rolled_up_by_period(
    conn: AsyncConnection, account_id: str, *, periods: Sequence[int] | None = None, rollup: Table = usage_daily
) -> Mapping[int, int]:
    """Captured millicredits by start of period, from the rollups: quick for any number of events."""
    table = rollup
    query = (
        select(table.c.period_start_ms, cast(func.sum(table.c.captured_millicredits), BigInteger))
        .where(table.c.account_id == account_id)
        .group_by(table.c.period_start_ms)
    )
    if periods is not None:
        query = query.where(table.c.period_start_ms.in_(periods))
    return {row[0]: row[1] for row in await conn.execute(query)}


async def captured_for(
    conn: AsyncConnection, account_id: str, period_start_ms: int, spender_id: str, *, up_to_seq: int
) -> int:
    """What calls of one project or API key captured in a period, rollups less what happened after `up_to_seq`."""
    days, event = usage_daily.c, usage_events.c
    total = select(func.coalesce(func.sum(days.captured_millicredits), 0)).where(
        days.account_id == account_id,
        # The period's own days, which any index finds; clocks differ a little about its first.
        days.day_ms >= period_start_ms - 2 * DAY_MS,
        days.period_start_ms == period_start_ms,
        or_(days.project_id == spender_id, days.key_id == spender_id),
    )
    later = select(func.coalesce(func.sum(event.captured_millicredits), 0)).where(
        event.account_id == account_id,
        event.period_start_ms == period_start_ms,
        event.seq > up_to_seq,
        or_(event.project_id == spender_id, event.key_id == spender_id),
    )
    captured = (await conn.execute(select(total.scalar_subquery() - later.scalar_subquery()))).scalar_one()
    return int(captured)


async def captured_by_spender(
    conn: AsyncConnection, account_id: str, period_start_ms: int, *, up_to_seq: int
) -> dict[str, int]:
    """Captured millicredits of one period by project and by API key, from the events themselves."""
    table = usage_events.c
    query = (
        select(table.project_id, table.key_id, cast(func.sum(table.captured_millicredits), BigInteger))
        .where(table.account_id == account_id, table.period_start_ms == period_start_ms, table.seq <= up_to_seq)
        .group_by(table.project_id, table.key_id)
    )
    found: dict[str, int] = defaultdict(int)
    for project_id, key_id, captured in await conn.execute(query):
        found[project_id] += captured
        found[key_id] += captured
    return dict(found)
