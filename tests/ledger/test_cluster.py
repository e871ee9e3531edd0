"""A cluster of three real nodes: calls find their node, while slots move and nodes die too."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from gateway.domain.admission import Admitted
from gateway.ledger.cluster import ClusterConnection
from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.keys import account_prefix
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.redis_at import reader_at, redis_at
from tests.ledger.builders import DELIVERED, PERIOD_START_MS, call_of, terms_of
from tests.ledger.conftest import waited_ms
from tests.ledger.tcp_servers import TcpServer, wait_until
from tests.ports import free_port

SLOTS = 16384
ACCOUNTS = [f"acc_{number}" for number in range(12)]


def state(node: TcpServer) -> str:
    info: str = node.client.execute_command("CLUSTER", "INFO")  # type: ignore[no-untyped-call]
    return info.split("cluster_state:")[1][:2]


def tell(node: TcpServer, *command: str | int) -> str:
    answer: str = node.client.execute_command("CLUSTER", *command)  # type: ignore[no-untyped-call]
    return answer


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[TcpServer]]:
    with tempfile.TemporaryDirectory(prefix="cgw-cluster-", ignore_cleanup_errors=True) as name:
        settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000", "--appendonly", "no")
        buses = [free_port() for _ in range(3)]
        nodes = [
            TcpServer(Path(name) / str(number), *settings, "--cluster-port", str(bus))
            for number, bus in enumerate(buses)
        ]
        for number, node in enumerate(nodes):
            tell(node, "ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
            tell(node, "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            tell(node, "MEET", "127.0.0.1", nodes[0].port, buses[0])
        wait_until(lambda: all(state(node) == "ok" for node in nodes))
        yield nodes
        for node in nodes:
            node.stop()


def connection_to(nodes: list[TcpServer], *, within_ms: int) -> ClusterConnection:
    """The second node is enough to find the others; the first address leads nowhere."""
    url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{nodes[1].port}"
    assert isinstance(redis_at(url), ClusterConnection)
    return ClusterConnection(url, attempt_timeout_ms=within_ms, call_timeout_ms=within_ms)


@pytest.fixture
async def cluster(nodes: list[TcpServer]) -> AsyncIterator[ClusterConnection]:
    for node in nodes:
        node.client.flushall()
    connection = connection_to(nodes, within_ms=10_000)
    await connection.open()
    yield connection
    await connection.close()


@pytest.fixture
async def ledger(cluster: ClusterConnection) -> Ledger:
    ledger = Ledger(cluster)
    for account in ACCOUNTS:
        assert await ledger.load(terms_of(account, granted=10**9), {}, 0)
    return ledger


def slot_of(account: str) -> int:
    return int(key_slot(account_prefix(account).encode()))


def node_of(nodes: list[TcpServer], account: str) -> TcpServer:
    return nodes[min(2, (slot_of(account) * 3 + 2) // SLOTS)]


async def charge(ledger: Ledger, account: str, hold_id: str) -> None:
    assert isinstance(await ledger.admit(call_of(terms_of(account, granted=10**9), hold_id)), Admitted)
    await ledger.capture(hold_id, account, cost_millicredits=1, cap=False, settlement=DELIVERED)


async def test_accounts_live_on_all_nodes_and_are_charged_there(ledger: Ledger, nodes: list[TcpServer]) -> None:
    assert len({node_of(nodes, account).port for account in ACCOUNTS}) == 3
    for account in ACCOUNTS:
        await charge(ledger, account, f"{account}_req")
        assert await ledger.usage(account, PERIOD_START_MS) == (1, 0)
        assert node_of(nodes, account).client.exists(f"{account_prefix(account)}acct:{account}")


async def test_the_outbox_of_all_nodes_is_read_and_trimmed(ledger: Ledger, cluster: ClusterConnection) -> None:
    for account in ACCOUNTS:
        await charge(ledger, account, f"{account}_req")
    outbox = Outbox(cluster, reader=reader_at("redis+cluster://127.0.0.1"))
    assert (await outbox.lag()).records == len(ACCOUNTS)
    records = await outbox.read("c", count=100, block_ms=50)
    assert len(records) == len(ACCOUNTS)
    await outbox.ack(records)
    assert (await outbox.lag()).records == 0
    assert await outbox.read("c", count=100, block_ms=50) == []


async def test_no_call_is_lost_or_doubled_while_a_slot_moves(ledger: Ledger, nodes: list[TcpServer]) -> None:
    account = ACCOUNTS[0]
    source, slot = node_of(nodes, account), slot_of(account)
    target = next(node for node in nodes if node is not source)
    charged, moved = 0, asyncio.Event()

    async def charging() -> None:
        nonlocal charged
        while not moved.is_set():
            await charge(ledger, account, f"{account}_req_{charged}")
            charged += 1
            await asyncio.sleep(0)

    def move() -> None:
        tell(target, "SETSLOT", slot, "IMPORTING", tell(source, "MYID"))
        tell(source, "SETSLOT", slot, "MIGRATING", tell(target, "MYID"))
        # Until the keys have followed, a call that makes a new one is told to try again.
        keys = tell(source, "GETKEYSINSLOT", slot, 100_000)
        source.client.execute_command(  # type: ignore[no-untyped-call]
            "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys
        )
        for node in (target, source):
            tell(node, "SETSLOT", slot, "NODE", tell(target, "MYID"))

    async def charging_goes_on() -> None:
        before = charged
        while charged < before + 5 and not task.done():  # noqa: ASYNC110 - the loop turns for the calls
            await asyncio.sleep(0)

    task = asyncio.create_task(charging())
    await charging_goes_on()
    await asyncio.to_thread(move)
    await charging_goes_on()
    moved.set()
    await task
    assert await ledger.usage(account, PERIOD_START_MS) == (charged, 0)
    assert target.client.exists(f"{account_prefix(account)}acct:{account}")
    # Back, for the other tests.
    source, target = target, source
    await asyncio.to_thread(move)
    assert await ledger.usage(account, PERIOD_START_MS) == (charged, 0)


@pytest.mark.usefixtures("ledger")
async def test_a_node_that_is_away_takes_only_its_own_accounts_with_it(nodes: list[TcpServer]) -> None:
    frozen = node_of(nodes, ACCOUNTS[0])
    others = [account for account in ACCOUNTS if node_of(nodes, account) is not frozen]
    impatient = connection_to(nodes, within_ms=1000)  # and still patient with a loaded machine, for the others
    await impatient.open()
    frozen.freeze()
    try:
        assert await waited_ms(charge(Ledger(impatient), ACCOUNTS[0], "req_unlucky")) < 1100
        for account in others:
            await charge(Ledger(impatient), account, f"{account}_req")
    finally:
        frozen.thaw()
        await impatient.close()


async def test_a_cluster_that_is_not_there_is_unavailable() -> None:
    connection = ClusterConnection("redis+cluster://127.0.0.1:1")
    await connection.open()
    assert connection.away
    with pytest.raises(StoreUnavailable):
        await connection.execute("GET", "k", key="k")
    with pytest.raises(StoreUnavailable):
        await Ledger(connection).ping()
    await connection.close()


async def test_every_node_s_settings_are_checked(ledger: Ledger) -> None:
    assert await ledger.settings_check() == [
        "the append-only file is off: a restart loses holds and unbooked usage; set appendonly yes"
    ]
