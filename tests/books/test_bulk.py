"""Many rows by one statement: the same rows as one by one, on either store."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.books.books import Books
from gateway.books.bulk import Bulk, adding_up, rows_of
from gateway.books.dialect import now_ms, one_of
from gateway.books.tables import account_seq, period_usage, poison_records


@pytest.fixture
async def books(migrated_books_url: str) -> AsyncIterator[Books]:
    opened = await Books.open(migrated_books_url)
    yield opened
    await opened.close()


SUMS = Bulk(period_usage, settled=adding_up("captured_millicredits"))


@pytest.mark.parametrize("count", [0, 1, 3_000])
async def test_every_row_is_written_whatever_their_number(books: Books, count: int) -> None:
    rows = rows_of({(f"acc_{number:04}", 7): [number] for number in range(count)})
    async with books.begin() as conn:
        await SUMS.write(conn, rows)
        assert [tuple(row) for row in await conn.execute(select(period_usage).order_by("account_id"))] == rows


async def test_a_row_that_is_there_grows(books: Books) -> None:
    async with books.begin() as conn:
        await SUMS.write(conn, [("acc_1", 7, 20), ("acc_2", 7, 1)])
        await SUMS.write(conn, [("acc_1", 7, 2**52), ("acc_1", 8, 3)])
        found = {row[:2]: row[2] for row in await conn.execute(select(period_usage))}
    assert found == {("acc_1", 7): 2**52 + 20, ("acc_1", 8): 3, ("acc_2", 7): 1}


async def test_a_row_that_is_there_is_an_error_where_nothing_is_said_of_it(books: Books) -> None:
    seqs = Bulk(account_seq)
    async with books.begin() as conn:
        await seqs.write(conn, [("acc_1", 1)])
    with pytest.raises(IntegrityError):
        async with books.begin() as conn:
            await seqs.write(conn, [("acc_2", 1), ("acc_1", 2)])
    async with books.read() as conn:
        assert [tuple(row) for row in await conn.execute(select(account_seq))] == [("acc_1", 1)]


async def test_what_the_store_tells_is_told_in_every_row(books: Books) -> None:
    records = Bulk(poison_records, told={"found_at_ms": now_ms()})
    async with books.begin() as conn:
        await records.write(conn, [(0, f"{number}-0", "{}", "odd") for number in range(3)])
        told = (await conn.execute(select(poison_records.c.found_at_ms))).scalars().all()
    assert len(told) == 3
    assert min(told) > 1_700_000_000_000


def test_sums_come_in_the_order_of_their_keys() -> None:
    assert rows_of({("b", 1): [2, 3], ("a", 9): [4, 5], ("a", 1): [6, 7]}) == [
        ("a", 1, 6, 7),
        ("a", 9, 4, 5),
        ("b", 1, 2, 3),
    ]


@pytest.mark.parametrize("listed", [[], ["acc_1"], ["acc_1", "acc_1", "'; --", '"', "ü", "acc_3"]])
async def test_one_of_a_list_is_found_whatever_is_in_it(books: Books, listed: list[str]) -> None:
    async with books.begin() as conn:
        await Bulk(account_seq).write(conn, [(name, 1) for name in ("acc_1", "acc_2", "'; --", '"', "ü")])
        query = select(account_seq.c.account_id).where(one_of(conn, account_seq.c.account_id, listed))
        found = set((await conn.execute(query)).scalars())
    assert found == set(listed) & {"acc_1", "'; --", '"', "ü"}
