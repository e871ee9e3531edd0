"""The shared connection: every reply to its caller, no call longer than its time, and back by itself."""

import asyncio
import hashlib
import itertools
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
import redis.asyncio
import uvloop

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.terms import Terms
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import InvariantBroken, StoreUnavailable
from gateway.ledger.file_lock import try_lock
from gateway.ledger.ledger import Ledger
from gateway.ledger.scripts import Script
from gateway.ledger.server_process import Probe, ServerProcess, probe
from gateway.ledger.settings_check import settings_problems
from tests.ledger.builders import DELIVERED, PERIOD_START_MS, call_of, fresh_id, terms_of
from tests.ledger.conftest import patient, waited_ms


class Server:
    """A server of the test's own, to freeze, kill and start again on the same files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.process: ServerProcess | None = None

    async def start(self) -> None:
        lock = self.folder / "server.lock"
        held = try_lock(lock)
        assert held is not None
        self.process = ServerProcess.start(self.folder, self.socket, lock, held_lock=held)
        os.close(held)
        await until(lambda: probe(self.socket) is Probe.READY)

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="cgw-", dir="/tmp", ignore_cleanup_errors=True) as name:
        server = Server(Path(name))
        await server.start()
        yield server
        assert server.process is not None
        if not server.process.is_gone():
            server.thaw()
            server.process.stop()


@pytest.fixture
async def own(server: Server) -> AsyncIterator[RedisConnection]:
    connection = patient(server.url)
    await connection.open()
    yield connection
    await connection.close()


@pytest.fixture
async def in_service(server: Server) -> AsyncIterator[RedisConnection]:
    """One with the time limits of the gateway, for what happens when they are over."""
    connection = RedisConnection(server.url)
    await connection.open()
    yield connection
    await connection.close()


def script(text: str) -> Script:
    return Script("test", text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324 - the name Redis gives it


ECHO = script("#!lua\nreturn ARGV[1]")


async def until(true: Callable[[], bool], within_s: float = 30) -> None:
    """Looks at what other processes do, and what nobody announces."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def until_back(connection: RedisConnection) -> bytes:
    """Its first answer."""
    while True:
        await until(lambda: not connection.away)
        with suppress(StoreUnavailable):
            answer: bytes = await connection.evalsha(ECHO, [], ["back"])
            return answer


async def answers(connection: RedisConnection) -> bool:
    try:
        await connection.execute("PING", key="")
    except StoreUnavailable:
        return False
    return True


async def test_each_of_many_callers_gets_its_own_reply(connection: RedisConnection) -> None:
    replies = await asyncio.gather(*(connection.evalsha(ECHO, [], [number]) for number in range(500)))
    assert replies == [str(number).encode() for number in range(500)]


async def test_replies_of_any_size_and_kind_come_whole(connection: RedisConnection) -> None:
    large = os.urandom(3_000_000)
    assert await connection.execute("SET", "k", large, key="k") == b"OK"
    assert await connection.execute("GET", "k", key="k") == large
    assert await connection.execute("GET", "absent", key="absent") is None
    assert await connection.evalsha(script("#!lua\nreturn {1, {'a', false}, {}}"), [], []) == [1, [b"a", None], []]


async def test_a_cancelled_caller_s_reply_goes_to_nobody_else(connection: RedisConnection) -> None:
    wrong = 0
    for number in range(200):
        task = asyncio.create_task(connection.evalsha(ECHO, [], [f"cancelled {number}"]))
        # One turn: it is sent. More: its reply may be on the way.
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
        wrong += await connection.evalsha(ECHO, [], [number]) != str(number).encode()
        await asyncio.gather(task, return_exceptions=True)
    assert wrong == 0
    assert connection.in_flight == 0


