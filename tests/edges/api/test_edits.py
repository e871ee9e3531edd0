"""Edits with If-Match against changes through any other door, at the same moment, in books of either kind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import pytest

from gateway.books.books import Books
from gateway.domain.limits import SpendLimits
from gateway.flows.accounts import Accounts
from gateway.flows.invoices import Invoices
from gateway.flows.limits import Limits
from gateway.flows.webhooks import Webhooks
from tests.billing import billing_over
from tests.edges.api.conftest import PEPPER, Running, open_running
from tests.made_up import Clock

BASE: Final = "/api/v1/billing"
HOOK: Final = {"url": "https://example.com/hook"}
OtherDoor = Callable[[], Awaitable[Any]]


@pytest.fixture
async def running(migrated_books_url: str, redis_url: str) -> AsyncIterator[Running]:
    now = datetime.now(UTC)
    clock = Clock(now.replace(microsecond=now.microsecond // 1000 * 1000))
    async with open_running(migrated_books_url, redis_url, clock=clock) as opened:
        yield opened


@pytest.fixture
async def elsewhere(migrated_books_url: str) -> AsyncIterator[Books]:
    """The same books, as another process has them open."""
    books = await Books.open(migrated_books_url)
    yield books
    await books.close()


def meanwhile(monkeypatch: pytest.MonkeyPatch, flow: type, name: str, other_door: OtherDoor, *, after: bool) -> None:
    """Let a change through another door come once, right before or right after that of the API."""
    change, times = getattr(flow, name), iter([True])

    async def both(*args: Any, **named: Any) -> Any:
        first = next(times, False)
        made = await change(*args, **named) if after else None
        if first:
            # It knows nothing of the request.
            await asyncio.get_running_loop().create_task(other_door(), context=Context())  # type: ignore[arg-type] # a coroutine
        return made if after else await change(*args, **named)

    monkeypatch.setattr(flow, name, both)


async def things(running: Running, elsewhere: Books) -> dict[str, tuple[str, dict[str, Any], type, str, OtherDoor]]:
    """What can be edited: where, to what, by which flow, and how another door changes it."""
    opened, _ = await running.open_account("pro")
    billing = billing_over(elsewhere, running.clock)
    hooks = Webhooks(books=elsewhere, pepper=PEPPER, clock=running.clock)
    hook = (await hooks.create(opened.id, HOOK["url"])).endpoint.id
    own = replace(SpendLimits(), max_cents=7)
    return {
        "limits": (
            f"/admin/v1/accounts/{opened.id}/limits",
            {"max_cents": 100},
            Limits,
            "change",
            lambda: Limits(billing).change(opened.id, lambda _: own),
        ),
        "details": (
            f"/admin/v1/accounts/{opened.id}/details",
            {"name": "Mine"},
            Invoices,
            "change_details",
            lambda: Invoices(billing).change_details(opened.id, {"name": "Theirs"}),
        ),
        "subscription": (
            f"/admin/v1/accounts/{opened.id}/subscription",
            {"plan": "free"},
            Accounts,
            "change_plan",
            lambda: Accounts(billing).change_plan(opened.id, "starter"),
        ),
        "webhook": (
            f"/admin/v1/accounts/{opened.id}/webhooks/{hook}",
            {"url": "https://example.com/mine"},
            Webhooks,
            "update",
            lambda: hooks.update(hook, url="https://example.com/theirs"),
        ),
    }


@pytest.mark.parametrize("thing", ["limits", "details", "subscription", "webhook"])
async def test_what_another_door_changes_before_the_edit_is_written_is_not_overwritten(
    running: Running, elsewhere: Books, monkeypatch: pytest.MonkeyPatch, thing: str
) -> None:
    path, wish, flow, name, other_door = (await things(running, elsewhere))[thing]
    async with running.operator() as operator:
        read = await operator.get(path)
        meanwhile(monkeypatch, flow, name, other_door, after=False)
        stale = await operator.put(path, json=wish, headers={"if-match": read.headers["etag"]})
        theirs = await operator.get(path)
        assert (stale.status_code, stale.json().get("code")) == (412, "stale_edit")
        assert theirs.headers["etag"] != read.headers["etag"]
        fresh = await operator.put(path, json=wish, headers={"if-match": theirs.headers["etag"]})
        mine = await operator.get(path)
    assert fresh.status_code == 200
    assert fresh.headers["etag"] == mine.headers["etag"] != theirs.headers["etag"]


@pytest.mark.parametrize("thing", ["limits", "details", "subscription", "webhook"])
async def test_the_tag_of_an_edit_is_of_what_it_made_whoever_comes_next(
    running: Running, elsewhere: Books, monkeypatch: pytest.MonkeyPatch, thing: str
) -> None:
    path, wish, flow, name, other_door = (await things(running, elsewhere))[thing]
    async with running.operator() as operator:
        meanwhile(monkeypatch, flow, name, other_door, after=True)
        made = await operator.put(path, json=wish)
        again = await operator.put(path, json=wish, headers={"if-match": made.headers["etag"]})
    assert (made.status_code, again.status_code) == (200, 412)


async def test_a_removal_waits_for_no_tag_and_is_not_made_of_what_was_changed(
    running: Running, elsewhere: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _, flow, _, other_door = (await things(running, elsewhere))["webhook"]
    async with running.operator() as operator:
        tag = {"if-match": (await operator.get(path)).headers["etag"]}
        meanwhile(monkeypatch, flow, "remove", other_door, after=False)
        stale = await operator.delete(path, headers=tag)
        removed = await operator.delete(path, headers={"if-match": (await operator.get(path)).headers["etag"]})
        gone = await operator.delete(path, headers={"if-match": "*"})
    assert [answer.status_code for answer in (stale, removed, gone)] == [412, 200, 404]
    assert "etag" not in removed.headers


async def test_no_count_is_lost_between_two_who_edit_and_one_who_changes(running: Running, elsewhere: Books) -> None:
    opened, secret = await running.open_account("pro")
    limits, path, each = Limits(billing_over(elsewhere, running.clock)), f"{BASE}/limits", 8

    async def edited() -> None:
        async with running.caller(secret) as caller:
            counted = 0
            while counted < each:
                read = await caller.get(path)
                wish = {"max_cents": (read.json()["max_cents"] or 0) + 1}
                answer = await caller.put(path, json=wish, headers={"if-match": read.headers["etag"]})
                assert answer.status_code in {200, 412}
                counted += answer.status_code == 200

    async def changed() -> None:
        for _ in range(each):
            await limits.change(opened.id, lambda own: replace(own, max_cents=(own.max_cents or 0) + 1))

    await asyncio.gather(edited(), edited(), changed())
    async with running.caller(secret) as caller:
        assert (await caller.get(path)).json()["max_cents"] == 3 * each


async def test_a_wrong_edit_under_a_key_may_be_sent_again_with_the_tag_that_fits(running: Running) -> None:
    _, secret = await running.open_account("pro")
    path = f"{BASE}/details"
    async with running.caller(secret) as caller:
        put = partial(caller.put, path, json={"name": "Acme Ltd"})
        stale = await put(headers={"if-match": '"old"', "idempotency-key": "one"})
        tag = (await caller.get(path)).headers["etag"]
        made = await put(headers={"if-match": tag, "idempotency-key": "one"})
        again = await put(headers={"if-match": tag, "idempotency-key": "one"})
    assert [answer.status_code for answer in (stale, made, again)] == [412, 200, 200]
    assert (again.headers["etag"], again.content) == (made.headers["etag"], made.content)
