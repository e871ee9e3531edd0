"""Every capture is listed once, booked or not, however the pages are cut and whatever arrives meanwhile."""

import random
from dataclasses import replace

import pytest

from gateway.books import usage
from gateway.books.books import Books
from gateway.books.events import Position
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS
from gateway.domain.usage import UsageEvent
from gateway.flows.accounts import Accounts
from gateway.flows.faults import NoSuchThing
from gateway.flows.usage_metrics import UsageMetrics, Wanted
from gateway.ledger.answers import Counters
from gateway.ledger.faults import StoreUnavailable
from tests.made_up import NOON_MS, event, job

ACCOUNT = "acc_1"
ALL = Wanted()
MIDNIGHT_MS = NOON_MS - DAY_MS // 2


class Waiting:
    """A ledger whose outbox has these events."""

    def __init__(self, *events: UsageEvent) -> None:
        self.events = list(events)

    async def counters(self, account_id: str) -> Counters:
        mine = {one.id: one for one in self.events if one.facts.account_id == account_id}
        return Counters(epoch=1, seq=10_000, terms_version=1, periods={}, open_holds=(), unbooked=mine)


class Away:
    async def counters(self, account_id: str) -> Counters:
        raise StoreUnavailable("timeout")


async def book(books: Books, *events: UsageEvent) -> None:
    async with books.begin() as conn:
        await usage.book(conn, events)


async def pages(
    metrics: UsageMetrics, wanted: Wanted = ALL, *, size: int, account_id: str = ACCOUNT
) -> list[list[UsageEvent]]:
    """All pages to the last."""
    found: list[list[UsageEvent]] = []
    after: Position | None = None
    while not found or after is not None:
        page = await metrics.page(account_id, wanted, size=size, after=after)
        found.append(list(page.events))
        after = page.after
    return found


async def listed(books: Books, wanted: Wanted, *waiting: UsageEvent) -> list[int]:
    """The numbers of the events listed."""
    (found,) = await pages(UsageMetrics(books=books, ledger=Waiting(*waiting)), wanted, size=1_000)
    return sorted(one.seq for one in found)


