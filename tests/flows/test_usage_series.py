"""A series adds up to what was captured, over any range, in any windows of any time zone."""

import asyncio
import random
from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from gateway.books import usage
from gateway.books.books import Books
from gateway.books.reports import By
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.usage import UsageEvent
from gateway.domain.windows import Window
from gateway.flows.accounts import Accounts
from gateway.flows.faults import NoSuchThing, WrongParameter
from gateway.flows.usage_report import Range
from gateway.flows.usage_series import Series, UsageSeries
from tests.flows.test_usage_metrics import ACCOUNT, Away, Waiting, book
from tests.made_up import NOON_MS, event

UTC = ZoneInfo("UTC")
ZONES = [
    ZoneInfo(name)
    for name in ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana")
]
BY = (By.PRODUCT, By.MODE, By.PROJECT, By.KEY)
# Two weeks on either side of the end of summer time in Europe.
START_MS, LENGTH_MS = 1_792_195_200_000, 28 * DAY_MS


def made_up(count: int, seed: int) -> list[UsageEvent]:
    """Events at odd times, many of them right at the hour or the half hour."""
    chance = random.Random(seed)
    events = []
    for number in range(1, count + 1):
        at_ms = START_MS + chance.randrange(LENGTH_MS)
        if chance.random() < 0.4:
            at_ms = at_ms // (HOUR_MS // 4) * (HOUR_MS // 4) + chance.choice([-1, 0, 1])
        events.append(
            event(
                ACCOUNT,
                number,
                admitted_at_ms=at_ms,
                captured=chance.randrange(100_000),
                units=chance.choice([None, 0, 1, 7]),
                product=chance.choice(["parse", "extract"]),
                mode=chance.choice(["agentic", "fast"]),
                project_id=chance.choice(["prj_1", "prj_2"]),
                key_id=chance.choice(["key_1", "key_2"]),
            )
        )
    return events


def added_up(events: list[UsageEvent], series: Series) -> Counter[tuple[object, ...]]:
    """What each window must say, event by event."""
    sums: Counter[tuple[object, ...]] = Counter()
    for one in events:
        (window,) = [w for w in series.windows() if w.start_ms <= one.admitted_at_ms < w.end_ms]
        facts = one.facts
        names = {By.PRODUCT: facts.product, By.MODE: facts.mode, By.PROJECT: facts.project_id, By.KEY: facts.key_id}
        key = (window.start_ms, *(names[name] for name in series.by))
        for what, number in (("n", 1), ("units", one.settlement.units or 0), ("taken", one.captured_millicredits)):
            sums[(*key, what)] += number
    return +sums


def shown(series: Series) -> Counter[tuple[object, ...]]:
    sums: Counter[tuple[object, ...]] = Counter()
    for window in series.windows():
        for bucket in window.buckets:
            key = (window.start_ms, *(getattr(bucket, name) for name in series.by))
            sums[(*key, "n")] += bucket.calls
            sums[(*key, "units")] += bucket.units
            sums[(*key, "taken")] += bucket.captured_millicredits
    return +sums


@pytest.fixture
async def events(books: Books) -> list[UsageEvent]:
    """Three quarters of them booked, some of those still in the outbox too."""
    found = made_up(240, 11)
    await book(books, *found[:180], *(event("acc_2", number, admitted_at_ms=NOON_MS) for number in (901, 902)))
    return found


