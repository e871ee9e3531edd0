"""How responses are framed, how long a caller may take, and what an application is told when it has gone."""

import asyncio
import logging
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop

from gateway.edges.http_server import ServerLimits, server_config
from gateway.edges.http_server.connection import ServerConnection
from tests.edges.raw_http import Caller, Echo, listening
from tests.leaping_clock import leap

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
GET_10 = b"GET /a HTTP/1.0\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\n"

App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def saying(status: int, headers: list[tuple[bytes, bytes]], *chunks: bytes) -> App:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for chunk in chunks[:-1]:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": chunks[-1] if chunks else b""})

    return app


async def test_a_body_of_told_length_is_sent_as_it_is() -> None:
    async with listening(saying(201, [(b"content-length", b"4"), (b"x", b"y")], b"ab", b"cd")) as listener:
        answer = await listener.ask(GET, wait_s=0.05)
    assert answer.data == b"HTTP/1.1 201 Created\r\nx: y\r\ncontent-length: 4\r\n\r\nabcd"


async def test_a_body_of_untold_length_goes_in_chunks_as_it_comes() -> None:
    async with listening(saying(200, [], b"ab", b"", b"cd", b"")) as listener:
        answer = await listener.ask(GET, wait_s=0.05)
    assert answer.data == (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")


async def test_a_1_0_caller_is_never_sent_chunks() -> None:
    async with listening(saying(200, [], b"ab", b"cd")) as listener:
        answer = await listener.ask(GET_10)
    assert (answer.data, answer.closed) == (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabcd", True)


async def test_no_date_or_server_of_ours_is_added_to_an_upstreams() -> None:
    async with listening(saying(200, [(b"date", b"then"), (b"server", b"it")], b"")) as listener:
        answer = await listener.ask(GET, wait_s=0.05)
    assert answer.head.lower().count(b"date:") == 1
    assert answer.head.lower().count(b"server:") == 1


async def test_framing_headers_of_the_application_are_not_passed_on() -> None:
    headers = [(b"Transfer-Encoding", b"chunked"), (b"connection", b"keep-alive"), (b"content-length", b"2")]
    async with listening(saying(200, headers, b"ok")) as listener:
        answer = await listener.ask(GET, wait_s=0.05)
    assert answer.data == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("request_line", "status", "kept"), [(b"HEAD", 200, True), (b"GET", 304, True), (b"GET", 204, False)]
)
async def test_head_and_304_tell_a_length_without_a_body_and_204_tells_none(
    request_line: bytes, status: int, kept: bool
) -> None:
    async with listening(saying(status, [(b"content-length", b"9")], b"")) as listener:
        answer = await listener.ask(GET.replace(b"GET", request_line), GET.replace(b"GET", request_line), wait_s=0.05)
    assert answer.statuses == [status, status]
    assert (b"content-length: 9" in answer.head) is kept
    assert b"chunked" not in answer.data


async def test_an_application_that_asks_to_close_closes() -> None:
    async with listening(saying(200, [(b"connection", b"close"), (b"content-length", b"0")])) as listener:
        answer = await listener.ask(GET)
    assert (answer.closed, answer.head.count(b"connection: close")) == (True, 1)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"a\r\nb: c")],
        [(b"x\n", b"a")],
        [(b"x", b"a\0")],
        [(b"content-length", b"1"), (b"content-length", b"1")],
    ],
)
async def test_a_garbled_response_header_is_an_error_and_never_sent(
    headers: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(saying(200, headers, b"x")) as listener:
        answer = await listener.ask(GET)
    assert (answer.status, answer.body, answer.closed) == (500, b"Internal Server Error", True)
    assert "the application failed" in caplog.text


@pytest.mark.parametrize(("chunks", "arrived"), [((b"shor",), b""), ((b"too ", b"long"), b"too ")])
async def test_a_body_that_differs_from_its_length_is_cut(
    chunks: tuple[bytes, ...], arrived: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(saying(200, [(b"content-length", b"5")], *chunks)) as listener:
        answer = await listener.ask(GET)
    assert (answer.body, answer.closed) == (arrived, True)
    assert "differs from its content-length" in caplog.text


@pytest.mark.parametrize("request_bytes", [GET, GET_10])
@pytest.mark.parametrize("how", ["returns", "raises"])
async def test_an_application_that_ends_before_its_response_cuts_the_connection(
    request_bytes: bytes, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if how == "raises":
            raise ValueError("secret detail")

    async with listening(app) as listener:
        caller = await listener.connect()
        await caller.say(request_bytes)
        answer = await caller.rest()
        caller.leave()
    assert answer.closed
    assert b"\r\n0\r\n" not in answer.data
    # Where the body ends with the connection, an orderly end would look like the body's.
    assert answer.reset is (request_bytes == GET_10)
    assert ("the application failed" in caplog.text) is (how == "raises")


async def test_an_error_before_the_response_is_a_500_without_details(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise ValueError("secret detail")

    async with listening(app) as listener:
        answer = await listener.ask(GET)
    assert (answer.status, answer.closed) == (500, True)
    assert b"secret" not in answer.data
    assert "secret detail" in caplog.text


async def test_continue_is_said_when_the_body_is_first_asked_for() -> None:
    ask = asyncio.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await ask.wait()
        await Echo()(_scope, receive, send)

    async with listening(app) as listener:
        caller = await listener.connect()
        await caller.say(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.reader.read(1), 0.05)
        ask.set()
        assert await caller.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await caller.say(b"ok")
        assert (await caller.one()).body == b"ok"
        caller.leave()


async def test_a_refusal_before_continue_closes_so_that_no_body_can_be_taken_for_a_request() -> None:
    async with listening(saying(402, [(b"content-length", b"2")], b"no")) as listener:
        answer = await listener.ask(POST + b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n", GET)
    assert (answer.statuses, answer.closed) == ([402], True)
    assert b"connection: close" in answer.head


async def test_a_small_body_nobody_read_is_skipped_and_the_connection_stays() -> None:
    async with listening(saying(401, [(b"content-length", b"2")], b"no")) as listener:
        caller = await listener.connect()
        await caller.say(POST + b"Content-Length: 100000\r\n\r\n")
        assert (await caller.one()).status == 401
        await caller.say(b"x" * 100_000 + GET)
        assert (await caller.one()).status == 401
        caller.leave()


async def test_a_large_body_nobody_reads_ends_the_connection_behind_its_answer() -> None:
    async with listening(saying(413, [(b"content-length", b"3")], b"big"), linger_s=0.1) as listener:
        caller = await listener.connect()
        await caller.say(POST + b"Content-Length: 100000000\r\n\r\n")
        assert (await caller.one()).body == b"big"
        await caller.say(b"x" * 1_000_000)
        assert (await caller.rest()).closed
        caller.leave()


async def _slow(
    caller_says: bytes, arrived: Callable[[ServerConnection], object], **limits: Any
) -> tuple[bytes, bool, Echo]:
    """A caller who says so much and then nothing, for an hour."""
    app = Echo()
    async with listening(app, **limits) as listener:
        caller = await listener.connect()
        await caller.say(caller_says)
        await listener.until(arrived)
        await leap(3600)
        answer = await caller.rest(2)
        caller.leave()
    return answer.data[9:12], answer.closed, app


async def test_a_silent_connection_is_closed() -> None:
    status, closed, app = await _slow(b"", lambda _: True)
    assert (status, closed, app.calls) == (b"", True, [])


async def test_a_head_that_does_not_end_in_time_is_refused() -> None:
    status, closed, app = await _slow(b"GET /a HTTP/1.1\r\nHost:", lambda connection: connection._reader.in_head)
    assert (status, closed, app.calls) == (b"408", True, [])


async def test_a_trickled_head_does_not_buy_time() -> None:
    async with listening(Echo(), head_s=10, linger_s=3600) as listener:
        caller = await listener.connect()
        for byte in b"GET /a HTTP/1.1\r\nHost: " + b"a" * 20:
            await caller.say(bytes([byte]))
            await listener.until(lambda connection: connection._reader.in_head or connection._lingering)
            await leap(0.5)
        answer = await caller.rest(2)
        caller.leave()
    assert answer.statuses == [408]


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with listening(Echo()) as listener:
        caller = await listener.connect()
        await caller.say(GET)
        assert (await caller.one()).status == 200
        await leap(3600)
        answer = await caller.rest(2)
        caller.leave()
    assert (answer.data, answer.closed) == (b"", True)


async def test_a_body_that_stops_coming_is_refused_and_ends_in_disconnect() -> None:
    status, closed, app = await _slow(
        POST + b"Content-Length: 9\r\n\r\nhalf", lambda connection: connection._reader.in_body
    )
    assert (status, closed, app.endings) == (b"408", True, ["disconnect"])


async def test_a_slow_application_is_no_fault_of_the_caller() -> None:

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await listener.until(lambda connection: connection._reading_paused)
        await leap(3600)
        await Echo()(scope, receive, send)

    async with listening(app) as listener:
        answer = await listener.ask(POST + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000)
    assert (answer.status, len(answer.body)) == (200, 200_000)


async def test_a_caller_who_takes_nothing_is_cut_off_and_the_application_was_held_back() -> None:
    sent = 0
    gone = asyncio.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await receive()
        leaving = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not leaving.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 65536
        assert (await leaving)["type"] == "http.disconnect"
        gone.set()

    async with listening(app, send_idle_s=0.2) as listener:
        caller = await listener.connect()
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await caller.say(GET)
        await asyncio.wait_for(gone.wait(), 30)
        caller.leave()
    assert sent < 16 * 1024 * 1024


async def test_a_caller_who_leaves_is_told_at_once_and_sending_goes_on_in_vain() -> None:
    told: list[str] = []
    sent = asyncio.Event()
    begun = asyncio.Event()

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        begun.set()
        told.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": False})
        sent.set()

    async with listening(app) as listener:
        caller = await listener.connect()
        await caller.say(GET)
        await begun.wait()
        caller.leave()
        await asyncio.wait_for(sent.wait(), 30)
    assert told == ["http.disconnect"]


async def test_a_body_faster_than_the_application_waits_in_the_callers_socket() -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await Echo()(scope, receive, send)

    size = 64 * 1024 * 1024
    async with listening(app) as listener:
        caller = await listener.connect()
        caller.writer.write(POST + b"Content-Length: %d\r\n\r\n" % size)
        sent = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while sent < size:
                    caller.writer.write(b"x" * 65536)
                    sent += 65536
                    await caller.writer.drain()
        assert sent < size // 2
        caller.leave()


async def test_over_tls_requests_are_served_and_refused_alike() -> None:
    folder = Path(__file__).parent.parent / "data" / "tls"
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(folder / "localhost.pem", folder / "localhost.key")
    trusted = ssl.create_default_context(cafile=folder / "localhost.pem")
    app = Echo()
    async with listening(app, tls=own) as listener:
        caller = Caller(*await asyncio.open_connection("localhost", listener.port, ssl=trusted))
        await caller.say(POST + b"Content-Length: 2\r\n\r\nok")
        assert (await caller.one()).body == b"ok"
        await caller.say(b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await caller.rest()
        caller.leave()
    assert (answer.statuses, answer.closed) == ([400], True)
    assert [call["scheme"] for call in app.calls] == ["https"]


async def test_more_connections_than_allowed_are_turned_away() -> None:
    async with listening(Echo(), connections=2) as listener:
        callers: list[Caller] = [await listener.connect() for _ in range(2)]
        for caller in callers:
            await caller.say(GET)
            await caller.one()
        third = await listener.connect()
        answer = await third.rest()
        for caller in (*callers, third):
            caller.leave()
    assert (answer.status, answer.closed) == (503, True)


async def test_under_uvicorn_and_uvloop_a_call_in_flight_is_finished_before_the_end() -> None:
    begun, finish = threading.Event(), threading.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        begun.set()
        await asyncio.get_running_loop().run_in_executor(None, finish.wait)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    server = uvicorn.Server(server_config(app, "127.0.0.1", 0, limits=ServerLimits(drain_s=5)))
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    thread = threading.Thread(target=lambda: uvloop.run(server.serve()))
    thread.start()
    async with asyncio.timeout(30):
        while not server.started:  # noqa: ASYNC110 it lives in another thread
            await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    busy = Caller(*await asyncio.open_connection("127.0.0.1", port))
    idle = Caller(*await asyncio.open_connection("127.0.0.1", port))
    await busy.say(GET)
    await asyncio.to_thread(begun.wait, 30)
    server.should_exit = True
    assert (await idle.rest(10)).closed
    finish.set()
    answer = await busy.rest(10)
    assert (answer.status, answer.body, answer.closed) == (200, b"ok", True)
    for caller in (busy, idle):
        caller.leave()
    await asyncio.to_thread(thread.join, 30)
    assert not thread.is_alive()
