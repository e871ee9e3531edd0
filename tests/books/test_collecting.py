"""What the collector asks every few seconds is answered by indexes, however many invoices were ever paid."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import invoice_collections, payment_attempts, plan_change_payments, usage
from gateway.books.books import Books

Question = Callable[[AsyncConnection], Awaitable[object]]
QUESTIONS: dict[str, Question] = {
    "due": lambda conn: invoice_collections.due(conn, "stripe", at_ms=1, least_cents=50),
    "settled meanwhile": lambda conn: invoice_collections.settled_meanwhile(conn, limit=10),
    "undecided": lambda conn: payment_attempts.to_look_at(conn, "stripe", at_ms=1, limit=10),
    "of an invoice": lambda conn: payment_attempts.holding(conn, "inv_1"),
    "of a change": lambda conn: payment_attempts.of_change(conn, "pcp_1"),
    "being paid": lambda conn: plan_change_payments.being_paid(conn, "acc_1"),
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
        statement, parameters = asked[0]
        plan = [row[-1] for row in await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    await books.close()
    assert plan
    assert [step for step in plan if step.startswith("SCAN ") and step != "SCAN CONSTANT ROW"] == []
