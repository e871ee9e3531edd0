"""What is not a plain HTTP/1.1 request never reaches the application, and its connection is closed.

The tables are the classes of bad input a front proxy meets: framing, syntax, size, target, host, version.
"""

import asyncio
import resource
import sys
from collections.abc import AsyncIterator

import pytest

from tests.edges.raw_http import Echo, Listener, listening

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
async def echo() -> AsyncIterator[Listener]:
    async with listening(Echo(), linger_s=0.2) as listener:
        yield listener


def reset(listener: Listener) -> Echo:
    app = listener.app
    assert isinstance(app, Echo)
    app.calls.clear()
    app.bodies.clear()
    app.endings.clear()
    return app


REFUSED: dict[str, tuple[bytes, set[int]]] = {
    # framing
    "CL then TE": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "TE then CL": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", {400}),
    "same CL twice": (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", {400}),
    "two CL": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", {400}),
    "CL list": (POST + b"Content-Length: 1, 1\r\n\r\nx", {400}),
    "CL +1": (POST + b"Content-Length: +1\r\n\r\nx", {400}),
    "CL 1_0": (POST + b"Content-Length: 1_0\r\n\r\nxxxxxxxxxx", {400}),
    "CL 0x1": (POST + b"Content-Length: 0x1\r\n\r\nx", {400}),
    "CL -1": (POST + b"Content-Length: -1\r\n\r\n", {400}),
    "CL empty": (POST + b"Content-Length: \r\n\r\n", {400}),
    "CL 1Z": (POST + b"Content-Length: 1Z\r\n\r\nx", {400}),
    "CL 010": (POST + b"Content-Length: 010\r\n\r\nxxxxxxxxxx", {400}),
    "CL 2^70": (POST + b"Content-Length: 1180591620717411303424\r\n\r\nx", {400}),
    "CL 2^63": (POST + b"Content-Length: 9223372036854775808\r\n\r\nx", {400}),
    "CL space colon": (POST + b"Content-Length : 1\r\n\r\nx", {400}),
    "TE twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "TE comma first": (POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", {400}),
    "TE gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "TE chunked, identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", {400}),
    "TE blegh": (POST + b"Transfer-Encoding: blegh\r\n\r\n0\r\n\r\n", {501}),
    "TE identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", {501}),
    "TE vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", {400}),
    "TE hard space": (POST + b"Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n", {400}),
    "TE parameter": (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", {400}),
    "TE in 1.0": (b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "TE folded": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", {400}),
    "TE space colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", {400}),
    # header syntax
    "bare LF": (b"GET /a HTTP/1.1\nHost: a\n\n", {400}),
    "bare LF in headers": (GET + b"a: b\nc: d\r\n\r\n", {400}),
    "bare CR": (GET + b"a: b\rc: d\r\n\r\n", {400}),
    "NUL": (GET + b"a: b\0c\r\n\r\n", {400}),
    "control": (GET + b"a: b\x01\r\n\r\n", {400}),
    "DEL": (GET + b"a: b\x7f\r\n\r\n", {400}),
    "folded": (GET + b"a: b\r\n c\r\n\r\n", {400}),
    "no colon": (GET + b"ab\r\n\r\n", {400}),
    "empty name": (GET + b": b\r\n\r\n", {400}),
    "space in name": (GET + b"a b: c\r\n\r\n", {400}),
    "brackets in name": (GET + b"a[]: c\r\n\r\n", {400}),
    "non-ASCII name": (GET + b"a\x85: c\r\n\r\n", {400}),
    "CR after the end": (GET + b"\rX", {400}),
    # size and count
    "70 kB header": (GET + b"a: " + b"x" * 70_000 + b"\r\n\r\n", {431}),
    "600 kB header": (GET + b"a: " + b"x" * 600_000 + b"\r\n\r\n", {431}),
    "many middling headers": (GET + (b"a: " + b"x" * 1000 + b"\r\n") * 70 + b"\r\n", {431}),
    "201 headers": (GET + b"a: b\r\n" * 200 + b"\r\n", {431}),
    "2,000 headers": (GET + b"a: b\r\n" * 2000 + b"\r\n", {431}),
    "17 kB target": (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    "100 kB target": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414, 431}),
    "10,000 character method": (b"G" * 10_000 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", {501}),
    # target
    "absolute, own host": (b"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "absolute, foreign host": (b"GET http://evil/x HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "authority": (b"GET evil:80 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "asterisk": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "options asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "no slash": (b"GET foo HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "exclamation mark": (b"GET ! HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "user at": (b"GET @evil HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "empty target": (b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "NUL in target": (b"GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "non-ASCII in target": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "UTF-8 in target": ("GET /ü HTTP/1.1\r\nHost: a\r\n\r\n".encode(), {400}),
    "space in target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "tab in target": (b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "fragment": (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "fragment in query": (b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "CONNECT": (b"CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n", {400, 405}),
    "TRACE": (b"TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n", {405}),
    # host
    "no host": (b"GET /a HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (GET + b"Host: a\r\n\r\n", {400}),
    "empty host": (b"GET /a HTTP/1.1\r\nHost: \r\n\r\n", {400}),
    "path in host": (b"GET /a HTTP/1.1\r\nHost: a/b?c@d\r\n\r\n", {400}),
    "user in host": (b"GET /a HTTP/1.1\r\nHost: u@d\r\n\r\n", {400}),
    "NUL in host": (b"GET /a HTTP/1.1\r\nHost: a\0b\r\n\r\n", {400}),
    "port of letters": (b"GET /a HTTP/1.1\r\nHost: a:b\r\n\r\n", {400}),
    "port too large": (b"GET /a HTTP/1.1\r\nHost: a:70000\r\n\r\n", {400}),
    "empty port": (b"GET /a HTTP/1.1\r\nHost: a:\r\n\r\n", {400}),
    "10 kB host": (b"GET /a HTTP/1.1\r\nHost: " + b"a" * 10_000 + b"\r\n\r\n", {400}),
    "host list": (b"GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n", {400}),
    "open bracket": (b"GET /a HTTP/1.1\r\nHost: [::1\r\n\r\n", {400}),
    # version and method
    "HTTP/0.9": (b"GET /a\r\n\r\n", {400, 505}),
    "HTTP/0.9 in words": (b"GET /a HTTP/0.9\r\nHost: a\r\n\r\n", {400, 505}),
    "HTTP/1.2": (b"GET /a HTTP/1.2\r\nHost: a\r\n\r\n", {400, 505}),
    "HTTP/2.0": (b"GET /a HTTP/2.0\r\nHost: a\r\n\r\n", {505}),
    "HTTP/3.0": (b"GET /a HTTP/3.0\r\nHost: a\r\n\r\n", {400, 505}),
    "lower-case version": (b"GET /a http/1.1\r\nHost: a\r\n\r\n", {400}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "lower-case method": (b"get /a HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "unknown method": (b"FROB /a HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    "rare method": (b"PROPFIND /a HTTP/1.1\r\nHost: a\r\n\r\n", {405}),
    "method of punctuation": (b'G="/a HTTP/1.1\r\nHost: a\r\n\r\n', {400, 501}),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, {400, 501}),
    "unknown expectation": (POST + b"Expect: the-spanish\r\nContent-Length: 1\r\n\r\nx", {417}),
    "h2c with a body": (
        POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        {400},
    ),
}


@pytest.mark.parametrize(("packet", "statuses"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_no_request_is_refused_and_closed(echo: Listener, packet: bytes, statuses: set[int]) -> None:
    app = reset(echo)
    answer = await echo.ask(packet)
    assert answer.closed
    assert len(answer.statuses) == 1
    assert answer.status in statuses
    assert b"connection: close" in answer.head
    assert app.calls == []


ACCEPTED: dict[str, bytes] = {
    "plain": GET + b"\r\n",
    "8 kB header": GET + b"a: " + b"x" * 8000 + b"\r\n\r\n",
    "199 headers": GET + b"a: b\r\n" * 199 + b"\r\n",
    "16 kB target": b"GET /" + b"a" * 16_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "upper-case host": b"GET / HTTP/1.1\r\nHost: A.Example:80\r\n\r\n",
    "trailing dot": b"GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n",
    "IPv4": b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
    "IPv6": b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "no host in 1.0": b"GET / HTTP/1.0\r\n\r\n",
    "odd but legal target": b"GET //x/../\\%2F%zz|{}^`\"<>'?a=1&a=2;b HTTP/1.1\r\nHost: a\r\n\r\n",
    "line breaks before": b"\r\n\r\n" + GET + b"\r\n",
    "spaces around a value": POST + b"Content-Length:  0  \r\n\r\n",
    "upper-case coding": POST + b"Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("packet", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_what_is_a_request_is_served(echo: Listener, packet: bytes) -> None:
    app = reset(echo)
    answer = await echo.ask(packet, wait_s=0.05)
    assert (answer.status, len(app.calls)) == (200, 1)


@pytest.mark.parametrize("packet", [ACCEPTED["plain"], POST + b"Content-Length: 3\r\n\r\nabc", CHUNKED + b"0\r\n\r\n"])
async def test_a_request_in_single_bytes_is_served(echo: Listener, packet: bytes) -> None:
    app = reset(echo)
    answer = await echo.ask(*(packet[at : at + 1] for at in range(len(packet))), wait_s=0.1)
    assert (answer.status, len(app.calls), answer.closed) == (200, 1, False)


async def test_the_application_sees_the_target_as_it_was_sent(echo: Listener) -> None:
    app = reset(echo)
    await echo.ask(b"GET /a%2Fb/../%zz?x=%20+&y HTTP/1.1\r\nHost: a\r\n\r\n", wait_s=0.05)
    scope = app.calls[0]
    assert (scope["raw_path"], scope["query_string"]) == (b"/a%2Fb/../%zz", b"x=%20+&y")
    assert (scope["path"], scope["method"], scope["http_version"]) == ("/a/b/../%zz", "GET", "1.1")
    assert (scope["scheme"], scope["client"][0], scope["server"]) == ("http", "127.0.0.1", ("127.0.0.1", echo.port))


BAD_CHUNKS: dict[str, bytes] = {
    "hex prefix": b"0x1\r\nx\r\n0\r\n\r\n",
    "plus": b"+1\r\nx\r\n0\r\n\r\n",
    "minus": b"-1\r\nx\r\n0\r\n\r\n",
    "underscore": b"1_0\r\nxxxxxxxxxxxxxxxx\r\n0\r\n\r\n",
    "leading space": b" 1\r\nx\r\n0\r\n\r\n",
    "trailing space": b"1 \r\nx\r\n0\r\n\r\n",
    "empty size": b"\r\nx\r\n0\r\n\r\n",
    "bare LF": b"1\nx\n0\n\n",
    "CR and something": b"1\rXx\r\n0\r\n\r\n",
    "two CRs behind an extension": b"1;a=b\r\r\nx\r\n0\r\n\r\n",
    "no end of chunk": b"1\r\nxyz\r\n0\r\n\r\n",
    "2^64": b"10000000000000000\r\nx",
    "a megabyte of extension": b"1;" + b"a" * 1_000_000,
    "trailers without end": b"1\r\nx\r\n0\r\n" + b"a: b\r\n" * 150_000,
    "one trailer without end": b"0\r\na: " + b"b" * 600_000,
    "content-length in the trailers": b"1\r\nx\r\n0\r\nContent-Length: 5\r\n\r\n",
    "encoding in the trailers": b"1\r\nx\r\n0\r\nTransfer-Encoding: x\r\n\r\n",
    "bare LF in the trailers": b"1\r\nx\r\n0\r\na: b\nc: d\r\n\r\n",
}


@pytest.mark.parametrize("in_one_packet", [True, False])
@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
async def test_a_garbled_body_is_refused_and_never_looks_whole(
    echo: Listener, chunks: bytes, in_one_packet: bool
) -> None:
    app = reset(echo)
    answer = await echo.ask(CHUNKED + chunks) if in_one_packet else await echo.ask(CHUNKED, chunks)
    assert (answer.statuses, answer.closed) == ([400], True)
    assert app.endings == ["disconnect"]
    assert app.bodies == []


@pytest.mark.parametrize("in_one_packet", [True, False])
async def test_trailers_never_become_headers(echo: Listener, in_one_packet: bool) -> None:
    app = reset(echo)
    trailers = (
        b"Authorization: Bearer evil\r\nX-Forwarded-For: 6.6.6.6\r\nX-Account-Id: evil\r\nHost: evil\r\nTE: x\r\n"
    )
    rest = b"2\r\nok\r\n0\r\n" + trailers + b"\r\n"
    answer = (
        await echo.ask(CHUNKED + rest, wait_s=0.05) if in_one_packet else await echo.ask(CHUNKED, rest, wait_s=0.05)
    )
    assert (answer.status, answer.body) == (200, b"ok")
    assert app.calls[0]["headers"] == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]


async def test_tiny_chunks_add_up_to_their_body(echo: Listener) -> None:
    app = reset(echo)
    answer = await echo.ask(CHUNKED + b"1;x=y\r\na\r\n" * 20_000 + b"0\r\n\r\n", wait_s=0.2)
    assert (answer.status, app.bodies) == (200, [b"a" * 20_000])


async def test_a_body_that_is_cut_short_ends_in_disconnect(echo: Listener) -> None:
    app = reset(echo)
    caller = await echo.connect()
    await caller.say(POST + b"Content-Length: 9\r\n\r\nhalf")
    caller.writer.write_eof()
    assert (await caller.rest()).data == b""
    caller.leave()
    assert (app.endings, app.bodies) == (["disconnect"], [])


async def test_a_64_megabyte_header_is_refused_long_before_it_is_kept(echo: Listener) -> None:
    before = _peak_mb()
    caller = await echo.connect()
    caller.writer.write(GET + b"a: ")
    piece = b"x" * 65536
    for _ in range(1024):
        caller.writer.write(piece)
        try:
            await asyncio.wait_for(caller.writer.drain(), 0.05)
        except (TimeoutError, ConnectionError):
            break
    assert (await caller.rest(2)).statuses == [431]
    caller.leave()
    assert _peak_mb() - before < 8  # our own write buffer included


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
async def test_an_upgrade_is_never_agreed_to_and_nothing_behind_it_is_read(echo: Listener, protocol: str) -> None:
    app = reset(echo)
    head = GET + b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % protocol.encode()
    answer = await echo.ask(
        head + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert (answer.statuses, answer.closed) == ([200], True)
    assert [call["raw_path"] for call in app.calls] == [b"/a"]
    assert (b"upgrade", protocol.encode()) in app.calls[0]["headers"]


async def test_pipelined_requests_are_answered_in_order(echo: Listener) -> None:
    app = reset(echo)
    many = b"".join(POST + b"Content-Length: 1\r\n\r\n%d" % each for each in range(5))
    answer = await echo.ask(many, wait_s=0.1)
    assert [part[-1:] for part in answer.data.split(b"HTTP/1.1 200 OK")[1:]] == [b"0", b"1", b"2", b"3", b"4"]
    assert app.bodies == [b"0", b"1", b"2", b"3", b"4"]


async def test_an_invalid_request_behind_a_good_one_is_refused_behind_its_answer(echo: Listener) -> None:
    app = reset(echo)
    answer = await echo.ask(POST + b"Content-Length: 2\r\n\r\nok" + b"GET /\xff HTTP/1.1\r\n\r\n")
    assert (answer.statuses, answer.closed, app.bodies) == ([200, 400], True, [b"ok"])


async def test_too_many_pipelined_requests_are_not_kept(echo: Listener) -> None:
    app = reset(echo)
    answer = await echo.ask((GET + b"\r\n") * 1000)
    assert answer.closed
    assert answer.statuses == [200] * 17 + [400]
    assert len(app.calls) == 17


async def test_nothing_behind_a_request_that_closes_is_served(echo: Listener) -> None:
    app = reset(echo)
    answer = await echo.ask(GET + b"Connection: close\r\n\r\n" + GET + b"\r\n", GET + b"\r\n")
    assert (answer.statuses, answer.closed, len(app.calls)) == ([200], True, 1)


async def test_a_connection_serves_requests_in_a_row(echo: Listener) -> None:
    reset(echo)
    caller = await echo.connect()
    for _ in range(3):
        await caller.say(POST + b"Content-Length: 2\r\n\r\nok")
        assert (await caller.one()).body == b"ok"
    caller.leave()


async def test_a_megabyte_is_received_byte_for_byte(echo: Listener) -> None:
    app = reset(echo)
    body = bytes(range(256)) * 4096
    answer = await echo.ask(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body, wait_s=0.3)
    assert app.bodies == [body]
    assert answer.body == body


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024) if sys.platform == "darwin" else peak / 1024


async def test_refusing_is_quick(echo: Listener) -> None:
    answer = await echo.ask(b"GET / HTTP/9.9\r\n\r\n", wait_s=0.2)
    assert answer.closed
