"""Bodies under way: back-pressure, early answers, callers who leave, and bodies that are never made to look whole."""

import asyncio
import resource
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from gateway.upstream.connection import UpstreamTimeouts
from gateway.upstream.faults import BodyMismatch, UpstreamBroken, UpstreamTimeout
from tests.leaping_clock import leap
from tests.upstream.conftest import Bench, Peer, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MB = 1024 * 1024


class Body:
    """A body that remembers how far it was read and whether it was closed."""

    def __init__(self, *chunks: bytes | Exception | asyncio.Event) -> None:
        self.given = 0
        self.closed = False
        self.chunks = self._run(chunks)

    async def _run(self, chunks: tuple[bytes | Exception | asyncio.Event, ...]) -> AsyncIterator[bytes]:
        try:
            for chunk in chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                if isinstance(chunk, asyncio.Event):
                    await chunk.wait()
                    continue
                self.given += 1
                yield chunk
        finally:
            self.closed = True


class HangUp(Exception):
    pass


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"9")]], ids=["chunked", "length"])
async def test_a_body_that_raises_aborts_the_request_and_never_ends_it(
    bench: Bench, headers: list[tuple[bytes, bytes]]
) -> None:
    seen: list[bytes] = []

    async def play(peer: Peer) -> None:
        await peer.head()
        seen.append(await peer.until_gone())

    pool, server = await bench.serve(play)
    body = Body(b"half", HangUp())
    with pytest.raises(HangUp):
        await pool.send(b"POST", b"/", headers, body.chunks)
    await server.peers[0].is_gone()
    assert body.closed
    assert not seen[0].endswith(b"0\r\n\r\n")
    assert pool._taken_slots == 0


@pytest.mark.parametrize("chunks", [(b"abc",), (b"abc", b"de"), ()], ids=["short", "long", "empty"])
async def test_a_body_that_breaks_its_word_about_its_length_is_aborted(bench: Bench, chunks: tuple[bytes, ...]) -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.until_gone()

    pool, server = await bench.serve(play)
    with pytest.raises(BodyMismatch):
        await pool.send(b"POST", b"/", [(b"content-length", b"4")], Body(*chunks).chunks)
    await server.peers[0].is_gone()


