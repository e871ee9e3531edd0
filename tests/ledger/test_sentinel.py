"""A real failover: the primary dies, Sentinel promotes its replica, the connection follows."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.admission import Admitted
from gateway.ledger.connection import RedisConnection
from gateway.ledger.dialing import dial_url, read_servers
from gateway.ledger.ledger import Ledger
from gateway.ledger.redis_at import redis_at
from tests.ledger.builders import PERIOD_START_MS, call_of, terms_of
from tests.ledger.conftest import patient
from tests.ledger.tcp_servers import TcpServer, wait_until


@pytest.fixture
def watched() -> Iterator[tuple[TcpServer, TcpServer, TcpServer]]:
    """Primary, replica, Sentinel."""
    with tempfile.TemporaryDirectory(prefix="cgw-sentinel-", ignore_cleanup_errors=True) as name:
        primary = TcpServer(Path(name) / "primary", "--repl-diskless-sync-delay", "0")
        replica = TcpServer(Path(name) / "replica", "--replicaof", "127.0.0.1", str(primary.port))
        sentinel = TcpServer(
            Path(name) / "sentinel",
            sentinel=f"sentinel monitor credits 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds credits 60000\nsentinel failover-timeout credits 3000",
        )
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        wait_until(lambda: int(sentinel.client.sentinel_master("credits")["num-slaves"]) == 1)  # type: ignore[index]
        yield primary, replica, sentinel
        for server in (primary, replica, sentinel):
            server.stop()


async def test_the_connection_follows_a_failover(watched: tuple[TcpServer, TcpServer, TcpServer]) -> None:
    primary, replica, sentinel = watched
    connection = patient(f"redis+sentinel://127.0.0.1:{sentinel.port}/credits")
    await connection.open()
    ledger, terms = Ledger(connection), terms_of("acc_1")
    assert await ledger.load(terms, {}, 0)
    assert isinstance(await ledger.admit(call_of(terms, "req_1")), Admitted)
    assert primary.client.wait(1, 5000) == 1
    reconnected = asyncio.Event()
    connection.on_reconnect = reconnected.set
    primary.kill()
    # Not before: on a loaded machine a primary that lives may well be silent for so long.
    sentinel.client.sentinel_set("credits", "down-after-milliseconds", 300)
    async with asyncio.timeout(30):
        await reconnected.wait()
    assert replica.client.role()[0] == "master"
    assert await ledger.usage("acc_1", PERIOD_START_MS) == (0, 10_000)
    assert isinstance(await ledger.admit(call_of(terms, "req_2")), Admitted)
    await connection.close()


def test_urls_that_name_several_servers() -> None:
    servers = read_servers("rediss+sentinel://me:pass%20word@one:1,[::1]:2,three/credits/4?ssl_cert_reqs=none", 26379)
    assert servers.addresses == (("one", 1), ("::1", 2), ("three", 26379))
    assert servers.name == "credits"
    wanted = {"username": "me", "password": "pass word", "db": 4, "ssl_cert_reqs": "none"}
    assert {name: servers.options[name] for name in wanted} == wanted
    assert "host" not in servers.options


@pytest.mark.parametrize("url", ["redis+sentinel://one:1", "redis+sentinel://:1/credits", "memcached+sentinel://one/x"])
def test_urls_that_name_nobody_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Redis URL"):
        dial_url(url)


def test_a_url_of_one_server_or_its_sentinels_is_one_connection() -> None:
    assert isinstance(redis_at("redis://localhost"), RedisConnection)
    assert isinstance(redis_at("redis+sentinel://localhost/credits"), RedisConnection)
