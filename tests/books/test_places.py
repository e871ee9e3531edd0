"""A list of captures of one kind looks only where the rollups say that there are any, and leaves none out."""

import random

import pytest
from sqlalchemy import event as sql_event

from gateway.books import events, usage
from gateway.books.books import Books
from gateway.books.events import Chosen, Position
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.usage import UsageEvent
from tests.made_up import NOON_MS, event

NAMES: dict[tuple[str, str], str] = {}
DAY = NOON_MS // DAY_MS * DAY_MS
# At the edges of hours and days, and between them.
MOMENTS = [
    DAY - day * DAY_MS + hour * HOUR_MS + off
    for day in range(6)
    for hour in (0, 1, 12, 23)
    for off in (0, 1, HOUR_MS - 1)
]


async def listed(books: Books, account_id: str, chosen: Chosen, size: int) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    after: Position | None = None
    async with books.read() as conn:
        while True:
            page = await events.captures(conn, account_id, chosen, NAMES, after=after, limit=size)
            found += [one.id for one in page]
            if len(page) < size:
                return found
            after = Position(page[-1].admitted_at_ms, page[-1].id)


def of(made: list[UsageEvent], chosen: Chosen) -> list[str]:
    """The same, by looking at every event."""
    ((from_ms, to_ms),) = chosen.times or ((0, 1 << 60),)
    wanted = [
        one
        for one in made
        if chosen.mode in {None, one.facts.mode}
        and chosen.key_id in {None, one.facts.key_id}
        and from_ms <= one.admitted_at_ms < to_ms
    ]
    return [one.id for one in sorted(wanted, key=lambda one: (one.admitted_at_ms, one.id), reverse=True)]


async def test_every_page_has_what_looking_everywhere_would_find(books: Books) -> None:
    chance = random.Random(7)
    for number in range(40):
        account_id = f"acc_{number}"
        made = [
            event(
                account_id,
                number * 100 + n,
                admitted_at_ms=chance.choice(MOMENTS),
                mode=chance.choice(["fast", "agentic"]),
                key_id=chance.choice(["key_1", "key_2"]),
            )
            for n in range(chance.randrange(60))
        ]
        first_ms, last_ms = sorted(chance.sample(MOMENTS, 2))
        chosen = Chosen(
            times=None if number % 2 else ((first_ms, last_ms),),
            mode=chance.choice([None, "fast", "fast", "none of them"]),
            key_id=chance.choice([None, "key_2"]),
        )
        async with books.begin() as conn:
            await usage.book(conn, made)
        found = await listed(books, account_id, chosen, chance.choice([1, 2, 5, 50]))
        async with books.read() as conn:
            counted = await events.count(conn, account_id, chosen, NAMES)
        assert (found, counted) == (of(made, chosen), len(found))


@pytest.mark.parametrize("mode", ["once", "never"])
async def test_a_rare_call_is_found_without_reading_the_others(books: Books, mode: str) -> None:
    made = [event("acc_1", number, admitted_at_ms=DAY - number * 600_000) for number in range(1_000)]
    rare = event("acc_1", 1_000, admitted_at_ms=DAY - 500 * 600_000, mode="once")
    async with books.begin() as conn:
        await usage.book(conn, [*made, rare])
    asked: list[str] = []
    async with books.read() as conn:
        sql_event.listen(conn.sync_connection, "before_cursor_execute", lambda *given: asked.append(given[2]))
        found = await events.captures(conn, "acc_1", Chosen(mode=mode), NAMES, after=None, limit=51)
    assert [one.id for one in found] == ([rare.id] if mode == "once" else [])
    assert sum("FROM usage_events" in statement for statement in asked) == (1 if mode == "once" else 0)