async def test_scripts_are_sent_again_where_redis_has_forgotten_them(
    connection: RedisConnection, raw: "redis.asyncio.Redis"
) -> None:
    assert await connection.evalsha(ECHO, [], ["a"]) == b"a"
    await raw.script_flush()
    replies = await asyncio.gather(*(connection.evalsha(ECHO, [], [number]) for number in range(20)))
    assert replies == [str(number).encode() for number in range(20)]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (f"{word} and more words", word.lower())
        for word in (
            "LOADING",
            "BUSY",
            "OOM",
            "MISCONF",
            "NOREPLICAS",
            "CLUSTERDOWN",
            "MASTERDOWN",
            "TRYAGAIN",
            "NOPERM",
        )
    ],
)
async def test_a_redis_that_will_not_is_unavailable(connection: RedisConnection, error: str, reason: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await connection.evalsha(script(f"#!lua\nreturn redis.error_reply('{error}')"), [], [])
    assert (caught.value.reason, caught.value.outcome_unknown) == (reason, False)


async def test_a_script_that_fails_is_our_mistake(connection: RedisConnection) -> None:
    with pytest.raises(InvariantBroken, match="test: "):
        await connection.evalsha(script("#!lua\nerror('no')"), [], [])
    await connection.execute("SET", "text", "x", key="text")
    with pytest.raises(InvariantBroken, match="HSET: WRONGTYPE"):
        await connection.execute("HSET", "text", "a", "b", key="text")


async def test_a_demoted_primary_is_left(connection: RedisConnection) -> None:
    """After a failover the address leads elsewhere: it is dialled again."""
    reconnected = asyncio.Event()
    connection.on_reconnect = reconnected.set
    with pytest.raises(StoreUnavailable, match="readonly"):
        await connection.evalsha(script("#!lua\nreturn redis.error_reply('READONLY it is a replica')"), [], [])
    async with asyncio.timeout(30):
        await reconnected.wait()
    assert await connection.evalsha(ECHO, [], ["a"]) == b"a"


async def test_out_of_memory_refuses_admissions_and_takes_settlements(own: RedisConnection, server: Server) -> None:
    ledger, terms = Ledger(own), terms_of("acc_1")
    assert await ledger.load(terms, {}, 0)
    await ledger.admit(call_of(terms, "req_1"))
    await own.execute("CONFIG", "SET", "maxmemory", "1", key="")
    with pytest.raises(StoreUnavailable, match="oom"):
        await ledger.admit(call_of(terms, "req_2"))
    settled = await ledger.capture("req_1", "acc_1", cost_millicredits=None, cap=False, settlement=DELIVERED)
    assert settled.captured_millicredits == 10_000
    assert (await ledger.counters("acc_1")).periods[PERIOD_START_MS].held_millicredits == 0


@pytest.fixture
async def full(own: RedisConnection, server: Server) -> AsyncIterator[Server]:
    """As with a full disk: it refuses PING and every write."""
    (server.folder / "dump.rdb").mkdir()
    await own.execute("CONFIG", "SET", "save", "3600 1000000", key="")
    await own.execute("BGSAVE", key="")
    async with asyncio.timeout(30):
        while await answers(own):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)
    yield server
    await own.execute("CONFIG", "SET", "save", "", key="")


async def test_a_redis_that_may_not_write_is_reached_and_says_so_itself(full: Server) -> None:
    late = patient(full.url)
    await late.open()
    assert late.away == ""
    with pytest.raises(StoreUnavailable, match="misconf"):
        await late.execute("SET", "a", "b", key="a")
    assert await late.execute("GET", "a", key="a") is None
    assert await late.on_every_node("TIME")
    await late.close()


async def test_the_number_in_flight_is_bounded(redis_url: str) -> None:
    connection = RedisConnection(redis_url, max_in_flight=10, attempt_timeout_ms=10_000, call_timeout_ms=10_000)
    await connection.open()
    replies = await asyncio.gather(
        *(connection.evalsha(ECHO, [], [number]) for number in range(30)), return_exceptions=True
    )
    refused = [reply for reply in replies if isinstance(reply, StoreUnavailable)]
    assert len(refused) == 20
    assert {(fault.reason, fault.outcome_unknown) for fault in refused} == {("too_many_in_flight", False)}
    await connection.close()


