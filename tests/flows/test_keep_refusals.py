"""Refusals are kept within bounds, and nothing ever waits for them."""

from dataclasses import dataclass, replace

import pytest

from gateway.books import refusals
from gateway.books.books import Books
from gateway.books.refusals import Refusal
from gateway.domain.instant import epoch_ms
from gateway.flows.keep_refusals import LONGEST_MS, MOST_AT_ONCE, MOST_OF_AN_ACCOUNT, RefusalKeeper
from tests.flows.test_explain import REFUSAL, request_id
from tests.made_up import Clock


@dataclass
class Said:
    """A refused call; remembers whether it was read."""

    number: int
    account_id: str
    at_ms: int = 0
    read: bool = False

    def refusal(self) -> Refusal:
        self.read = True
        return replace(REFUSAL, request_id=request_id(self.number), account_id=self.account_id, at_ms=self.at_ms)


@pytest.fixture
def dropped() -> list[int]:
    return []


@pytest.fixture
def keeper(books: Books, clock: Clock, dropped: list[int]) -> RefusalKeeper:
    return RefusalKeeper(books=books, clock=clock, dropped=dropped.append)


async def kept(books: Books, numbers: range) -> list[int]:
    async with books.read() as conn:
        return [number for number in numbers if await refusals.get(conn, request_id(number)) is not None]


async def test_a_flood_is_counted_and_only_its_beginning_read_and_kept(
    keeper: RefusalKeeper, books: Books, dropped: list[int]
) -> None:
    flood = [Said(number, f"acc_{number % 40}") for number in range(1_000)]
    keeper.offer(flood)
    await keeper.keep()
    assert await kept(books, range(1_000)) == list(range(MOST_AT_ONCE))
    assert [call.number for call in flood if call.read] == list(range(MOST_AT_ONCE))
    assert dropped == [1_000 - MOST_AT_ONCE]


async def test_one_account_does_not_push_the_others_out(
    keeper: RefusalKeeper, books: Books, dropped: list[int]
) -> None:
    for _ in range(2):
        keeper.offer([Said(number, "acc_loop") for number in range(500)])
        keeper.offer([Said(500, "acc_other")])
        await keeper.keep()
    assert await kept(books, range(501)) == [*range(MOST_OF_AN_ACCOUNT), 500]
    assert sum(dropped) == 2 * (500 - MOST_OF_AN_ACCOUNT)


async def test_with_the_books_away_refusals_are_given_up_and_counted(
    sqlite_copy_url: str, clock: Clock, dropped: list[int]
) -> None:
    await (await Books.open(sqlite_copy_url)).close()
    away = await Books.open(sqlite_copy_url, read_only=True)
    keeper = RefusalKeeper(books=away, clock=clock, dropped=dropped.append)
    keeper.offer([Said(1, "acc_1"), Said(2, "acc_1")])
    await keeper.keep()
    await keeper.keep()
    await keeper.trim()
    assert dropped == [2]
    await away.close()


async def test_refusals_that_are_too_old_or_too_many_are_forgotten(
    keeper: RefusalKeeper, books: Books, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = epoch_ms(clock())
    monkeypatch.setattr("gateway.flows.keep_refusals.TRIM_BATCH", 3)
    keeper.offer([Said(number, "acc_1", now_ms - LONGEST_MS - 1) for number in range(8)])
    keeper.offer([Said(number, "acc_1", now_ms - LONGEST_MS + number) for number in range(8, 16)])
    await keeper.keep()
    await keeper.trim()
    assert await kept(books, range(16)) == list(range(8, 16))
    monkeypatch.setattr("gateway.flows.keep_refusals.NEWEST", 4)
    await keeper.trim()
    assert await kept(books, range(16)) == list(range(12, 16))
