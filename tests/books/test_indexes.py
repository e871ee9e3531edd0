"""What loops ask every few seconds is answered by indexes, however much was ever paid, raised and sent."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import (
    alerts,
    invoice_collections,
    invoices,
    payment_attempts,
    plan_change_payments,
    series,
    usage,
    webhooks,
)
from gateway.books.books import Books
from gateway.books.reports import By
from gateway.domain.instant import DAY_MS, HOUR_MS
from tests import made_up

Question = Callable[[AsyncConnection], Awaitable[object]]
# What was sent along with the question.
CONSTANT = ("CONSTANT ROW", "CONSTANT ROWS")


async def repeated_usage(conn: AsyncConnection) -> None:
    """What a relay asks of records that it may have booked before."""
    await usage.expect_seq(conn, "acc_1", 999)
    await usage.doubtful(conn, [made_up.event("acc_1", number) for number in range(1, 400)])


QUESTIONS: dict[str, Question] = {
    "due": lambda conn: invoice_collections.due(conn, "stripe", at_ms=1, least_cents=50),
    "settled meanwhile": lambda conn: invoice_collections.settled_meanwhile(conn, limit=10),
    "sandboxes": lambda conn: invoice_collections.sandboxes(conn, after="", limit=10),
    "invoices of all accounts": lambda conn: invoices.page(conn, None, statuses=None, after=(2, "inv_2"), limit=40),
    "undecided": lambda conn: payment_attempts.to_look_at(conn, "stripe", at_ms=1, limit=10),
    "of an invoice": lambda conn: payment_attempts.holding(conn, "inv_1"),
    "of a change": lambda conn: payment_attempts.of_change(conn, "pcp_1"),
    "being paid": lambda conn: plan_change_payments.being_paid(conn, "acc_1"),
    "alerts that may be due": lambda conn: alerts.standings(conn, [("acc_1", 1), ("acc_2", 1)]),
    "alerts that were raised": lambda conn: alerts.raised(conn, [("acc_1", 1), ("acc_2", 1)]),
    "usage that is repeated": repeated_usage,
    "webhooks to trim": lambda conn: webhooks.trim(conn, before_ms=1),
    "of a budget": lambda conn: usage.captured_for(conn, "acc_1", 1, "key_1", up_to_seq=1),
}


# As where there are millions of rows, and not the none of a test.
OF_MANY_ROWS = (
    "SET LOCAL enable_seqscan = off",
    "SET LOCAL enable_sort = off",
    "SET LOCAL enable_hashjoin = off",
    "SET LOCAL enable_mergejoin = off",
)


async def asked_by(conn: AsyncConnection, question: Question) -> list[tuple[str, Any]]:
    """Its statements that read, each with its parameters."""
    asked: list[tuple[str, Any]] = []

    def note(_conn: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    event.listen(conn.sync_connection, "before_cursor_execute", note)
    await question(conn)
    event.remove(conn.sync_connection, "before_cursor_execute", note)
    return [each for each in asked if each[0].lstrip().startswith(("SELECT", "WITH"))]


async def plan_of(conn: AsyncConnection, statement: str, parameters: Any) -> list[str]:
    """The steps by which the database answers it."""
    explain = "EXPLAIN" if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    steps: list[str] = [row[-1] for row in await conn.exec_driver_sql(f"{explain} {statement}", parameters)]
    return steps


@pytest.mark.parametrize("name", QUESTIONS)
async def test_no_table_is_read_from_end_to_end(sqlite_copy_url: str, name: str) -> None:
    books = await Books.open(sqlite_copy_url)
    async with books.begin() as conn:
        plan = [step for each in await asked_by(conn, QUESTIONS[name]) for step in await plan_of(conn, *each)]
    await books.close()
    assert plan
    scans = [step for step in plan if step.startswith("SCAN ") and not step.endswith(CONSTANT)]
    # A list that was given with the question is no table.
    assert [step for step in scans if " VIRTUAL TABLE " not in step] == []


async def test_a_page_of_an_invoices_events_reads_its_own_rows_and_sorts_none(books: Books) -> None:
    async with books.begin() as conn:
        (asked,) = await asked_by(conn, lambda conn: invoices.events_page(conn, "inv_1", after="evt_1"))
        for setting in OF_MANY_ROWS if conn.dialect.name == "postgresql" else ():
            await conn.execute(text(setting))
        plan = await plan_of(conn, *asked)
    bounded = re.compile(r"closing_id ?= ?.* AND \(?event_id ?>")
    assert any(bounded.search(step) for step in plan)
    assert [step for step in plan if "Sort" in step or "TEMP B-TREE" in step] == []


async def test_usage_over_time_reads_the_accounts_own_rows_on_postgresql(postgres_emptied_url: str) -> None:
    books = await Books.open(postgres_emptied_url)
    hours = range(made_up.NOON_MS + 1, made_up.NOON_MS + 90 * DAY_MS, HOUR_MS)

    async def by_hour(conn: AsyncConnection) -> None:
        await series.usage(conn, "acc_1", hours, (By.PRODUCT, By.KEY), only={By.PROJECT: "prj_1"}, limit=10)

    async with books.read() as conn:
        (asked,) = await asked_by(conn, by_hour)
        # As where there are millions of rows, of which it expects the account to want too many.
        await conn.execute(text("SET LOCAL random_page_cost = 10000"))
        plan = await plan_of(conn, *asked)
    await books.close()
    assert any("Index" in step and "usage_events" in step for step in plan)
    assert [step for step in plan if "Seq Scan" in step or "Workers" in step] == []
