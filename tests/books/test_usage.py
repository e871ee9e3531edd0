"""Usage events: each booked once, in whatever order, batch or repeat they come."""

import asyncio
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, jobs, ledger_entries, reports, usage
from gateway.books.books import Books
from gateway.books.ledger_entries import LedgerAccount
from gateway.books.reports import Bucket
from gateway.books.tables import audit_log, grants, usage_events
from gateway.books.tables import ledger_entries as entries
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.usage import UsageEvent
from tests.made_up import CREDIT, NOON_MS, PLANS, event, job


async def test_an_event_that_comes_again_changes_nothing(books: Books) -> None:
    events = [event("acc_1", number) for number in range(1, 4)]
    async with books.begin() as conn:
        assert await usage.book(conn, events) == 3
    async with books.begin() as conn:
        assert await usage.book(conn, [*events[1:], event("acc_1", 4), event("acc_1", 4)]) == 1
    async with books.read() as conn:
        assert await usage.captured_by_period(conn, "acc_1") == {NOON_MS: 80 * CREDIT}
        assert await usage.rolled_up_by_period(conn, "acc_1") == {NOON_MS: 80 * CREDIT}
        balances = await ledger_entries.balances(conn, "acc_1", NOON_MS)
        assert balances[LedgerAccount.USED] == 80 * CREDIT
        assert await accounts.booked_seq(conn, "acc_1") == 4


async def test_everything_about_an_event_is_kept(books: Books) -> None:
    told = event("acc_1", 7, ending=Ending.LATE, units=None, mode="fast")
    async with books.begin() as conn:
        await usage.book(conn, [told])
        row = (await conn.execute(select(usage_events))).mappings().one()
    assert row["id"] == f"req_{7:032x}.late"
    assert row["units"] is None
    assert row["mode"] == "fast"
    assert row["evidence"] == "reported by the upstream"
    assert row["happened_at_ms"] == NOON_MS + 2_000
    # When it was booked is the store's own time, which is not when it happened.
    assert row["booked_at_ms"] > 1_700_000_000_000


async def test_calls_counts_captures_and_not_what_was_given_back(books: Books) -> None:
    async with books.begin() as conn:
        await usage.book(
            conn,
            [
                event("acc_1", 1),
                event("acc_1", 2, ending=Ending.RELEASED, captured=0, units=None),
                event("acc_1", 3, ending=Ending.EXPIRED, captured=0, units=None),
                event("acc_1", 3, ending=Ending.LATE, seq=4),
                event("acc_1", 5, captured=0, units=0),
            ],
        )
        assert await reports.usage_of_period(conn, "acc_1", NOON_MS) == [
            Bucket(3, 4, 40 * CREDIT, product="parse", mode="agentic")
        ]
        assert (await conn.execute(select(func.count()).select_from(entries))).scalar_one() == 2


async def test_a_job_belongs_to_its_first_account_for_good(books: Books) -> None:
    async with books.begin() as conn:
        assert await usage.book(conn, [job("acc_1", 1, "pjb-1"), job("acc_1", 2, "pjb-2")]) == 2
        assert await usage.book(conn, [job("acc_2", 9, "pjb-1")]) == 0
        found = await jobs.find(conn, "parse", "pjb-1")
        assert found is not None
        assert found.account_id == "acc_1"
        assert await jobs.find(conn, "extract", "pjb-1") is None
        assert await accounts.booked_seq(conn, "acc_1") == 2


async def test_a_settled_hold_is_known_and_an_expired_one_may_still_be_taken(books: Books) -> None:
    async with books.begin() as conn:
        await usage.book(
            conn,
            [
                event("acc_1", 1),
                event("acc_1", 2, ending=Ending.EXPIRED, captured=0),
                event("acc_1", 3, ending=Ending.RELEASED, captured=0),
            ],
        )
        known = [await usage.has_settled(conn, f"req_{number:032x}") for number in range(1, 5)]
        ended = await usage.settled_holds(conn, [f"req_{number:032x}" for number in range(1, 5)])
    assert known == [True, False, True, False]
    assert ended == {f"req_{number:032x}" for number in range(1, 4)}


async def test_two_relays_with_the_same_records_book_them_once(books: Books) -> None:
    events = [event(f"acc_{number % 7}", number) for number in range(300)]

    async def relay(order: int) -> int:
        shuffled = random.Random(order).sample(events, len(events))
        async with books.begin() as conn:
            return await usage.book(conn, shuffled)

    assert sum(await asyncio.gather(*(relay(order) for order in range(4)))) == 300
    async with books.read() as conn:
        total = (await conn.execute(select(func.sum(entries.c.amount_millicredits)))).scalar_one()
    assert total == 300 * 20 * CREDIT


@pytest.mark.parametrize("table", [grants, entries, usage_events, audit_log], ids=str)
async def test_what_is_booked_is_never_changed_or_removed(books: Books, table: object) -> None:
    async with books.begin() as conn:
        await accounts.create(conn, "Acme", PLANS["free"], NOON_MS)
        await usage.book(conn, [event("acc_1", 1)])
        await _note(conn)
    for change in (update(table).values(account_id="acc_other"), delete(table)):  # type: ignore[arg-type]
        with pytest.raises(DBAPIError, match="only ever added to"):
            async with books.begin() as conn:
                await conn.execute(change)


async def _note(conn: AsyncConnection) -> None:
    from gateway.books import audit

    await audit.write(conn, audit.AuditEntry(NOON_MS, "test", "account.create", "acc_1", "acc_1", {}))