async def test_of_many_simultaneous_calls_as_many_are_admitted_as_there_are_credits(redis_url: str) -> None:
    """400 calls of 1 credit against 50, over two connections."""
    connections = [patient(redis_url) for _ in range(2)]
    for connection in connections:
        await connection.open()
    ledgers = [Ledger(connection) for connection in connections]
    terms = terms_of("acc_1", granted=50_000)
    assert await ledgers[0].load(terms, {}, 0)
    answers = await asyncio.gather(
        *(
            ledgers[number % 2].admit(call_of(terms, quote_millicredits=1000, least_millicredits=1000))
            for number in range(400)
        )
    )
    assert sum(isinstance(answer, Admitted) for answer in answers) == 50
    assert {answer.code for answer in answers if isinstance(answer, Refused)} == {RefusalCode.CREDITS_HELD}
    for connection in connections:
        await connection.close()


@asynccontextmanager
async def impatient(redis_url: str) -> AsyncIterator[RedisConnection]:
    """One whose calls end sooner than `stand_still`, and not so soon that a Redis on a loaded machine is too late."""
    connection = RedisConnection(redis_url, attempt_timeout_ms=1000, call_timeout_ms=1000)
    await connection.open()
    yield connection
    await connection.close()


def stand_still() -> None:
    time.sleep(1.1)


