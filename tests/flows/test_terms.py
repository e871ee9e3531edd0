"""Periods come due by the clock alone, each booked and granted once, whoever asks and however late."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from gateway.books import accounts, ledger_entries, periods
from gateway.books.books import Books
from gateway.books.ledger_entries import LedgerAccount
from gateway.books.tables import grants
from gateway.domain.instant import epoch_ms, from_epoch_ms
from gateway.domain.terms import Terms
from gateway.flows.agreed import MOST_PERIODS
from gateway.flows.terms import current_terms
from tests.made_up import CREDIT, NOON, NOON_MS, PLANS


async def _opened(books: Books, plan: str = "starter", at: datetime = NOON) -> str:
    async with books.begin() as conn:
        return (await accounts.create(conn, "Acme", PLANS[plan], epoch_ms(at))).id


async def _at(books: Books, account_id: str, at: datetime) -> Terms:
    terms = await current_terms(books, PLANS, account_id, at)
    assert terms is not None
    return terms


async def _grants(books: Books) -> int:
    async with books.read() as conn:
        return (await conn.execute(select(func.count()).select_from(grants))).scalar_one()


async def test_a_new_account_has_its_first_period_and_grant(books: Books) -> None:
    terms = await _at(books, await _opened(books), NOON)
    assert terms.version == 1
    assert (terms.epoch, terms.booked_seq) == (1, 0)
    (period,) = terms.periods
    assert (period.start_ms, from_epoch_ms(period.end_ms)) == (NOON_MS, datetime(2026, 12, 23, 12, tzinfo=UTC))
    assert period.granted_millicredits == 40_000 * CREDIT
    assert period.overage_millicredits == 400_000 * CREDIT


async def test_nobody_knows_an_account_that_does_not_exist(books: Books) -> None:
    assert await current_terms(books, PLANS, "acc_none", NOON) is None


async def test_the_next_period_is_granted_a_day_ahead(books: Books) -> None:
    account_id = await _opened(books)
    end = datetime(2026, 12, 23, 12, tzinfo=UTC)
    before = await _at(books, account_id, end - timedelta(days=1, milliseconds=1))
    assert (len(before.periods), before.version) == (1, 1)
    ahead = await _at(books, account_id, end - timedelta(days=1))
    assert (len(ahead.periods), ahead.version) == (2, 2)
    assert ahead.periods[0].end_ms == ahead.periods[1].start_ms
    # At the boundary nothing changes but what is over.
    begun = await _at(books, account_id, end)
    assert (begun.periods, begun.version) == (ahead.periods[1:], 2)


async def test_processes_that_ask_at_once_grant_once(books: Books, migrated_books_url: str) -> None:
    account_id = await _opened(books)
    other = await Books.open(migrated_books_url)
    late = NOON + timedelta(days=100)
    asked = [current_terms(which, PLANS, account_id, late) for which in (books, other) for _ in range(4)]
    terms = await asyncio.gather(*asked)
    await other.close()
    assert len(set(terms)) == 1
    assert await _grants(books) == 4


async def test_a_process_that_slept_for_months_catches_up_period_by_period(books: Books) -> None:
    account_id = await _opened(books, at=datetime(2024, 1, 31, 23, 30, tzinfo=UTC))
    await _at(books, account_id, datetime(2024, 4, 1, tzinfo=UTC))
    async with books.read() as conn:
        booked = await periods.of_account(conn, account_id)
        for period in booked:
            balances = await ledger_entries.balances(conn, account_id, period.start_ms)
            assert balances == {
                LedgerAccount.ISSUED: -40_000 * CREDIT,
                LedgerAccount.ALLOWANCE: 40_000 * CREDIT,
                LedgerAccount.USED: 0,
            }
    starts = [from_epoch_ms(period.start_ms).date().isoformat() for period in booked]
    assert starts == ["2024-01-31", "2024-02-29", "2024-03-31"]


async def test_catching_up_is_bounded(books: Books) -> None:
    account_id = await _opened(books)
    terms = await _at(books, account_id, NOON.replace(year=2026 + 40))
    assert terms.period_at(epoch_ms(NOON.replace(year=2026 + 40))) is not None
    assert await _grants(books) == 1 + MOST_PERIODS


async def test_a_clock_a_little_behind_the_first_period_gets_that_period(books: Books) -> None:
    account_id = await _opened(books)
    assert (await _at(books, account_id, NOON - timedelta(seconds=2))).periods[0].start_ms == NOON_MS


async def test_a_plan_no_longer_sold_goes_on_as_it_was(books: Books) -> None:
    account_id = await _opened(books)
    later = NOON + timedelta(days=40)
    terms = await current_terms(books, {}, account_id, later)
    assert terms is not None
    assert terms.periods[0].granted_millicredits == 40_000 * CREDIT


@settings(max_examples=15)
@given(
    anchor=st.datetimes(datetime(2023, 1, 1), datetime(2024, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - above
    days=st.lists(st.integers(0, 1460), min_size=1, max_size=4),
)
def test_periods_tile_whatever_the_anchor_and_whenever_asked(
    anchor: datetime, days: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def booked() -> None:
        books = await Books.open(f"sqlite:///{tmp_path_factory.mktemp('books')}/books.db")
        account_id = await _opened(books, at=anchor)
        for day in days:
            at = anchor + timedelta(days=day)
            assert (await _at(books, account_id, at)).period_at(epoch_ms(at)) is not None or max(days) > day
        async with books.read() as conn:
            found = await periods.of_account(conn, account_id)
        assert await _grants(books) == len(found)
        await books.close()
        assert found[0].start_ms == epoch_ms(anchor)
        assert all(one.end_ms == following.start_ms for one, following in pairwise(found))

    asyncio.run(booked())