@settings(max_examples=20)
@given(
    events=st.lists(
        st.builds(
            event,
            st.sampled_from(["acc_1", "acc_2"]),
            st.integers(1, 40),
            ending=st.sampled_from(Ending),
            captured=st.integers(0, 10**6),
            admitted_at_ms=st.integers(NOON_MS, NOON_MS + 3 * HOUR_MS),
            mode=st.sampled_from(["fast", "agentic"]),
        ),
        max_size=40,
        unique_by=lambda one: one.id,
    ),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    seed=st.integers(0, 1000),
)
def test_the_books_do_not_depend_on_batches_order_or_repeats(
    events: list[UsageEvent], cuts: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def booked(batches: list[list[UsageEvent]]) -> list[object]:
        books = await Books.open(f"sqlite:///{tmp_path_factory.mktemp('books')}/books.db")
        for batch in batches:
            async with books.begin() as conn:
                await usage.book(conn, batch)
        async with books.read() as conn:
            facts: list[object] = []
            for account_id in ("acc_1", "acc_2"):
                facts.append(await usage.captured_by_period(conn, account_id))
                facts.append(await reports.usage(conn, account_id, 0, NOON_MS * 2, ("mode", "day")))
                facts.append(await ledger_entries.balances(conn, account_id, NOON_MS))
                facts.append(await accounts.booked_seq(conn, account_id))
                assert sum((await ledger_entries.balances(conn, account_id, NOON_MS)).values()) == 0
        await books.close()
        return facts

    shuffled = random.Random(seed).sample(events, len(events))
    edges = sorted({0, *cuts, len(shuffled)})
    batches = [shuffled[start:end] for start, end in pairwise(edges)]
    assert asyncio.run(booked([*batches, shuffled[:5]])) == asyncio.run(booked([events]))


@pytest.mark.parametrize(
    ("from_ms", "to_ms"),
    [
        (NOON_MS, NOON_MS + 3 * HOUR_MS),
        (NOON_MS + 1, NOON_MS + 3 * HOUR_MS - 1),
        (NOON_MS + 10_000, NOON_MS + 20_000),
        (NOON_MS + HOUR_MS - 1, NOON_MS + HOUR_MS + 1),
        (NOON_MS - DAY_MS, NOON_MS + DAY_MS),
        (NOON_MS, NOON_MS),
        (NOON_MS + HOUR_MS, NOON_MS),
    ],
)
async def test_any_range_is_exact_to_the_millisecond(books: Books, from_ms: int, to_ms: int) -> None:
    random_ = random.Random(1)
    events = [
        event(
            "acc_1", number, admitted_at_ms=NOON_MS + random_.choice([0, 1, 10_000, HOUR_MS - 1, HOUR_MS, 2 * HOUR_MS])
        )
        for number in range(60)
    ]
    async with books.begin() as conn:
        await usage.book(conn, events)
        buckets = await reports.usage(conn, "acc_1", from_ms, to_ms, ())
    expected = [one for one in events if from_ms <= one.admitted_at_ms < to_ms]
    assert sum(bucket.calls for bucket in buckets) == len(expected)
    assert sum(bucket.captured_millicredits for bucket in buckets) == 20 * CREDIT * len(expected)


async def test_usage_is_told_apart_by_what_is_asked_for(books: Books) -> None:
    async with books.begin() as conn:
        await usage.book(
            conn,
            [
                event("acc_1", 1, mode="fast", captured=3 * CREDIT, units=1),
                event("acc_1", 2, mode="fast", key_id="key_2", captured=3 * CREDIT, units=1),
                event("acc_1", 3, product="extract", admitted_at_ms=NOON_MS + DAY_MS, project_id="prj_2"),
                event("acc_2", 4),
            ],
        )
        whole = (NOON_MS - DAY_MS, NOON_MS + 2 * DAY_MS)
        by_day = await reports.usage(conn, "acc_1", *whole, ("product", "mode", "day"))
        by_key = await reports.usage(conn, "acc_1", *whole, ("key",))
        by_project = await reports.usage(conn, "acc_1", *whole, ("project",))
        with pytest.raises(ValueError, match="colour"):
            await reports.usage(conn, "acc_1", *whole, ("colour",))
    assert by_day == [
        Bucket(1, 2, 20 * CREDIT, product="extract", mode="agentic", day="2026-11-24"),
        Bucket(2, 2, 6 * CREDIT, product="parse", mode="fast", day="2026-11-23"),
    ]
    assert [(bucket.key, bucket.calls) for bucket in by_key] == [("key_1", 2), ("key_2", 1)]
    assert [(bucket.project, bucket.calls) for bucket in by_project] == [("prj_1", 2), ("prj_2", 1)]


async def test_a_recovery_of_a_capture_that_is_booked_after_all_is_not_charged_again(books: Books) -> None:
    async with books.begin() as conn:
        assert await usage.book(conn, [event("acc_1", 1)]) == 1
        assert await usage.book(conn, [event("acc_1", 1, ending=Ending.RECOVERED, seq=9)]) == 0
        assert await usage.book(conn, [event("acc_1", 2, ending=Ending.RECOVERED, seq=10)]) == 1
        assert await usage.book(conn, [event("acc_1", 2, seq=2)]) == 0
        assert sum((await usage.captured_by_period(conn, "acc_1")).values()) == 40 * CREDIT
