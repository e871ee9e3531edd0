"""What loops ask every few seconds is answered by indexes, however much was ever paid, raised and sent."""

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


@pytest.mark.parametrize("name", QUESTIONS)
async def test_no_table_is_read_from_end_to_end(sqlite_copy_url: str, name: str) -> None:
    books = await Books.open(sqlite_copy_url)
    asked: list[tuple[str, Any]] = []
    async with books.begin() as conn:

        def note(_conn: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
            asked.append((statement, parameters))

        event.listen(conn.sync_connection, "before_cursor_execute", note)
        await QUESTIONS[name](conn)
        plan: list[str] = []
        for statement, parameters in [each for each in asked if each[0].lstrip().startswith("SELECT")]:
            plan += [row[-1] for row in await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    await books.close()
    assert plan
    scans = [step for step in plan if step.startswith("SCAN ") and not step.endswith(CONSTANT)]
    # A list that was given with the question is no table.
    assert [step for step in scans if " VIRTUAL TABLE " not in step] == []


async def test_usage_over_time_reads_the_accounts_own_rows_on_postgresql(postgres_emptied_url: str) -> None:
    books = await Books.open(postgres_emptied_url)
    asked: list[tuple[str, Any]] = []
    hours = range(made_up.NOON_MS + 1, made_up.NOON_MS + 90 * DAY_MS, HOUR_MS)
    async with books.read() as conn:
        event.listen(conn.sync_connection, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
        await series.usage(conn, "acc_1", hours, (By.PRODUCT, By.KEY), only={By.PROJECT: "prj_1"}, limit=10)
        ((statement, parameters),) = list(asked)
        # As where there are millions of rows, of which it expects the account to want too many.
        await conn.execute(text("SET LOCAL random_page_cost = 10000"))
        plan = [row[0] for row in await conn.exec_driver_sql(f"EXPLAIN {statement}", parameters)]
    await books.close()
    assert any("Index" in step and "usage_events" in step for step in plan)
    assert [step for step in plan if "Seq Scan" in step or "Workers" in step] == []
