"""An account's terms in one question, and the versions by which they are known to hold still."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import accounts, limits, meta, terms, usage
from gateway.books.books import Books
from gateway.books.terms import Versions
from gateway.domain.instant import DAY_MS
from gateway.domain.limits import Budget, CeilingBy, SpendLimits
from gateway.domain.terms import AccountStatus
from tests.made_up import CREDIT, NOON_MS, PLANS


@pytest.fixture
async def books(migrated_books_url: str) -> AsyncIterator[Books]:
    opened = await Books.open(migrated_books_url)
    yield opened
    await opened.close()


@pytest.fixture
async def account_id(books: Books) -> str:
    async with books.begin() as conn:
        return (await accounts.create(conn, "Acme", PLANS["pro"], NOON_MS)).id


def _asked(conn: AsyncConnection) -> list[str]:
    """Every statement from now on."""
    asked: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(conn.sync_connection, "before_cursor_execute", note)
    return asked


async def test_terms_are_one_question(books: Books, account_id: str) -> None:
    async with books.begin() as conn:
        await limits.set_own(conn, account_id, SpendLimits(max_cents=90), NOON_MS)
        await limits.set_own(conn, account_id, SpendLimits(max_cents=125), NOON_MS)
        await usage.expect_seq(conn, account_id, 5)
    async with books.read() as conn:
        asked = _asked(conn)
        found = await terms.of_account(conn, account_id, NOON_MS)
    assert len(asked) == 1
    assert found is not None
    assert (found.version, found.status, found.epoch, found.booked_seq) == (1, AccountStatus.ACTIVE, 1, 5)
    (period,) = found.periods
    assert (period.start_ms, period.plan_id, period.granted_millicredits) == (NOON_MS, "pro", 400_000 * CREDIT)
    # The newest of the account's own: 125 cents at 1.25 dollars a thousand credits.
    assert (period.overage_by, period.overage_millicredits) == (CeilingBy.ACCOUNT, 1_000 * CREDIT)
    assert found.budgets == ()


async def test_raises_and_budgets_are_asked_for_where_there_are_any(books: Books, account_id: str) -> None:
    async with books.begin() as conn:
        await limits.add_raise(
            conn,
            account_id,
            from_ms=NOON_MS,
            until_ms=NOON_MS + DAY_MS,
            max_cents=None,
            max_millicredits=900_000 * CREDIT,
            reason="a backlog",
        )
        await limits.set_budget(conn, account_id, Budget("prj_1", 7 * CREDIT), NOON_MS)
    async with books.read() as conn:
        asked = _asked(conn)
        raised = await terms.of_account(conn, account_id, NOON_MS)
        assert len(asked) == 3
        over = await terms.of_account(conn, account_id, NOON_MS + DAY_MS)
        assert len(asked) == 5
    assert raised is not None
    assert over is not None
    assert raised.budgets == over.budgets == (Budget("prj_1", 7 * CREDIT),)
    assert raised.periods[0].overage_by is CeilingBy.RAISE
    assert over.periods[0].overage_by is CeilingBy.PLAN


async def test_an_account_without_a_period_has_terms_and_an_unknown_one_has_none(books: Books, account_id: str) -> None:
    async with books.read() as conn:
        found = await terms.of_account(conn, account_id, NOON_MS + 400 * DAY_MS)
        assert found is not None
        assert found.periods == ()
        assert await terms.of_account(conn, "acc_none", NOON_MS) is None


async def test_versions_of_many_accounts_are_one_question(books: Books, account_id: str) -> None:
    async with books.begin() as conn:
        other = (await accounts.create(conn, "Beta", PLANS["free"], NOON_MS)).id
        await accounts.raise_terms_version(conn, other)
        await usage.expect_seq(conn, other, 9)
        assert await meta.raise_epoch(conn) == 2
    async with books.read() as conn:
        asked = _asked(conn)
        found = await terms.versions_of(conn, [account_id, other, "acc_none"])
        assert len(asked) == 1
        assert await terms.versions_of(conn, []) == {}
    assert found == {account_id: Versions(1, 2, 0), other: Versions(2, 2, 9)}
