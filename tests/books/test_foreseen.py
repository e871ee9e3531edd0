"""What a closing would take, from sums: to the millicredit what it comes to event by event."""

import asyncio
import random
from dataclasses import replace
from itertools import count
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.books import accounts, closings, foreseen, splits, stretches, usage
from gateway.books.books import Books
from gateway.books.ids import new_id
from gateway.books.splits import OpenUsage
from gateway.books.stretches import STRETCH_SEQS, Stretch
from gateway.domain.hold import Ending
from gateway.domain.instant import HOUR_MS
from gateway.domain.limits import Step
from gateway.domain.rating import UsageSplit
from gateway.domain.usage import UsageEvent
from tests.made_up import NOON_MS, PLANS, event

NUMBERS = count(1)
STRETCHES = 8


class Used(NamedTuple):
    """One call. `late_by`: how many hours, and stretches, after it was admitted it was settled."""

    seq: int
    captured: int
    late_by: int
    product: str
    mode: str
    project_id: str
    key_id: str


def drawn(source: random.Random) -> Used:
    """A call like others, at any place of the period."""
    return Used(
        seq=source.randrange(1, STRETCHES * STRETCH_SEQS),
        captured=source.choice([0, 1, 7, 20, 20, 50]),
        late_by=source.choice([0, 0, 0, 0, 1, 5]),
        product=source.choice(["parse", "extract"]),
        mode=source.choice(["fast", "agentic"]),
        project_id=source.choice(["prj_1", "prj_2"]),
        key_id=source.choice(["key_1", "key_2"]),
    )


def ceilings(source: random.Random) -> tuple[Step, ...]:
    """One ceiling, or one that changed in mid-period."""
    hours = sorted(source.sample(range(1, STRETCHES), source.choice([0, 0, 1, 3])))
    ends = [*(NOON_MS + hour * HOUR_MS for hour in hours), None]
    return tuple(Step(end, source.randrange(600)) for end in ends)


def tier_ends(source: random.Random) -> tuple[int, ...]:
    """Of a graduated price, or of none."""
    return tuple(sorted(source.sample(range(1, 300), source.choice([0, 1, 3]))))


