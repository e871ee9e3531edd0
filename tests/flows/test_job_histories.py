"""Every job is charged exactly once what its upstream reports, whatever happens to it and to those who look.

Ten thousand made-up histories. JOB_HISTORIES=100000 lives more of them, JOB_HISTORIES_SEED=… others.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from gateway.books.books import Books
from gateway.flows.reconcile import reconcile
from gateway.flows.relay import Relay
from gateway.ledger.connection import RedisConnection
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from tests.flows.job_history import Lane, Lived, Tally, made_up_history, open_lanes
from tests.made_up import Clock

HISTORIES = int(os.environ.get("JOB_HISTORIES", "10000"))
SEED = int(os.environ.get("JOB_HISTORIES_SEED", "1"))
LANES = 32


@pytest.fixture
async def lanes(sqlite_copy_url: str, redis: RedisConnection, clock: Clock) -> AsyncIterator[list[Lane]]:
    books = await Books.open(sqlite_copy_url)
    yield await open_lanes(books, redis, clock, LANES)
    await books.close()


async def test_every_job_is_charged_once_whatever_happens(lanes: list[Lane], redis: RedisConnection) -> None:
    tally, numbers = Tally(), iter(range(HISTORIES))

    async def live(lane: Lane, histories: Iterator[int]) -> None:
        for number in histories:
            history = made_up_history(SEED, number)
            if (wrong := await Lived(lane, history, tally).live()) is not None:
                pytest.fail(f"history {number} of seed {SEED}: {wrong}\n{history}")

    with capture_logs():
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(live(lane, numbers))
    books, ledger = lanes[0].books, Ledger(redis)
    relay = Relay(outbox=Outbox(redis), books=books, consumer="one", block_ms=0, shards=[lane.shard for lane in lanes])
    while await relay.drain_once():
        pass
    for lane in lanes:
        counters = await ledger.counters(lane.terms.account_id)
        assert counters.open_holds == ()
        assert all(period.held_millicredits == 0 for period in counters.periods.values())
    report = await reconcile(books, ledger, [lane.terms.account_id for lane in lanes])
    assert report.ok, report.differences
    print(tally.faults, tally.acts, tally.ends, tally.alerts, sep="\n")
    assert len(tally.faults) == 5, "every kind of fault was met"
    assert not tally.mismatches
