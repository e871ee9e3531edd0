"""An upstream that answers wrongly, by accident or on purpose, harms its own call only.

After every case the next call on the same pool must get its own answer, from a connection that is not the bad one
wherever that one could still hold bytes.
"""

import asyncio

import pytest

from gateway.upstream.answer import UpstreamAnswer
from gateway.upstream.faults import UpstreamBroken
from gateway.upstream.pool import UpstreamPool
from tests.upstream.conftest import Bench, Peer, RawServer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


async def whole(answer: UpstreamAnswer) -> bytes:
    body = b""
    try:
        while data := await answer.read():
            body += data
    finally:
        await answer.close()
    return body


async def bad_then_good(bench: Bench, bad: bytes) -> tuple[UpstreamPool, RawServer]:
    """The first connection says `bad` to its first request and poison to any other; later connections behave."""

    async def play(peer: Peer) -> None:
        await peer.request()
        if peer.number:
            await peer.say(OK)
        else:
            await peer.say(bad)
            if await peer.until_gone():
                await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")

    return await bench.serve(play)


NOT_AN_ANSWER = {
    "HTTP/0.9": b"hello",
    "version 2.0": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "version 1.2": b"HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n",
    "version 0.9": b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
    "another protocol": b"RTSP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "line break first": b"\r\n" + OK,
    "status 999": b"HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 X\r\ncontent-length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n",
    "status 2000": b"HTTP/1.1 2000 X\r\ncontent-length: 0\r\n\r\n",
    "101 nobody asked for": b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    "bare 101": b"HTTP/1.1 101 S\r\n\r\n" + OK,
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\ncontent-length: 0\r\n\r\n",
    "bare LF lines": b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    "one bare LF": HEAD + b"a: b\nc: d\r\ncontent-length: 0\r\n\r\n",
    "bare CR": HEAD + b"a: b\rc: d\r\ncontent-length: 0\r\n\r\n",
    "NUL in a value": HEAD + b"a: b\0c\r\ncontent-length: 0\r\n\r\n",
    "control in a value": HEAD + b"a: b\x01c\r\ncontent-length: 0\r\n\r\n",
    "DEL in a value": HEAD + b"a: b\x7f\r\ncontent-length: 0\r\n\r\n",
    "folded line": HEAD + b"a: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    "space before colon": HEAD + b"a : b\r\ncontent-length: 0\r\n\r\n",
    "no name": HEAD + b": b\r\ncontent-length: 0\r\n\r\n",
    "no colon": HEAD + b"ab\r\ncontent-length: 0\r\n\r\n",
    "odd name": HEAD + b"a\xe9: b\r\ncontent-length: 0\r\n\r\n",
    "two lengths": HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nokx",
    "one length twice": HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "length list": HEAD + b"content-length: 2, 2\r\n\r\nok",
    "empty length": HEAD + b"content-length: \r\n\r\n",
    "signed length": HEAD + b"content-length: +2\r\n\r\nok",
    "negative length": HEAD + b"content-length: -2\r\n\r\nok",
    "hex length": HEAD + b"content-length: 0x2\r\n\r\nok",
    "padded length": HEAD + b"content-length: 002\r\n\r\nok",
    "huge length": HEAD + b"content-length: 18446744073709551618\r\n\r\nok",
    "length and chunks": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "unknown encoding": HEAD + b"transfer-encoding: gzip\r\n\r\nxx",
    "encoding list": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "encoding twice": HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "comma first": HEAD + b"transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "a megabyte of one header": HEAD + b"a: " + b"x" * 1_000_000 + b"\r\ncontent-length: 0\r\n\r\n",
    "too many header lines": HEAD + b"a: b\r\n" * 257 + b"content-length: 0\r\n\r\n",
    "5,000 header lines": HEAD + b"a: b\r\n" * 5000 + b"content-length: 0\r\n\r\n",
    "interim answers without end": b"HTTP/1.1 100 C\r\n\r\n" * 50,
    "nothing at all": b"",
}


@pytest.mark.parametrize("bad", NOT_AN_ANSWER.values(), ids=NOT_AN_ANSWER.keys())
async def test_what_is_not_an_answer_is_broken_and_never_shown(bench: Bench, bad: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK if peer.number else bad)
        if bad or peer.number:
            await peer.until_gone()

    pool, server = await bench.serve(play)
    with pytest.raises(UpstreamBroken):
        await asyncio.wait_for(pool.send(b"POST", b"/", [], b"x"), 30)
    assert await whole(await pool.send(b"GET", b"/", [], None)) == b"ok"
    assert len(server.peers) == 2
    assert pool._taken_slots == 1


CUT = {
    "length": HEAD + b"content-length: 9\r\n\r\nhalf",
    "chunks": CHUNKED + b"4\r\nhalf\r\n",
    "last chunk without end": CHUNKED + b"4\r\nhalf\r\n0\r\n",
    "inside a chunk": CHUNKED + b"9\r\nhalf",
}