def booked_as(account_id: str, used: Used) -> UsageEvent:
    """Admitted in the hour of its stretch, or earlier where it was settled late: even within one millisecond."""
    hour = max(0, used.seq // STRETCH_SEQS - used.late_by)
    return event(
        account_id,
        next(NUMBERS),
        ending=Ending.LATE if used.late_by else Ending.CAPTURED,
        captured=used.captured,
        seq=used.seq,
        admitted_at_ms=NOON_MS + hour * HOUR_MS,
        product=used.product,
        mode=used.mode,
        project_id=used.project_id,
        key_id=used.key_id,
    )


async def opened(books: Books) -> str:
    async with books.begin() as conn:
        return (await accounts.create(conn, "Acme", PLANS["starter"], NOON_MS)).id


async def book(books: Books, account_id: str, used: list[Used]) -> None:
    async with books.begin() as conn:
        await usage.book(conn, [booked_as(account_id, one) for one in used])


async def close(books: Books, wanted: OpenUsage) -> OpenUsage:
    """Take what is open; what is to be taken after that."""
    closing_id = new_id("clo")
    async with books.begin() as conn:
        await closings.add(conn, closing_id, wanted.account_id, boundary_ms=NOON_MS, at_ms=NOON_MS)
        split = (await closings.take(conn, wanted, (closing_id, new_id("inv")), 1)).split
    return replace(
        wanted,
        before_millicredits=wanted.before_millicredits + split.usage_millicredits,
        before_paid_millicredits=wanted.before_paid_millicredits + split.pay_as_you_go_millicredits,
    )


def test_a_draft_from_sums_is_what_the_events_come_to(migrated_books_url: str) -> None:
    # What is drawn from the seed is of the sizes at which something is within and something across an end.
    @settings(max_examples=60)
    @given(seed=st.integers(0, 2**32), closed=st.sampled_from([0, 0, 0, 1, 2]))
    def compare(seed: int, closed: int) -> None:
        source = random.Random(seed)

        async def drawn_up() -> None:
            account_id = await opened(books)
            granted = source.randrange(300)
            wanted = OpenUsage(account_id, NOON_MS, granted, ceilings(source), 0, 0, tier_ends(source))
            seqs = [None, source.randrange(1, STRETCHES * STRETCH_SEQS)]
            for number in range(closed + 1):
                if number:
                    wanted = await close(books, replace(wanted, up_to_seq=source.choice(seqs)))
                await book(books, account_id, [drawn(source) for _ in range(40)])
            async with books.read() as conn:
                for last in seqs:
                    asked = replace(wanted, up_to_seq=last)
                    assert await foreseen.foresee(conn, asked) == await foreseen.walk(conn, asked)

        runner.run(drawn_up())

    with asyncio.Runner() as runner:
        books = runner.run(Books.open(migrated_books_url))
        compare()
        runner.run(books.close())


async def test_a_draft_reads_only_the_events_where_an_end_falls(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    account_id = await opened(books)
    used = [Used(number * STRETCH_SEQS + at, 10, 0, "parse", "fast", "p", "k") for number in range(8) for at in (1, 2)]
    await book(books, account_id, used)
    ranges: list[tuple[int | None, int | None]] = []

    def told(wanted: OpenUsage) -> object:
        ranges.append((wanted.from_seq, wanted.up_to_seq))
        return splits.split_events(wanted)

    monkeypatch.setattr(foreseen, "split_events", told)
    wanted = OpenUsage(account_id, NOON_MS, 45, (Step(None, 10_000),), 0, 0, (50,))
    async with books.read() as conn:
        taken = await foreseen.foresee(conn, wanted)
    assert taken.split == UsageSplit(45, 115, 0)
    assert taken.tier_parts == {0: {("parse", "fast"): 50}, 1: {("parse", "fast"): 65}}
    stretch = {number: (number * STRETCH_SEQS, (number + 1) * STRETCH_SEQS - 1) for number in (2, 4)}
    assert ranges == [stretch[2], stretch[4]]


async def test_what_is_settled_after_a_closing_is_found_among_the_newest_events(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_id = await opened(books)
    await book(books, account_id, [Used(at, 10, 0, "parse", "fast", "p", "k") for at in range(1, 100)])
    wanted = await close(books, OpenUsage(account_id, NOON_MS, 45, (Step(None, 10_000),), 0))
    last = 5 * STRETCH_SEQS
    await book(books, account_id, [Used(last, 7, 5, "extract", "fast", "p", "k")])
    seen: list[int | None] = []

    def told(wanted: OpenUsage) -> object:
        seen.append(wanted.from_seq)
        return splits.split_events(wanted)

    monkeypatch.setattr(foreseen, "split_events", told)
    async with books.read() as conn:
        taken = await foreseen.foresee(conn, wanted)
        nothing = await foreseen.foresee(conn, as_if_charged(wanted))
    assert (taken.split, taken.tier_parts) == (UsageSplit(0, 7, 0), {0: {("extract", "fast"): 7}})
    assert nothing.split == UsageSplit(0, 0, 0)
    assert seen == [last - STRETCH_SEQS + 1]


def as_if_charged(wanted: OpenUsage) -> OpenUsage:
    """As if the late call were charged as well."""
    return replace(wanted, before_millicredits=wanted.before_millicredits + 7)


async def test_stretches_say_between_which_instants_their_calls_were_admitted(books: Books) -> None:
    account_id = await opened(books)
    used = [
        Used(5 * STRETCH_SEQS + at, 10, late, mode, "fast", "p", "k") for at, late, mode in ((9, 0, "a"), (3, 4, "b"))
    ]
    for one in used:
        await book(books, account_id, [one, one])
    async with books.read() as conn:
        found = await stretches.of_period(conn, account_id, NOON_MS)
        assert await stretches.by_mode(conn, account_id, NOON_MS, 5, 5) == {("a", "fast"): 20, ("b", "fast"): 20}
        assert await stretches.by_mode(conn, account_id, NOON_MS, 6, 9) == {}
    assert found == [Stretch(5, 40, NOON_MS + HOUR_MS, NOON_MS + 5 * HOUR_MS)]
