"""A configuration without a plan that an account is on is refused, before that account's calls could fail."""

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from gateway.books import accounts, subscriptions
from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.config_files.problem import ConfigurationInvalid
from gateway.configuration import Configuration, load
from gateway.domain.instant import epoch_ms
from gateway.domain.terms import AccountStatus
from gateway.plans_in_use import demand_plans, plans_gone, plans_taken_away
from tests.made_up import PLANS

ENTRY = Path(__file__).parents[1] / "config" / "gateway.yaml"
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
LATER = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def shipped() -> Configuration:
    return load(ENTRY, {})


def without(configuration: Configuration, plan_id: str) -> Configuration:
    plans = {name: plan for name, plan in configuration.catalog.plans.items() if name != plan_id}
    return dataclasses.replace(configuration, catalog=dataclasses.replace(configuration.catalog, plans=plans))


@pytest.fixture
async def books(migrated_books_url: str) -> AsyncIterator[Books]:
    opened = await Books.open(migrated_books_url)
    yield opened
    await opened.close()


async def opened(books: Books, plan_id: str) -> str:
    async with books.begin() as conn:
        return (await accounts.create(conn, "Acme", PLANS[plan_id], epoch_ms(BEGAN))).id


async def test_a_plan_that_an_account_is_on_may_not_go(books: Books, shipped: Configuration) -> None:
    for plan_id in ("starter", "starter", "pro"):
        await opened(books, plan_id)
    assert await plans_gone(without(shipped, "free"), books, LATER) == ()
    await demand_plans(without(shipped, "free"), books, LATER)
    one = await plans_gone(without(shipped, "pro"), books, LATER)
    two = await plans_gone(without(shipped, "starter"), books, LATER)
    assert [(problem.path, problem.sentence.partition(":")[0]) for problem in (*one, *two)] == [
        ("pro", "is missing, but 1 account is on it"),
        ("starter", "is missing, but 2 accounts are on it"),
    ]
    with pytest.raises(ConfigurationInvalid, match=r"plans\.yaml: starter: is missing, but 2 accounts are on it"):
        await demand_plans(without(shipped, "starter"), books, LATER)


async def test_it_may_go_when_the_account_has_left_or_is_closed(books: Books, shipped: Configuration) -> None:
    moved, closed = await opened(books, "starter"), await opened(books, "starter")
    soon_ms = epoch_ms(LATER + timedelta(days=1))
    async with books.begin() as conn:
        await accounts.set_status(conn, closed, AccountStatus.CLOSED, epoch_ms(BEGAN))
        (running,) = await subscriptions.of_account(conn, moved)
        await subscriptions.end(conn, running.id, soon_ms)
        await subscriptions.add(
            conn, account_id=moved, plan_id="free", anchor_ms=soon_ms, started_ms=soon_ms, at_ms=epoch_ms(BEGAN)
        )
    without_starter, without_free = without(shipped, "starter"), without(shipped, "free")
    assert [problem.path for problem in await plans_gone(without_starter, books, LATER)] == ["starter"]
    assert await plans_gone(without_starter, books, LATER + timedelta(days=2)) == ()
    # the plan that comes with the next period is needed as well
    assert [problem.path for problem in await plans_gone(without_free, books, LATER)] == ["free"]


async def test_a_pending_plan_that_was_taken_back_is_not_needed(books: Books, shipped: Configuration) -> None:
    account_id = await opened(books, "starter")
    soon_ms = epoch_ms(LATER + timedelta(days=1))
    async with books.begin() as conn:
        pending = await subscriptions.add(
            conn, account_id=account_id, plan_id="free", anchor_ms=soon_ms, started_ms=soon_ms, at_ms=epoch_ms(BEGAN)
        )
        await subscriptions.end(conn, pending.id, soon_ms)
    assert await plans_gone(without(shipped, "free"), books, LATER) == ()


async def test_a_reload_asks_only_where_a_plan_is_left_out(books: Books, shipped: Configuration) -> None:
    await opened(books, "starter")

    async def taken(fresh: Configuration) -> list[str]:
        found = await plans_taken_away(fresh, shipped, books=books, clock=lambda: LATER)
        return [problem.path for problem in found]

    assert await taken(without(shipped, "starter")) == ["starter"]
    assert await taken(without(shipped, "free")) == []
    await books.close()
    assert await taken(shipped) == []


async def test_no_plan_is_left_out_while_nobody_can_tell_who_is_on_it(shipped: Configuration) -> None:
    class Away:
        def read(self) -> object:
            raise BooksUnavailable("away")

    books = cast("Books", Away())
    (problem,) = await plans_taken_away(without(shipped, "free"), shipped, books=books, clock=lambda: LATER)
    assert (problem.path, problem.sentence.partition(",")[0]) == ("free", "is missing")
