"""The outbox: read once, taken over from the dead, trimmed only when booked."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from gateway.domain.usage import UsageEvent
from gateway.ledger.connection import RedisConnection
from gateway.ledger.keys import account_prefix, outbox_key, shard_of
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox, OutboxLag, OutboxRecord
from tests.ledger.builders import DELIVERED, GIVEN_BACK, call_of, terms_of
from tests.ledger.conftest import patient

# Three accounts in three shards.
ACCOUNTS = ("acc_1", "acc_2", "acc_3")


@pytest.fixture(autouse=True)
async def accounts(ledger: Ledger) -> None:
    for account in ACCOUNTS:
        assert await ledger.load(terms_of(account, granted=10**9), {}, 0)


@pytest.fixture
async def waiting(redis_url: str, connection: RedisConnection) -> AsyncIterator[Outbox]:
    """An outbox with a connection of its own to wait on."""
    reader = patient(redis_url)
    await reader.open()
    yield Outbox(connection, reader=reader)
    await reader.close()


async def charge(ledger: Ledger, account: str, first: int, last: int) -> set[str]:
    """One captured call for each number. Returns the ids of their events."""
    for number in range(first, last + 1):
        await ledger.admit(call_of(terms_of(account, granted=10**9), f"{account}_req_{number}"))
        await ledger.capture(
            f"{account}_req_{number}", account, cost_millicredits=number, cap=False, settlement=DELIVERED
        )
    return {f"{account}_req_{number}.captured" for number in range(first, last + 1)}


def ids(records: list[OutboxRecord]) -> list[str]:
    return [record.event.id for record in records if isinstance(record.event, UsageEvent)]


@pytest.mark.parametrize("waits", [True, False])
async def test_every_record_of_every_shard_is_read_once(
    ledger: Ledger, outbox: Outbox, waiting: Outbox, waits: bool
) -> None:
    if waits:
        outbox = waiting
    expected: set[str] = set()
    for account in ACCOUNTS:
        expected |= await charge(ledger, account, 1, 30)
    read: list[str] = []
    while records := await outbox.read("c", count=20, block_ms=1):
        assert len(records) <= 20 + outbox.shards
        read += ids(records)
        await outbox.ack(records)
    assert sorted(read) == sorted(expected)
    assert await outbox.lag() == OutboxLag(0, 0)


async def test_one_busy_shard_is_read_as_fast_as_many(ledger: Ledger, outbox: Outbox) -> None:
    await charge(ledger, "acc_1", 1, 100)
    assert len(await outbox.read("c", count=100, block_ms=0)) == 100


async def test_a_reader_waits_for_what_comes(ledger: Ledger, waiting: Outbox) -> None:
    assert await waiting.read("c", count=10, block_ms=1) == []
    reading = asyncio.create_task(waiting.read("c", count=10, block_ms=5000))
    expected = await charge(ledger, "acc_2", 1, 1)
    assert set(ids(await reading)) == expected


async def test_records_of_a_shard_come_in_the_order_of_their_endings(ledger: Ledger, outbox: Outbox) -> None:
    await charge(ledger, "acc_1", 1, 50)
    records = await outbox.read("c", count=100, block_ms=0)
    assert [record.event.seq for record in records if record.event] == list(range(1, 51))


async def test_two_consumers_share_the_records(ledger: Ledger, redis_url: str) -> None:
    expected = await charge(ledger, "acc_1", 1, 60) | await charge(ledger, "acc_2", 1, 60)
    connections = [patient(redis_url) for _ in range(2)]
    for connection in connections:
        await connection.open()
    read: dict[str, list[str]] = {"one": [], "two": []}

    async def consume(name: str, outbox: Outbox) -> None:
        while records := await outbox.read(name, count=8, block_ms=0):
            read[name] += ids(records)
            await outbox.ack(records)

    pairs = zip(read, connections, strict=True)
    await asyncio.gather(*(consume(name, Outbox(connection)) for name, connection in pairs))
    assert sorted(read["one"] + read["two"]) == sorted(expected)
    for connection in connections:
        await connection.close()


async def test_a_dead_consumer_s_records_are_taken_over_within_three_seconds(
    ledger: Ledger, redis_url: str, outbox: Outbox
) -> None:
    expected = await charge(ledger, "acc_1", 1, 5) | await charge(ledger, "acc_3", 1, 5)
    doomed = patient(redis_url)
    await doomed.open()
    loop = asyncio.get_running_loop()
    read_at = loop.time()
    assert set(ids(await Outbox(doomed).read("dead", count=100, block_ms=0))) == expected
    await doomed.close()
    taken, looks = set[str](), 0
    while taken != expected:
        records = await outbox.read("alive", count=4, block_ms=100)
        taken |= set(ids(records))
        await outbox.ack(records)
        looks += 1
        assert looks <= 30, "of a tenth of a second each, which a busy machine makes longer and not more"
    assert loop.time() - read_at > 1.9, "a consumer that is merely slow keeps its records"
    assert await outbox.lag() == OutboxLag(0, 0)


async def test_nothing_is_trimmed_that_is_not_acknowledged(
    ledger: Ledger, outbox: Outbox, raw: "redis.asyncio.Redis"
) -> None:
    await charge(ledger, "acc_1", 1, 6)
    key = outbox_key(account_prefix("acc_1"))
    records = await outbox.read("c", count=4, block_ms=0)
    assert len(records) == 4
    assert await outbox.ack(records[1:]) == 3
    assert await raw.xlen(key) == 6, "the first is not acknowledged"
    assert await outbox.ack(records[:1]) == 1
    assert await raw.xlen(key) == 2, "two were never read"
    assert await outbox.ack(records) == 0
    assert set(ids(await outbox.read("c", count=10, block_ms=0))) == {"acc_1_req_5.captured", "acc_1_req_6.captured"}


async def test_what_another_group_has_not_read_stays(
    ledger: Ledger, outbox: Outbox, raw: "redis.asyncio.Redis"
) -> None:
    key = outbox_key(account_prefix("acc_1"))
    await raw.xgroup_create(key, "another sink", id="0", mkstream=True)
    await charge(ledger, "acc_1", 1, 3)
    await outbox.ack(await outbox.read("c", count=10, block_ms=0))
    assert await raw.xlen(key) == 3
    await raw.xreadgroup("another sink", "s", {key: ">"}, count=2)
    await charge(ledger, "acc_1", 4, 4)
    await outbox.ack(await outbox.read("c", count=10, block_ms=0))
    assert await raw.xlen(key) == 4


async def test_lag_counts_what_is_not_acknowledged(ledger: Ledger, outbox: Outbox) -> None:
    assert await outbox.lag() == OutboxLag(0, 0)
    await charge(ledger, "acc_1", 1, 3)
    await charge(ledger, "acc_2", 1, 2)
    assert (await outbox.lag()).records == 5
    records = await outbox.read("c", count=10, block_ms=0)
    assert (await outbox.lag()).records == 5
    await asyncio.sleep(0.005)
    await outbox.ack(records[:-1])
    lag = await outbox.lag()
    assert lag.records == 1
    assert lag.oldest_ms >= 5


async def test_a_record_that_cannot_be_read_is_put_aside_and_the_rest_flows(
    ledger: Ledger, outbox: Outbox, raw: "redis.asyncio.Redis"
) -> None:
    await charge(ledger, "acc_1", 1, 1)
    key = outbox_key(account_prefix("acc_1"))
    await raw.xadd(key, {"kind": "usage", "facts": "{"})
    await charge(ledger, "acc_1", 2, 2)
    good, bad, also_good = await outbox.read("c", count=10, block_ms=0)
    assert good.event is not None
    assert also_good.event is not None
    assert (bad.event, bad.shard, bad.raw[b"kind"]) == (None, shard_of("acc_1"), b"usage")
    assert "facts: no JSON" in bad.reason
    await outbox.ack([good, bad, also_good])
    assert await raw.xlen(key) == 0


async def test_settled_holds_are_remembered_until_they_are_booked(
    ledger: Ledger, outbox: Outbox, raw: "redis.asyncio.Redis"
) -> None:
    await charge(ledger, "acc_1", 1, 1)
    terms = terms_of("acc_1", granted=10**9)
    await ledger.admit(call_of(terms, "req_job"))
    await ledger.attach_job(
        "req_job", "acc_1", upstream="parse", job_kind="k", job_id="j", limit_ms=9000, first_look_ms=9000
    )
    await ledger.admit(call_of(terms, "req_expired", ttl_ms=0))
    await ledger.expire(shard_of("acc_1"))
    await ledger.admit(call_of(terms, "req_open"))
    prefix = account_prefix("acc_1")

    async def life_ms(hold_id: str) -> int:
        return int(await raw.pttl(f"{prefix}hold:{hold_id}"))

    holds = ("acc_1_req_1", "req_job", "req_expired", "req_open")
    assert [await life_ms(hold) for hold in holds] == [-1, -1, -1, -1]
    # Its job event is booked, but the job's hold is open yet.
    await outbox.ack(await outbox.read("c", count=10, block_ms=0))
    assert 0 < await life_ms("acc_1_req_1") <= 60_000
    assert 60_000 < await life_ms("req_expired") <= 3_600_000
    assert [await life_ms("req_job"), await life_ms("req_open")] == [-1, -1]
    await ledger.release("req_job", "acc_1", settlement=GIVEN_BACK)
    await outbox.ack(await outbox.read("c", count=10, block_ms=0))
    assert 60_000 < await life_ms("req_job") <= 3_600_000


async def test_an_account_s_unbooked_events_are_its_own(ledger: Ledger, outbox: Outbox) -> None:
    neighbour = "acc_in_the_same_shard_8"
    assert shard_of(neighbour) == shard_of("acc_1")
    assert await ledger.load(terms_of(neighbour, granted=10**9), {}, 0)
    await charge(ledger, "acc_1", 1, 2)
    await charge(ledger, neighbour, 1, 2)
    events = await outbox.unbooked("acc_1")
    assert [(event.id, event.captured_millicredits) for event in events] == [
        ("acc_1_req_1.captured", 1),
        ("acc_1_req_2.captured", 2),
    ]
    await outbox.ack(await outbox.read("c", count=10, block_ms=0))
    assert await outbox.unbooked("acc_1") == []


async def test_a_long_outbox_is_read_page_by_page(ledger: Ledger, outbox: Outbox, raw: "redis.asyncio.Redis") -> None:
    await charge(ledger, "acc_1", 1, 1)
    key = outbox_key(account_prefix("acc_1"))
    pipe = raw.pipeline(transaction=False)
    for _ in range(2500):
        pipe.xadd(key, {"kind": "usage", "account": "acc_other"})
    await pipe.execute()
    await charge(ledger, "acc_1", 2, 2)
    assert [event.captured_millicredits for event in await outbox.unbooked("acc_1")] == [1, 2]
    assert len((await ledger.counters("acc_1")).unbooked) == 2
