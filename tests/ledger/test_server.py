"""The embedded server with real processes that come, go and are killed."""

import asyncio
import contextlib
import errno
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.ledger import server as server_module
from gateway.ledger.file_lock import is_free, try_lock
from gateway.ledger.server import EmbeddedValkey
from gateway.ledger.server_process import EmbeddedServerError, Probe, ServerProcess, find_binary, probe
from tests.conftest import valkey_start_s

USER = Path(__file__).with_name("server_user.py")


class User:
    """Another process that uses the server of a folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(USER), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )

    def says(self) -> dict[str, bool]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process ended"
        answer: dict[str, bool] = json.loads(line)
        return answer

    def leave(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(10)

    def kill(self) -> None:
        self.process.kill()
        self.leave()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder whose name is short enough for a socket, wherever pytest keeps its own."""
    with tempfile.TemporaryDirectory(prefix="cgw-", dir="/tmp") as name:
        yield Path(name)


def connect(path: Path) -> "redis.Redis":
    return redis.Redis(unix_socket_path=str(path), decode_responses=True, retry=Retry(NoBackoff(), 0))


def eventually(condition: object, within_s: float = 30.0) -> float:
    """Seconds until `condition()` was true."""
    begun = time.monotonic()
    assert callable(condition)
    while not condition():
        assert time.monotonic() - begun < within_s, "it did not happen"
        time.sleep(0.005)
    return time.monotonic() - begun


async def test_the_first_starts_a_private_server_that_keeps_everything_and_evicts_nothing(folder: Path) -> None:
    async with EmbeddedValkey(folder) as server:
        assert server.owner
        assert server.socket_path.parent == folder
        assert server.socket_path.stat().st_mode & 0o077 == 0
        with connect(server.socket_path) as client:
            settings = client.config_get("*")
        assert settings["port"] == "0"
        assert settings["appendonly"] == "yes"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["save"] == ""


async def test_a_second_one_joins_and_leaves_the_server_alone(folder: Path) -> None:
    async with EmbeddedValkey(folder) as first:
        async with EmbeddedValkey(folder) as second:
            assert not second.owner
            assert second.socket_path == first.socket_path
        assert probe(first.socket_path) is Probe.READY


async def test_a_clean_stop_leaves_no_server_and_the_data_comes_back(folder: Path) -> None:
    async with EmbeddedValkey(folder) as server:
        with connect(server.socket_path) as client:
            client.set("credits", "5")
    assert probe(server.socket_path) is Probe.ABSENT
    assert is_free(folder / "server.lock")
    async with EmbeddedValkey(folder) as server:
        with connect(server.socket_path) as client:
            assert client.get("credits") == "5"


async def test_a_folder_with_a_long_or_spaced_name_works_too(folder: Path) -> None:
    deep = folder / "a folder" / ("long" * 25)
    async with EmbeddedValkey(deep) as server, EmbeddedValkey(deep) as second:
        assert len(os.fsencode(server.socket_path)) <= 100
        assert second.socket_path == server.socket_path
        assert not second.owner
        assert (deep / "appendonlydir").is_dir()
    server.socket_path.parent.rmdir()


async def test_a_socket_folder_that_others_can_enter_is_refused(folder: Path) -> None:
    deep = folder / ("long" * 25)
    server = EmbeddedValkey(deep)
    server.socket_path.parent.mkdir(mode=0o755)
    try:
        with pytest.raises(EmbeddedServerError, match="not a private folder"):
            await server.__aenter__()
    finally:
        server.socket_path.parent.rmdir()


def test_when_the_owner_is_killed_a_survivor_takes_over_and_no_acknowledged_write_is_lost(folder: Path) -> None:
    first = User(folder)
    assert first.says() == {"owner": True}
    first.says()
    second = User(folder)
    assert second.says() == {"owner": False}
    acknowledged: list[int] = []

    def write_until_it_breaks() -> None:
        with connect(folder / "valkey.sock") as client, contextlib.suppress(redis.ConnectionError):
            while True:
                acknowledged.append(client.rpush("written", len(acknowledged)))

    writer = threading.Thread(target=write_until_it_breaks)
    writer.start()
    eventually(lambda: len(acknowledged) >= 500)
    first.kill()
    begun = time.monotonic()
    writer.join(10)
    assert second.says() == {"owner": True}
    eventually(lambda: probe(folder / "valkey.sock") is Probe.READY and is_alive(folder))
    assert time.monotonic() - begun < max(3, 10 * valkey_start_s()), "a loaded machine takes longer for anything"
    with connect(folder / "valkey.sock") as client:
        assert 0 <= client.llen("written") - len(acknowledged) <= 1, "the last one may have lost its reply only"
    assert second.leave() == 0
    assert is_free(folder / "server.lock")


def is_alive(folder: Path) -> bool:
    """Whether commands are carried out, by a server that stays."""
    try:
        with connect(folder / "valkey.sock") as client:
            return bool(client.set("alive", "1"))
    except redis.ConnectionError:
        return False


def test_when_the_owner_leaves_in_peace_a_survivor_starts_the_server_again(folder: Path) -> None:
    first = User(folder)
    first.says()
    first.says()
    second = User(folder)
    assert second.says() == {"owner": False}
    assert first.leave() == 0
    assert second.says() == {"owner": True}
    eventually(lambda: is_alive(folder))
    second.leave()
    assert is_free(folder / "server.lock")


