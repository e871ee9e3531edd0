"""Reconcile agrees with what is right, under traffic too, and names what is wrong."""

import asyncio

import pytest
from sqlalchemy import insert, update

from gateway.books.books import Books
from gateway.books.tables import (
    ledger_entries,
    usage_daily,
    usage_daily_by_mode,
    usage_hourly,
    usage_hourly_by_mode,
    usage_stretches,
)
from gateway.domain.terms import Terms
from gateway.flows.accounts import Accounts
from gateway.flows.faults import NoSuchThing
from gateway.flows.reconcile import Report, reconcile
from gateway.flows.relay import Relay
from gateway.ledger.connection import RedisConnection
from gateway.ledger.keys import account_prefix, acct_key, period_key
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.flows.calls import calls, capture, hold
from tests.made_up import CREDIT


def _words(report: Report) -> list[tuple[str, int, int]]:
    return [(one.what.partition(" the period")[0], one.expected, one.found) for one in report.differences]


async def test_it_agrees_at_every_step_of_a_call(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, accounts: Accounts
) -> None:
    relay = Relay(outbox=outbox, books=books, consumer="one", block_ms=0)
    assert await reconcile(books, ledger) == Report(1)
    hold_id = await hold(ledger, terms, 1)
    assert (await reconcile(books, ledger)).ok
    await capture(ledger, terms, hold_id)
    assert (await reconcile(books, ledger)).ok
    await relay.drain_once()
    assert (await reconcile(books, ledger)).ok
    await accounts.adjust(terms.account_id, CREDIT, reason="one more")
    assert (await reconcile(books, ledger)).ok
    await accounts.create("Never called", "free")
    assert await reconcile(books, ledger) == Report(2)


async def test_it_agrees_while_traffic_runs(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, redis: RedisConnection
) -> None:
    done = asyncio.Event()

    async def traffic() -> None:
        await asyncio.gather(*(calls(ledger, terms, 100 * lane, 40) for lane in range(1, 4)))
        done.set()

    async def booking() -> None:
        relay = Relay(outbox=outbox, books=books, consumer="one", count=10, block_ms=0)
        booked = True
        while booked or not done.is_set():
            booked = await relay.drain_once() > 0

    async def auditing() -> list[Report]:
        reports = []
        while not done.is_set():
            reports.append(await reconcile(books, ledger))
        return reports

    _, _, reports = await asyncio.gather(traffic(), booking(), auditing())
    assert reports
    assert [report.differences for report in reports if not report.ok] == []
    assert (await reconcile(books, ledger)).ok


async def test_each_kind_of_difference_is_named(
    books: Books, ledger: Ledger, outbox: Outbox, terms: Terms, redis: RedisConnection
) -> None:
    prefix, start_ms = account_prefix(terms.account_id), terms.periods[0].start_ms
    period = period_key(prefix, terms.account_id, start_ms)
    await calls(ledger, terms, 1, 2)
    await Relay(outbox=outbox, books=books, consumer="one", block_ms=0).drain_once()
    for name, amount in (("captured", -1), ("held", 7), ("granted", 5)):
        await redis.execute("HINCRBY", period, name, amount, key=prefix)
    async with books.begin() as conn:
        rollups = (usage_hourly, usage_daily, usage_hourly_by_mode, usage_daily_by_mode, usage_stretches)
        for number, rollup in enumerate(rollups, start=1):
            await conn.execute(update(rollup).values(captured_millicredits=number))
        stray = {"transaction_id": "stray", "leg": 0, "account_id": terms.account_id, "period_start_ms": start_ms}
        sides = {"debit": "allowance", "credit": "used", "amount_millicredits": 3, "booked_at_ms": 0}
        await conn.execute(insert(ledger_entries).values(**stray, **sides))
    booked, granted = 40 * CREDIT, 40_000 * CREDIT
    assert _words(await reconcile(books, ledger, [terms.account_id])) == [
        ("captured in", booked, booked - 1),
        ("granted for", granted, granted + 5),
        ("rolled up for", booked, 1),
        ("rolled up by day for", booked, 2),
        ("rolled up by hour and mode for", booked, 3),
        ("rolled up by day and mode for", booked, 4),
        ("rolled up in the order of settlement for", booked, 5),
        ("ledger of", booked, booked + 3),
        ("held in", 0, 7),
    ]
    await redis.execute("HSET", acct_key(prefix, terms.account_id), "terms", 99, key=prefix)
    assert ("terms version", 1, 99) in _words(await reconcile(books, ledger))


async def test_an_account_that_does_not_exist_is_said(books: Books, ledger: Ledger) -> None:
    with pytest.raises(NoSuchThing, match="acc_none"):
        await reconcile(books, ledger, ["acc_none"])