@pytest.mark.parametrize("zone", ZONES, ids=str)
async def test_windows_add_up_to_the_events_whatever_range_zone_and_width(
    books: Books, events: list[UsageEvent], zone: ZoneInfo
) -> None:
    series = UsageSeries(books=books, ledger=Waiting(*events[160:]))
    chance = random.Random(str(zone))
    for window in Window:
        for _ in range(4):
            from_ms = START_MS + chance.randrange(-DAY_MS, LENGTH_MS)
            to_ms = from_ms + chance.choice([1, HOUR_MS // 3, chance.randrange(1, LENGTH_MS)])
            if chance.random() < 0.3:
                from_ms, to_ms = from_ms // HOUR_MS * HOUR_MS, -(-to_ms // HOUR_MS) * HOUR_MS
            by = tuple(name for name in BY if chance.random() < 0.5)
            found = await series.of_account(ACCOUNT, Range(from_ms, to_ms), window, zone, by=by)
            within = [one for one in events if from_ms <= one.admitted_at_ms < to_ms]
            assert (found.edges[0], found.edges[-1], found.by) == (from_ms, to_ms, by)
            assert shown(found) == added_up(within, found)
            assert found.total.captured_millicredits == sum(one.captured_millicredits for one in within)
            assert (found.total.calls, found.live) == (len(within), True)


async def test_all_of_it_is_what_the_ledger_has_captured(books: Books, events: list[UsageEvent]) -> None:
    await book(books, *events)
    async with books.read() as conn:
        captured = sum((await usage.captured_by_period(conn, ACCOUNT)).values())
    series = UsageSeries(books=books, ledger=Waiting())
    whole = Range(START_MS - DAY_MS, START_MS + LENGTH_MS + DAY_MS)
    for window, zone in ((Window.HOUR, ZONES[2]), (Window.DAY, ZONES[1]), (Window.MONTH, ZONES[5])):
        assert (await series.of_account(ACCOUNT, whole, window, zone)).total.captured_millicredits == captured


async def test_windows_without_usage_are_there_and_empty(books: Books) -> None:
    await book(books, event(ACCOUNT, 1, admitted_at_ms=NOON_MS))
    series = UsageSeries(books=books, ledger=Away())
    found = await series.of_account(ACCOUNT, Range(NOON_MS - DAY_MS, NOON_MS + DAY_MS), Window.DAY, UTC, by=())
    assert [len(window.buckets) for window in found.windows()] == [0, 1, 0]
    assert found.live is False


async def test_a_projects_series_is_of_its_own_usage(books: Books, accounts: Accounts) -> None:
    opened, other = await accounts.create("Acme", "starter"), await accounts.create("Other", "starter")
    mine = [event(opened.id, number, project_id=opened.project_id) for number in (1, 2)]
    await book(books, mine[0], event(opened.id, 3))
    series = UsageSeries(books=books, ledger=Waiting(mine[1], event(opened.id, 4)))
    day = Range(NOON_MS - 7, NOON_MS + 7)
    found = await series.of_account(opened.id, day, Window.HOUR, UTC, only={By.PROJECT: opened.project_id})
    assert found.total.calls == 2
    with pytest.raises(NoSuchThing):
        await series.of_account(opened.id, day, Window.HOUR, UTC, only={By.PROJECT: other.project_id})


async def test_what_is_too_much_or_unknown_is_refused_by_name(books: Books) -> None:
    series = UsageSeries(books=books, ledger=Waiting())
    cases = [
        (Range(NOON_MS, NOON_MS), Window.DAY, (), "to"),
        (Range(0, 6 * 366 * DAY_MS), Window.DAY, (), "to"),
        (Range(NOON_MS, NOON_MS + 100 * DAY_MS), Window.HOUR, (), "window"),
        (Range(NOON_MS, NOON_MS + 1), Window.HOUR, ("day",), "by"),
    ]
    for within, window, by, name in cases:
        with pytest.raises(WrongParameter) as wrong:
            await series.of_account(ACCOUNT, within, window, UTC, by=by)
        assert wrong.value.name == name


async def test_more_buckets_than_a_chart_can_show_are_refused(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.flows.usage_series.MOST_BUCKETS", 2)
    await book(books, *(event(ACCOUNT, number, mode=f"mode-{number}") for number in (1, 2)))
    series, day = UsageSeries(books=books, ledger=Waiting()), Range(NOON_MS, NOON_MS + 1)
    assert (await series.of_account(ACCOUNT, day, Window.DAY, UTC)).total.calls == 2
    await book(books, event(ACCOUNT, 3, mode="mode-3"))
    with pytest.raises(WrongParameter, match="wider windows"):
        await series.of_account(ACCOUNT, day, Window.DAY, UTC)


async def test_series_take_turns_with_the_calls_that_need_the_books(books: Books, events: list[UsageEvent]) -> None:
    series, whole = UsageSeries(books=books, ledger=Waiting()), Range(START_MS, START_MS + LENGTH_MS)
    found = await asyncio.gather(*(series.of_account(ACCOUNT, whole, Window.DAY, UTC) for _ in range(12)))
    assert all(one == found[0] for one in found)