def at(number: int) -> UsageEvent:
    """Some admitted in the same millisecond."""
    return event(ACCOUNT, number, admitted_at_ms=NOON_MS + number // 3)


@pytest.mark.parametrize("size", [1, 2, 7, 20, 21, 50])
async def test_pages_of_any_size_list_each_capture_once_the_latest_first(books: Books, size: int) -> None:
    everything = [at(number) for number in range(1, 22)]
    await book(books, *everything[::2], event("acc_2", 99))
    found = await pages(UsageMetrics(books=books, ledger=Waiting(*everything[1::2], everything[0])), size=size)
    assert [one for page in found for one in page] == everything[::-1]
    assert all(len(page) == size for page in found[:-1])
    assert 0 < len(found[-1]) <= size


async def test_paging_is_stable_while_events_arrive_and_are_booked(books: Books) -> None:
    chance = random.Random(4)
    there = [event(ACCOUNT, number, admitted_at_ms=NOON_MS + chance.randrange(9)) for number in range(1, 31)]
    await book(books, *there[:20])
    ledger = Waiting(*there[20:])
    metrics, after, found = UsageMetrics(books=books, ledger=ledger), None, list[UsageEvent]()
    new = [event(ACCOUNT, number, admitted_at_ms=NOON_MS + chance.randrange(12)) for number in range(31, 61)]
    while not found or after is not None:
        page = await metrics.page(ACCOUNT, ALL, size=3, after=after)
        found += page.events
        after = page.after
        arrived, new = new[:4], new[4:]
        if ledger.events:
            await book(books, ledger.events.pop(0), *arrived[:2])
        ledger.events += arrived[2:]
    ids = [one.id for one in found]
    assert len(ids) == len(set(ids))
    assert {one.id for one in there} <= set(ids)


async def test_only_captures_are_usage(books: Books) -> None:
    endings = [event(ACCOUNT, number, ending=ending) for number, ending in enumerate(Ending, 1)]
    await book(books, *endings)
    waiting = [event(ACCOUNT, number, ending=ending) for number, ending in enumerate(Ending, 11)]
    captures = [number for number, ending in enumerate(Ending, 1) if ending in usage.CAPTURES]
    assert await listed(books, ALL, *waiting) == [*captures, *(number + 10 for number in captures)]


@pytest.mark.parametrize("booked", [True, False])
async def test_every_filter_means_the_same_for_booked_and_waiting_events(books: Books, booked: bool) -> None:
    events = [
        event(ACCOUNT, 1, project_id="prj_1"),
        event(ACCOUNT, 2, product="index", mode="chat", unit="turn"),
        event(ACCOUNT, 3, product="index", mode="retrieval", unit="query"),
        event(ACCOUNT, 4, product="index", mode="v1", unit="page"),
        event(ACCOUNT, 5, product="translate", mode="x", unit="word"),
        replace(event(ACCOUNT, 6), job_id="pjb-6"),
        replace(event(ACCOUNT, 7, product="extract"), job_id="exj-7"),
        event(ACCOUNT, 8, unit="second"),
        event(ACCOUNT, 9, admitted_at_ms=MIDNIGHT_MS),
        event(ACCOUNT, 10, admitted_at_ms=MIDNIGHT_MS - 1),
    ]
    # That a call started a job is booked when it started.
    async with books.begin() as conn:
        await usage.book(conn, [job(ACCOUNT, 6, "pjb-6"), job(ACCOUNT, 7, "exj-7"), job("acc_2", 8, "pjb-8")])
    if booked:
        await book(books, *events)
    waiting = [] if booked else events
    cases = [
        (Wanted(event_types=frozenset({"pages_parsed"})), [1, 6, 9, 10]),
        (Wanted(event_types=frozenset({"chat_message_sent", "index_retrieve_query"})), [2, 3]),
        (Wanted(event_types=frozenset({"pages_indexed", "translate_word", "audio_seconds_parsed"})), [4, 5, 8]),
        (Wanted(event_types=frozenset({"extraction_num_pages", "made_up"})), [7]),
        (Wanted(key="pjb-6"), [6]),
        (Wanted(key="pjb-8"), []),
        (Wanted(key=f"req_{7:032x}"), [7]),
        (Wanted(key_type="parse_job"), [6]),
        (Wanted(key_type="request", event_types=frozenset({"pages_parsed"})), [1, 9, 10]),
        (Wanted(key_type="made_up"), []),
        (Wanted(times=((MIDNIGHT_MS, MIDNIGHT_MS + 1),)), [9]),
        (Wanted(times=((MIDNIGHT_MS - 1, MIDNIGHT_MS), (NOON_MS, NOON_MS + 1))), [1, 2, 3, 4, 5, 6, 7, 8, 10]),
        (Wanted(times=()), []),
    ]
    for wanted, expected in cases:
        assert await listed(books, wanted, *waiting) == expected, wanted


async def test_a_project_is_a_filter_if_it_is_the_accounts(books: Books, accounts: Accounts) -> None:
    opened, other = await accounts.create("Acme", "starter"), await accounts.create("Other", "starter")
    await book(books, event(opened.id, 1, project_id=opened.project_id), event(opened.id, 2))
    metrics = UsageMetrics(books=books, ledger=Waiting(event(opened.id, 3)))
    (found,) = await pages(metrics, Wanted(project_id=opened.project_id), size=9, account_id=opened.id)
    assert [one.seq for one in found] == [1]
    with pytest.raises(NoSuchThing):
        await metrics.page(opened.id, Wanted(project_id=other.project_id), size=9)


async def test_the_total_counts_every_page_and_both_stores(books: Books) -> None:
    await book(books, *(at(number) for number in range(1, 8)))
    metrics = UsageMetrics(books=books, ledger=Waiting(at(7), at(8), event(ACCOUNT, 9, unit="second")))
    page = await metrics.page(ACCOUNT, Wanted(event_types=frozenset({"pages_parsed"})), size=2, with_total=True)
    assert (len(page.events), page.total) == (2, 8)
    assert (await metrics.page(ACCOUNT, ALL, size=2)).total is None


async def test_with_redis_away_what_is_booked_is_listed(books: Books) -> None:
    await book(books, at(1))
    (found,) = await pages(UsageMetrics(books=books, ledger=Away()), size=9)
    assert found == [at(1)]