async def test_a_process_that_stood_still_itself_does_not_blame_redis(redis_url: str) -> None:
    async with impatient(redis_url) as connection:
        asked = asyncio.gather(*(connection.evalsha(ECHO, [], [number]) for number in range(5)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stand_still()
        assert await asked == [b"0", b"1", b"2", b"3", b"4"]
        assert not connection.away


async def test_nor_does_one_that_was_too_busy_to_send(redis_url: str) -> None:
    async def be_busy() -> None:
        stand_still()  # as a burst of calls holds the loop up between asking and writing

    async with impatient(redis_url) as connection:
        asked = asyncio.gather(*(connection.evalsha(ECHO, [], [number]) for number in range(5)), be_busy())
        assert await asked == [b"0", b"1", b"2", b"3", b"4", None]
        assert not connection.away


def test_nor_does_one_that_runs_on_uvloop(redis_url: str) -> None:
    async def both() -> None:
        await test_a_process_that_stood_still_itself_does_not_blame_redis(redis_url)
        await test_nor_does_one_that_was_too_busy_to_send(redis_url)

    uvloop.run(both())


class TestAway:
    async def loaded(self, ledger: Ledger) -> Terms:
        terms = terms_of("acc_1", granted=10**9)
        assert await ledger.load(terms, {}, 0)
        return terms

    async def test_a_frozen_redis_fails_calls_within_a_quarter_of_a_second_and_then_at_once(
        self, in_service: RedisConnection, server: Server
    ) -> None:
        assert await until_back(in_service) == b"back"
        server.freeze()
        took_ms = await asyncio.gather(*(waited_ms(in_service.evalsha(ECHO, [], ["a"])) for _ in range(5)))
        assert max(took_ms) < 250
        assert in_service.away == "timeout"
        assert await waited_ms(in_service.evalsha(ECHO, [], ["a"])) == 0
        server.thaw()
        assert await until_back(in_service) == b"back"

    async def test_a_call_that_timed_out_and_is_asked_again_is_counted_once(
        self, own: RedisConnection, in_service: RedisConnection, server: Server
    ) -> None:
        ledger, hasty = Ledger(own), Ledger(in_service)
        terms = await self.loaded(ledger)
        calls = [call_of(terms, f"req_{number}") for number in range(20)]
        for call in calls[:10]:
            await ledger.admit(call)
        server.freeze()
        unknown = await asyncio.gather(
            *(hasty.admit(call) for call in calls),
            *(
                hasty.capture(call.hold_id, "acc_1", cost_millicredits=7, cap=False, settlement=DELIVERED)
                for call in calls[:10]
            ),
            return_exceptions=True,
        )
        assert all(isinstance(fault, StoreUnavailable) and fault.outcome_unknown for fault in unknown)
        server.thaw()
        await until_back(in_service)
        for call in calls[10:]:
            assert isinstance(await ledger.admit(call), Admitted)
        for call in calls:
            await ledger.capture(call.hold_id, "acc_1", cost_millicredits=7, cap=False, settlement=DELIVERED)
        counters = await ledger.counters("acc_1")
        assert counters.periods[PERIOD_START_MS].captured_millicredits == 20 * 7
        assert counters.periods[PERIOD_START_MS].held_millicredits == 0
        assert counters.seq == len(counters.unbooked) == 20

    async def test_a_redis_that_stays_frozen_is_dialled_anew(self, in_service: RedisConnection, server: Server) -> None:
        assert await until_back(in_service) == b"back"
        reconnected = asyncio.Event()
        in_service.on_reconnect = reconnected.set
        server.freeze()
        await waited_ms(in_service.evalsha(ECHO, [], ["a"]))
        await until(lambda: not in_service.in_flight)
        assert in_service.away
        assert await waited_ms(in_service.evalsha(ECHO, [], ["a"])) == 0
        server.thaw()
        async with asyncio.timeout(30):
            await reconnected.wait()
        assert await until_back(in_service) == b"back"

    async def test_what_was_acknowledged_survives_a_kill(self, own: RedisConnection, server: Server) -> None:
        """Scripts are gone after the restart, the connection is made again, and nobody is charged twice."""
        ledger = Ledger(own)
        terms = await self.loaded(ledger)
        acknowledged: set[str] = set()

        async def charge_until_killed(client: int) -> None:
            for number in itertools.count():
                hold_id = f"req_{client}_{number}"
                await ledger.admit(call_of(terms, hold_id))
                await ledger.capture(hold_id, "acc_1", cost_millicredits=1, cap=False, settlement=DELIVERED)
                acknowledged.add(f"{hold_id}.captured")
                if len(acknowledged) == 60:
                    assert server.process is not None
                    os.kill(server.process.pid, signal.SIGKILL)

        async with asyncio.timeout(30):
            ended = await asyncio.gather(*map(charge_until_killed, range(20)), return_exceptions=True)
        assert {type(fault) for fault in ended} == {StoreUnavailable}
        assert len(acknowledged) >= 60
        reconnected = asyncio.Event()
        own.on_reconnect = reconnected.set
        assert server.process is not None
        await until(server.process.is_gone)
        assert await waited_ms(own.evalsha(ECHO, [], ["a"])) < 250
        await server.start()
        async with asyncio.timeout(30):
            await reconnected.wait()
        counters = await ledger.counters("acc_1")
        assert acknowledged <= set(counters.unbooked)
        assert counters.periods[PERIOD_START_MS].captured_millicredits == len(counters.unbooked)

    async def test_a_connection_that_breaks_while_redis_lives_costs_no_call(
        self, connection: RedisConnection, raw: "redis.asyncio.Redis"
    ) -> None:
        ledger = Ledger(connection)
        terms = await self.loaded(ledger)
        admitted = 0
        for _ in range(20):
            calls = [asyncio.create_task(ledger.admit(call_of(terms, fresh_id("req")))) for _ in range(10)]
            await asyncio.sleep(0)
            await raw.client_kill_filter(_type="normal", skipme=True)
            admitted += sum(isinstance(answer, Admitted) for answer in await asyncio.gather(*calls))
        assert admitted == 200
        assert len((await ledger.counters("acc_1")).open_holds) == 200

    async def test_a_hold_whose_reply_was_lost_is_made_once(self, own: RedisConnection, server: Server) -> None:
        """Redis does what it is asked, and the connection breaks before the answer: of every second command."""
        terms = await self.loaded(Ledger(own))
        async with cut_replies(server) as (socket, cuts):
            through = RedisConnection(f"unix://{socket}", attempt_timeout_ms=10_000, call_timeout_ms=10_000)
            await through.open()
            for number in range(20):
                answer = await Ledger(through).admit(call_of(terms, f"req_{number}"))
                assert isinstance(answer, Admitted)
            await through.close()
        assert len(cuts) >= 10
        counters = await Ledger(own).counters("acc_1")
        assert (len(counters.open_holds), counters.seq) == (20, 0)

    async def test_a_redis_that_is_not_there_is_waited_for_in_the_background(self) -> None:
        with tempfile.TemporaryDirectory(prefix="cgw-", dir="/tmp", ignore_cleanup_errors=True) as name:
            server = Server(Path(name))
            connection = patient(server.url)
            await connection.open()
            assert connection.away.startswith("unreachable")
            assert await waited_ms(connection.evalsha(ECHO, [], ["a"])) == 0
            await server.start()
            assert await until_back(connection) == b"back"
            await connection.close()
            assert server.process is not None
            server.process.stop()

    async def test_a_long_wait_on_a_frozen_redis_ends_too(self, own: RedisConnection, server: Server) -> None:
        assert await answers(own)
        server.freeze()
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        assert await waited_ms(own.execute("BLPOP", "nothing", 0, key="nothing", deadline_ms=300)) < 400
        assert loop.time() - started_at > 0.29
        assert own.away == "timeout"
        server.thaw()
        await until_back(own)

    async def test_closing_fails_what_waits(self, own: RedisConnection, server: Server) -> None:
        assert await answers(own)
        server.freeze()
        waiting = asyncio.create_task(own.evalsha(ECHO, [], ["a"]))
        await asyncio.sleep(0)
        await own.close()
        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable, match="closed"):
            await own.evalsha(ECHO, [], ["a"])


@asynccontextmanager
async def cut_replies(server: Server) -> AsyncIterator[tuple[Path, list[int]]]:
    """A socket in front of the server that lets one answer to a script through and breaks off at the next."""
    scripts, cuts = count(), list[int]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(server.socket))
        while asked := await reader.read(65_536):
            to_server.write(asked)
            answer = await from_server.read(65_536)
            if b"EVALSHA" in asked and (number := next(scripts)) % 2 == 0:
                cuts.append(number)
                break
            writer.write(answer)
        writer.close()
        to_server.close()

    path = server.folder / "cut.sock"
    async with await asyncio.start_unix_server(carry, path):
        yield path, cuts