def test_of_many_who_come_at_once_one_owns_the_server(folder: Path) -> None:
    users = [User(folder) for _ in range(4)]
    assert sorted(user.says()["owner"] for user in users) == [False, False, False, True]
    for user in users:
        user.kill()
    eventually(lambda: is_free(folder / "server.lock"))


async def test_a_server_that_dies_is_started_again_by_its_owner(folder: Path) -> None:
    async with EmbeddedValkey(folder) as server:
        watching = asyncio.create_task(server.watch())
        with connect(server.socket_path) as client:
            client.set("credits", "5")
            pid = client.info("server")["process_id"]
        os.kill(pid, 9)

        def is_back() -> bool:
            try:
                with connect(server.socket_path) as client:
                    return client.get("credits") == "5"
            except redis.ConnectionError:
                return False

        await asyncio.to_thread(eventually, is_back)
        watching.cancel()
    assert is_free(folder / "server.lock")


async def test_every_write_leaves_the_server_before_it_is_acknowledged_and_the_owner_has_the_disk_take_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: queue.SimpleQueue[int] = queue.SimpleQueue()
    monkeypatch.setattr("gateway.ledger.server_process.os.fsync", lambda file: synced.put(os.fstat(file).st_ino))
    monkeypatch.setattr("gateway.ledger.server.SYNC_EVERY_S", 0.01)
    async with EmbeddedValkey(folder) as server:
        (written,) = (folder / "appendonlydir").glob("*.incr.aof")
        watching = asyncio.create_task(server.watch())
        with connect(server.socket_path) as client:
            assert client.config_get("appendfsync") == {"appendfsync": "no"}
            for number in range(200):
                client.rpush("written", f"value {number}")
                assert f"value {number}".encode() in written.read_bytes()[-100:]
        for _ in range(3):
            assert await asyncio.to_thread(synced.get, timeout=5) == written.stat().st_ino
        watching.cancel()


async def test_a_disk_that_takes_nothing_is_told_once_and_syncing_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: queue.SimpleQueue[Path] = queue.SimpleQueue()

    def broken(of: Path) -> None:
        tries.put(of)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("gateway.ledger.server.SYNC_EVERY_S", 0.01)
    monkeypatch.setattr("gateway.ledger.server.sync_file", broken)
    async with EmbeddedValkey(folder) as server:
        watching = asyncio.create_task(server.watch())
        for _ in range(5):
            assert await asyncio.to_thread(tries.get, timeout=5) == server.data_dir
        watching.cancel()
    assert [one.message for one in caplog.records if "cannot be synced" in one.message] == [
        "the append-only file cannot be synced: [Errno 5] Input/output error"
    ]


async def test_a_server_left_behind_by_a_dead_owner_is_adopted_not_doubled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = try_lock(folder / "server.lock")
    assert held is not None
    orphan = ServerProcess.start(folder, folder / "valkey.sock", folder / "server.lock", held_lock=held)
    os.close(held)
    monkeypatch.setattr(server_module, "ORPHAN_PATIENCE_S", 0.0)
    async with EmbeddedValkey(folder) as server:
        assert server.owner
        with connect(server.socket_path) as client:
            assert client.info("server")["process_id"] == orphan.pid
    assert orphan.is_gone()


async def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    (folder / "appendonlydir").write_text("a file where a folder belongs")
    with pytest.raises(EmbeddedServerError, match="did not start"):
        await EmbeddedValkey(folder).__aenter__()
    assert is_free(folder / "owner.lock")


async def test_the_event_loop_runs_on_while_a_server_starts_and_stops(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step waits for a turn of the loop, and in vain where it holds the loop up."""
    loop, turned = asyncio.get_running_loop(), list[bool]()

    def after_a_turn(step: Callable[..., Any]) -> Callable[..., Any]:
        def taken(*args: Any, **named: Any) -> Any:
            turn = threading.Event()
            loop.call_soon_threadsafe(turn.set)
            turned.append(turn.wait(10))
            return step(*args, **named)

        return taken

    monkeypatch.setattr(ServerProcess, "start", staticmethod(after_a_turn(ServerProcess.start)))
    monkeypatch.setattr(ServerProcess, "stop", after_a_turn(ServerProcess.stop))
    monkeypatch.setattr(server_module, "probe", after_a_turn(probe))
    async with EmbeddedValkey(folder):
        assert len(turned) >= 2
        started = len(turned)
    assert len(turned) > started
    assert all(turned)


def test_without_the_wheel_a_server_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "redis-server"
    binary.touch(mode=0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == binary


def test_without_any_server_the_message_says_what_to_install_or_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EmbeddedServerError, match=r"redis\.url"):
        find_binary()


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (b"+PONG\r\n", Probe.READY),
        (b"-LOADING Valkey is loading the dataset in memory\r\n", Probe.LOADING),
        (b"-MISCONF Errors writing to the AOF file: No space left on device\r\n", Probe.READY),
        (b"", Probe.ABSENT),
    ],
)
def test_a_server_that_may_not_write_is_there_and_nobody_waits_for_it(
    tmp_path: Path, reply: bytes, found: Probe
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(reply)

        answering = threading.Thread(target=answer)
        answering.start()
        assert probe(path) is found
        answering.join()