async def test_a_body_that_raises_behind_an_early_head_fails_the_reading(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        await peer.until_gone()

    pool, _ = await bench.serve(play)
    answer = await pool.send(b"POST", b"/", [], Body(b"half", go_on, HangUp()).chunks)
    assert await answer.read() == b"ok"
    go_on.set()
    with pytest.raises(HangUp):
        await answer.read()
    await answer.close()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_who_leaves_before_the_head_is_followed_by_the_connection(bench: Bench, streamed: bool) -> None:
    asked = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.head()
        asked.set()
        await peer.until_gone()

    pool, server = await bench.serve(play)
    body = Body(b"half", asyncio.Event())
    call = asyncio.create_task(pool.send(b"POST", b"/", [], body.chunks if streamed else b"whole"))
    await asked.wait()
    call.cancel()
    await server.peers[0].is_gone()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert body.closed is streamed
    assert pool._taken_slots == 0


async def test_a_caller_who_leaves_in_the_middle_is_followed_by_the_connection(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        await peer.until_gone()

    pool, server = await bench.serve(play)
    answer = await pool.send(b"GET", b"/", [], None)
    assert await answer.read() == b"ok"
    reading = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    reading.cancel()
    await answer.close()
    await answer.close()
    await server.peers[0].is_gone()
    with pytest.raises(UpstreamBroken):
        await answer.read()
    assert pool._taken_slots == 0


async def test_a_cancelled_read_loses_no_bytes(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
        await go_on.wait()
        await peer.say(b"late")

    pool, _ = await bench.serve(play)
    answer = await pool.send(b"GET", b"/", [], None)
    reading = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    go_on.set()
    assert await answer.read() == b"late"
    await answer.close()


async def test_an_early_answer_is_delivered_and_the_rest_of_the_body_is_abandoned(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 413 Large\r\ncontent-length: 3\r\n\r\nbig")
        await peer.until_gone()

    pool, server = await bench.serve(play)
    body = Body(b"first", asyncio.Event(), b"never")
    answer = await asyncio.wait_for(pool.send(b"POST", b"/", [], body.chunks), 20)
    assert (answer.status, await answer.read(), await answer.read()) == (413, b"big", b"")
    await answer.close()
    assert (body.given, body.closed) == (1, True)
    await server.peers[0].is_gone()
    assert (pool._idle, pool._taken_slots) == ([], 0)


async def test_an_early_answer_to_a_body_in_flight_is_delivered_and_its_connection_not_used_again(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 413 Large\r\ncontent-length: 3\r\n\r\nbig")
        await peer.until_gone()

    pool, _ = await bench.serve(play)
    answer = await asyncio.wait_for(pool.send(b"POST", b"/", [], b"x" * 32 * MB), 20)
    assert (answer.status, await answer.read()) == (413, b"big")
    await answer.close()
    assert (pool._idle, pool._taken_slots) == ([], 0)


async def test_an_answer_said_before_hanging_up_on_an_upload_is_still_delivered(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 413 Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig")
        # Closing with unread bytes makes the kernel reset the connection.

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    pool, _ = await bench.serve(play)
    for _ in range(30):
        answer = await asyncio.wait_for(pool.send(b"POST", b"/", [], endless()), 20)
        assert (answer.status, await answer.read()) == (413, b"big")
        await answer.close()


async def test_an_answer_that_began_early_goes_on_with_the_upload(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.head()
        await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            size = int(await peer.reader.readuntil(b"\r\n"), 16)
            data = await peer.reader.readexactly(size + 2)
            await peer.say(b"%x\r\n" % size + data)
            if not size:
                break
        await peer.until_gone()

    second = asyncio.Event()
    pool, _ = await bench.serve(play)
    answer = await pool.send(b"POST", b"/", [], Body(b"one", second, b"two").chunks)
    assert await answer.read() == b"one"
    second.set()
    assert [await answer.read(), await answer.read()] == [b"two", b""]
    await answer.close()
    assert len(pool._idle) == 1


async def test_an_upstream_that_takes_no_more_of_a_body_is_a_timeout(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    pool, _ = await bench.serve(play, timeouts=UpstreamTimeouts(between_bytes_s=0.1))
    with pytest.raises(UpstreamTimeout):
        await pool.send(b"POST", b"/", [], endless())


async def test_a_caller_who_uploads_slowly_is_no_timeout_of_the_upstream(bench: Bench) -> None:
    pool, server = await bench.answering(OK)
    slow = asyncio.Event()
    body = Body(b"one", slow, b"two")
    sending = asyncio.create_task(pool.send(b"POST", b"/", [], body.chunks))
    await until(lambda: body.given)
    await leap(3600)
    slow.set()
    await (await sending).close()
    assert server.requests[0][2] == b"onetwo"


async def test_two_hundred_megabytes_each_way_in_flat_memory(bench: Bench) -> None:
    total, piece = 200 * MB, b"x" * MB
    received = 0

    async def play(peer: Peer) -> None:
        nonlocal received
        await peer.head()
        while received < total:
            received += len(await peer.reader.read(MB))
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        for _ in range(total // MB):
            await peer.say(piece)

    async def upload() -> AsyncIterator[bytes]:
        for _ in range(total // MB):
            yield piece

    pool, _ = await bench.serve(play)
    before = _peak_mb()
    answer = await pool.send(b"POST", b"/", [(b"content-length", b"%d" % total)], upload())
    given = 0
    while data := await answer.read():
        given += len(data)
    await answer.close()
    assert (received, given) == (total, total)
    assert _peak_mb() - before < 20


async def test_an_unread_answer_makes_the_upstream_wait(bench: Bench) -> None:
    written = 0

    async def play(peer: Peer) -> None:
        nonlocal written
        await peer.request()
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * MB))
        for _ in range(64):
            await peer.say(b"x" * MB)
            written += 1

    pool, _ = await bench.serve(play)
    answer = await pool.send(b"GET", b"/", [], None)
    before = -1
    while written > before:
        before = written
        await asyncio.sleep(0.05)  # until nothing moves any more
    assert written < 32
    given = 0
    while data := await answer.read():
        given += len(data)
    assert given == 64 * MB
    await answer.close()


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak / 1024