@pytest.mark.parametrize("bad", CUT.values(), ids=CUT.keys())
async def test_a_body_cut_short_never_ends_cleanly(bench: Bench, bad: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(bad)

    pool, _ = await bench.serve(play)
    answer = await pool.send(b"GET", b"/", [], None)
    arrived: list[bytes] = []
    with pytest.raises(UpstreamBroken):
        await _read_into(arrived, answer)
    assert b"".join(arrived) == b"half"
    assert not answer.complete
    with pytest.raises(UpstreamBroken):
        await answer.read()
    await answer.close()
    assert pool._taken_slots == 0


async def _read_into(arrived: list[bytes], answer: UpstreamAnswer) -> None:
    while data := await answer.read():
        arrived.append(data)


BAD_CHUNKS = {
    "signed size": b"+4\r\nhalf\r\n0\r\n\r\n",
    "hex prefix": b"0x4\r\nhalf\r\n0\r\n\r\n",
    "space in size": b"4 \r\nhalf\r\n0\r\n\r\n",
    "no size": b"\r\nhalf\r\n0\r\n\r\n",
    "bare LF": b"4\nhalf\n0\n\n",
    "too long": b"3\r\nhalf\r\n0\r\n\r\n",
    "overflow": b"10000000000000000\r\nhalf\r\n0\r\n\r\n",
    "extension without end": b"4;" + b"x" * 200_000,
    "trailers without end": b"4\r\nhalf\r\n0\r\n" + b"a: b\r\n" * 150_000,
    "one trailer without end": b"0\r\na: " + b"b" * 400_000,
}


@pytest.mark.parametrize("bad", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
async def test_bad_chunks_break_the_answer(bench: Bench, bad: bytes) -> None:
    pool, _ = await bad_then_good(bench, CHUNKED + bad)
    with pytest.raises(UpstreamBroken):
        await asyncio.wait_for(_send_and_read(pool), 30)
    assert await whole(await pool.send(b"GET", b"/", [], None)) == b"ok"


async def _send_and_read(pool: UpstreamPool) -> bytes:
    return await whole(await pool.send(b"GET", b"/", [], None))


SURPLUS = {
    "two answers in one packet": (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", b"ok"),
    "bytes behind the length": (OK + b"x", b"ok"),
    "line break behind the length": (OK + b"\r\n", b"ok"),
    "bytes behind the chunks": (CHUNKED + b"2\r\nok\r\n0\r\n\r\nx", b"ok"),
    "line break behind the chunks": (CHUNKED + b"2\r\nok\r\n0\r\n\r\n\r\n", b"ok"),
    "answer behind the chunks": (CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + OK, b"ok"),
    "204 with a body": (b"HTTP/1.1 204 N\r\ncontent-length: 2\r\n\r\nok", b""),
    "304 with a body": (b"HTTP/1.1 304 N\r\ncontent-length: 2\r\n\r\nok", b""),
    "204 with chunks": (b"HTTP/1.1 204 N\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b""),
    "bytes behind an empty body": (b"HTTP/1.1 200 N\r\ncontent-length: 0\r\n\r\nok", b""),
}


@pytest.mark.parametrize(("bad", "body"), SURPLUS.values(), ids=SURPLUS.keys())
async def test_bytes_behind_an_answer_never_reach_the_next_call(bench: Bench, bad: bytes, body: bytes) -> None:
    pool, server = await bad_then_good(bench, bad)
    assert await _send_and_read(pool) == body
    assert await _send_and_read(pool) == b"ok"
    assert len(server.peers) == 2


async def test_a_body_sent_to_head_never_reaches_the_next_call(bench: Bench) -> None:
    pool, server = await bad_then_good(bench, OK)
    assert await whole(await pool.send(b"HEAD", b"/", [], None)) == b""
    assert await _send_and_read(pool) == b"ok"
    assert len(server.peers) == 2


async def test_bytes_on_an_idle_connection_close_it(bench: Bench) -> None:
    poison = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        if not peer.number:
            await poison.wait()
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
        await peer.until_gone()

    pool, server = await bench.serve(play)
    assert await _send_and_read(pool) == b"ok"
    poison.set()
    await server.peers[0].is_gone()
    assert await _send_and_read(pool) == b"ok"
    assert len(server.peers) == 2


async def test_bytes_that_wait_unread_on_an_idle_connection_are_noticed_before_it_is_used(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.until_gone()

    pool, server = await bench.serve(play)
    assert await _send_and_read(pool) == b"ok"
    # Straight into the socket, and no turn of the event loop between this and the next call.
    server.peers[0].writer.transport.get_extra_info("socket")._sock.send(OK.replace(b"ok", b"no"))
    assert await _send_and_read(pool) == b"ok"
    assert len(server.peers) == 2


async def test_a_good_answer_in_single_bytes_is_still_good(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        for byte in b"HTTP/1.1 103 E\r\na: b\r\n\r\n" + CHUNKED + b"2;x=y\r\nok\r\n0\r\nt: u\r\n\r\n":
            await peer.say(bytes([byte]))
            await asyncio.sleep(0)
        await peer.until_gone()

    pool, _ = await bench.serve(play)
    answer = await pool.send(b"GET", b"/", [], None)
    assert answer.headers == [(b"transfer-encoding", b"chunked")]
    assert await whole(answer) == b"ok"
    assert len(pool._idle) == 1


async def test_a_reset_in_the_middle_is_broken(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(HEAD + b"content-length: 9\r\n\r\nhalf")
        peer.writer.transport.abort()

    pool, _ = await bench.serve(play)
    with pytest.raises(UpstreamBroken):
        await _send_and_read(pool)