class TestUrls:
    @pytest.mark.parametrize("url", ["", "http://localhost", "localhost:6379"])
    def test_a_url_of_another_kind_is_refused_at_once(self, url: str) -> None:
        with pytest.raises(ValueError, match="Redis URL"):
            RedisConnection(url)

    async def test_a_wrong_password_is_named(self, own: RedisConnection, server: Server) -> None:
        await own.execute("CONFIG", "SET", "requirepass", "secret", key="")
        for url, away in (
            (f"unix://:wrong@{server.socket}", "authentication"),
            (f"unix://:secret@{server.socket}", ""),
        ):
            connection = patient(url)
            await connection.open()
            assert connection.away == away
            await connection.close()


async def test_the_embedded_server_s_settings_are_right_and_others_are_named(
    own: RedisConnection, server: Server
) -> None:
    ledger = Ledger(own)
    assert await ledger.settings_check() == []
    await own.execute("CONFIG", "SET", "maxmemory-policy", "volatile-lru", key="")
    await own.execute("CONFIG", "SET", "appendonly", "no", key="")
    assert await ledger.settings_check() == [
        "maxmemory-policy is volatile-lru: holds may be evicted; set it to noeviction",
        "the append-only file is off: a restart loses holds and unbooked usage; set appendonly yes",
    ]


def test_a_redis_that_cannot_write_its_file_is_named() -> None:
    well = b"redis_version:7.2.0\r\nrole:master\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n"
    assert list(settings_problems(well + b"aof_last_write_status:ok\r\n")) == []
    assert list(settings_problems(well)) == []  # one that does not tell
    (problem,) = settings_problems(well + b"aof_last_write_status:err\r\n")
    assert problem == "the append-only file cannot be written: it takes no holds until that works; look at its disk"
