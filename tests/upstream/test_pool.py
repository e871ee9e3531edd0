"""Ordinary calls through the pool: what is sent, what is given back, which connection is used."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator

import pytest

from gateway.upstream.answer import UpstreamAnswer
from gateway.upstream.connection import Connection, UpstreamTimeouts
from gateway.upstream.faults import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from gateway.upstream.pool import PoolLimits, UpstreamPool
from gateway.upstream.reply import Reply
from gateway.upstream.request_head import Origin
from tests.leaping_clock import leap
from tests.upstream.conftest import Bench, Peer, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def whole(answer: UpstreamAnswer) -> bytes:
    body = b""
    try:
        while data := await answer.read():
            body += data
    finally:
        await answer.close()
    return body


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_request_carries_host_and_framing_and_nothing_else_of_ours(bench: Bench) -> None:
    pool, server = await bench.answering(OK)
    answer = await pool.send(b"POST", b"/jobs", [(b"x-account-id", b"a1")], b"{}")
    assert (answer.status, answer.content_length, await whole(answer)) == (200, 2, b"ok")
    host = server.requests[0][1].split(b"\r\n")[1]
    assert server.requests[0][1:] == (
        b"POST /jobs HTTP/1.1\r\n" + host + b"\r\nx-account-id: a1\r\ncontent-length: 2\r\n\r\n",
        b"{}",
    )
    assert host.startswith(b"host: 127.0.0.1:")


async def test_no_body_sends_no_framing_at_all(bench: Bench) -> None:
    pool, server = await bench.answering(OK)
    await whole(await pool.send(b"GET", b"/", [], None))
    assert b"content-length" not in server.requests[0][1]
    assert b"transfer-encoding" not in server.requests[0][1]


@pytest.mark.parametrize(
    "target", [b"/a/../b?x=[1]", b"/%zz", b"//evil/x", b"/a|b{}^`", b"/%2F%5c..;/?a=1&a=2;b=3", b"/?"]
)
async def test_a_target_goes_out_byte_for_byte(bench: Bench, target: bytes) -> None:
    pool, server = await bench.answering(OK)
    await whole(await pool.send(b"GET", target, [], None))
    assert server.requests[0][1].startswith(b"GET " + target + b" HTTP/1.1\r\n")


@pytest.mark.parametrize("path", ["/base", "/base/"])
async def test_a_base_path_is_joined_with_one_slash(bench: Bench, path: str) -> None:
    pool, server = await bench.answering(OK, path=path)
    await whole(await pool.send(b"GET", b"/x?y", [], None))
    assert server.requests[0][1].startswith(b"GET /base/x?y HTTP/1.1\r\n")


async def test_a_body_of_told_length_keeps_its_length_and_one_of_untold_length_goes_chunked(bench: Bench) -> None:
    pool, server = await bench.answering(OK)
    await whole(await pool.send(b"POST", b"/", [(b"content-length", b"5")], pieces(b"ab", b"", b"cde")))
    await whole(await pool.send(b"POST", b"/", [], pieces(b"ab", b"", b"cde")))
    (first, told, one), (second, untold, two) = server.requests
    assert (one, two) == (b"abcde", b"abcde")
    assert b"content-length: 5\r\n" in told
    assert b"chunked" not in told
    assert b"transfer-encoding: chunked\r\n" in untold
    assert b"content-length" not in untold
    assert (first, second) == (0, 0)  # and both left a connection that can be used again


async def test_a_megabyte_arrives_byte_for_byte(bench: Bench) -> None:
    pool, server = await bench.answering(OK)
    body = bytes(range(256)) * 4096
    await whole(await pool.send(b"POST", b"/", [], body))
    assert server.requests[0][2] == body


async def test_header_lines_come_back_in_order_and_apart(bench: Bench) -> None:
    pool, _ = await bench.answering(
        b"HTTP/1.1 299 Odd\r\nSet-Cookie: a=1\r\nX: 2 \r\nset-cookie: b=2\r\nConnection: x\r\nContent-Length: 0\r\n\r\n"
    )
    answer = await pool.send(b"GET", b"/", [], None)
    assert answer.status == 299
    assert answer.headers == [
        (b"set-cookie", b"a=1"),
        (b"x", b"2"),
        (b"set-cookie", b"b=2"),
        (b"connection", b"x"),
        (b"content-length", b"0"),
    ]
    assert answer.complete
    assert await whole(answer) == b""


async def test_cookies_of_one_answer_do_not_reach_the_next_request(bench: Bench) -> None:
    pool, server = await bench.answering(b"HTTP/1.1 200 OK\r\nset-cookie: sid=A\r\ncontent-length: 0\r\n\r\n")
    await whole(await pool.send(b"GET", b"/", [], None))
    await whole(await pool.send(b"GET", b"/", [], None))
    assert b"cookie" not in server.requests[1][1]


async def test_compressed_bodies_pass_undecoded(bench: Bench) -> None:
    pool, _ = await bench.answering(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x8bxx")
    assert await whole(await pool.send(b"GET", b"/", [], None)) == b"\x1f\x8bxx"


async def test_redirects_are_answers(bench: Bench) -> None:
    pool, server = await bench.answering(b"HTTP/1.1 302 F\r\nlocation: http://other/\r\ncontent-length: 0\r\n\r\n")
    answer = await pool.send(b"GET", b"/", [], None)
    await answer.close()
    assert (answer.status, len(server.requests)) == (302, 1)


async def test_chunks_are_given_as_they_come(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        await peer.say(b"3\r\ntwo\r\n0\r\nx-trailer: dropped\r\n\r\n")
        await peer.until_gone()

    pool, _ = await bench.serve(play)
    answer = await pool.send(b"GET", b"/", [], None)
    assert await answer.read() == b"one"
    assert not answer.complete
    go_on.set()
    assert await answer.read() == b"two"
    assert await answer.read() == b""
    assert answer.headers == [(b"transfer-encoding", b"chunked")]


async def test_a_body_that_ends_with_the_connection_is_whole(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.0 200 OK\r\n\r\nuntil ")
        await peer.say(b"the end")

    pool, server = await bench.serve(play)
    assert await whole(await pool.send(b"GET", b"/", [], None)) == b"until the end"
    assert await whole(await pool.send(b"GET", b"/", [], None)) == b"until the end"
    assert len(server.peers) == 2


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        b"HTTP/1.1 304 NM\r\ncontent-length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
async def test_an_answer_to_head_has_no_body_and_keeps_its_connection(bench: Bench, head: bytes) -> None:
    pool, server = await bench.answering(head, OK)
    answer = await pool.send(b"HEAD", b"/", [], None)
    assert answer.complete
    assert await whole(answer) == b""
    assert await whole(await pool.send(b"GET", b"/", [], None)) == b"ok"
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 204 N\r\n\r\n", b"HTTP/1.1 304 N\r\ncontent-length: 9\r\n\r\n", b"HTTP/1.1 204\r\n\r\n"]
)
async def test_204_and_304_have_no_body(bench: Bench, head: bytes) -> None:
    pool, server = await bench.answering(head, OK)
    answer = await pool.send(b"GET", b"/", [], None)
    assert answer.complete
    await answer.close()
    assert await whole(await pool.send(b"GET", b"/", [], None)) == b"ok"
    assert len(server.peers) == 1


async def test_interim_answers_are_swallowed(bench: Bench) -> None:
    pool, _ = await bench.answering(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 Early\r\nlink: </x>\r\n\r\n" + OK)
    answer = await pool.send(b"GET", b"/", [], None)
    assert (answer.status, answer.headers, await whole(answer)) == (200, [(b"content-length", b"2")], b"ok")


async def test_one_connection_serves_calls_in_a_row_the_latest_first(bench: Bench) -> None:
    pool, server = await bench.answering(OK)
    for _ in range(5):
        await whole(await pool.send(b"GET", b"/", [], None))
    assert [number for number, _, _ in server.requests] == [0] * 5


async def test_an_answer_that_says_close_ends_its_connection(bench: Bench) -> None:
    pool, server = await bench.answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
    await whole(await pool.send(b"GET", b"/", [], None))
    await whole(await pool.send(b"GET", b"/", [], None))
    assert len(server.peers) == 2


async def test_no_more_connections_than_allowed_and_calls_wait_in_order(bench: Bench) -> None:
    release = asyncio.Event()

    async def play(peer: Peer) -> None:
        while True:
            server.requests.append((peer.number, *(await peer.request())))
            await release.wait()
            await peer.say(OK)

    pool, server = await bench.serve(play, limits=PoolLimits(max_connections=2, max_waiting=3))
    calls = [asyncio.create_task(pool.send(b"GET", b"/%d" % each, [], None)) for each in range(5)]
    await until(lambda: len(server.requests) == 2)
    with pytest.raises(UpstreamUnreachable, match="too many"):
        await pool.send(b"GET", b"/", [], None)
    release.set()
    for call in calls:
        assert await whole(await call) == b"ok"
    assert len(server.peers) == 2
    assert [head.split()[1] for _, head, _ in server.requests] == [b"/0", b"/1", b"/2", b"/3", b"/4"]


async def test_waiting_for_a_connection_has_an_end(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.until_gone()

    pool, _ = await bench.serve(play, limits=PoolLimits(max_connections=1), timeouts=UpstreamTimeouts(pool_wait_s=0.05))
    first = asyncio.create_task(pool.send(b"GET", b"/", [], None))
    await asyncio.sleep(0)
    with pytest.raises(UpstreamUnreachable, match="in time"):
        await pool.send(b"GET", b"/", [], None)
    first.cancel()
    await asyncio.wait([first])


async def test_a_cancelled_waiter_passes_its_turn_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = asyncio.Event()

    async def play(peer: Peer) -> None:
        while True:
            await peer.request()
            await go_on.wait()
            await peer.say(OK)

    pool, server = await bench.serve(play, limits=PoolLimits(max_connections=1))
    first = await _started(pool)
    given_up = asyncio.create_task(pool.send(b"GET", b"/", [], None))
    patient = asyncio.create_task(pool.send(b"GET", b"/", [], None))
    await asyncio.sleep(0)
    hand_over = pool.released

    def hand_over_and_cancel(connection: Connection) -> None:
        hand_over(connection)
        given_up.cancel()  # in the very turn it is served

    monkeypatch.setattr(pool, "released", hand_over_and_cancel)
    go_on.set()
    assert await whole(await first) == b"ok"
    assert await whole(await asyncio.wait_for(patient, 30)) == b"ok"
    assert given_up.cancelled()
    assert (len(server.peers), pool._taken_slots, len(pool._idle)) == (1, 1, 1)


async def _started(pool: UpstreamPool) -> "asyncio.Task[Reply]":
    task = asyncio.create_task(pool.send(b"GET", b"/", [], None))
    await until(lambda: pool._open)
    return task


async def test_an_idle_connection_is_closed_when_its_time_is_up(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.until_gone()

    pool, server = await bench.serve(play, limits=PoolLimits(idle_s=0.05))
    await whole(await pool.send(b"GET", b"/", [], None))
    await server.peers[0].is_gone()
    assert (pool._idle, pool._taken_slots) == ([], 0)


async def test_nobody_listening_is_unreachable() -> None:
    pool = UpstreamPool("http://127.0.0.1:1", timeouts=UpstreamTimeouts(connect_s=1))
    with pytest.raises(UpstreamUnreachable):
        await pool.send(b"POST", b"/", [], b"x")
    assert pool._taken_slots == 0


async def test_an_unknown_name_is_unreachable() -> None:
    pool = UpstreamPool("http://no-such-host.invalid")
    with pytest.raises(UpstreamUnreachable):
        await pool.send(b"POST", b"/", [], b"x")


async def test_silence_is_a_timeout_and_the_connection_is_cut(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.until_gone()

    pool, server = await bench.serve(play, timeouts=UpstreamTimeouts(first_byte_s=0.1))
    with pytest.raises(UpstreamTimeout):
        await pool.send(b"GET", b"/", [], None)
    await server.peers[0].is_gone()
    assert len(server.peers) == 1  # a timeout is never tried again


async def test_silence_in_the_middle_is_a_timeout_behind_what_did_arrive(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        await peer.until_gone()

    pool, _ = await bench.serve(play, timeouts=UpstreamTimeouts(between_bytes_s=0.1))
    answer = await pool.send(b"GET", b"/", [], None)
    assert await answer.read() == b"half"
    with pytest.raises(UpstreamTimeout):
        await answer.read()
    await answer.close()


async def test_a_reader_who_takes_his_time_is_no_timeout_of_the_upstream(bench: Bench) -> None:
    size = 4 * 1024 * 1024

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)
        await peer.until_gone()

    pool, _ = await bench.serve(play)
    answer = await pool.send(b"GET", b"/", [], None)
    await until(lambda: all(connection._reading_paused for connection in pool._open))
    await leap(3600)
    assert len(await whole(answer)) == size


async def test_a_kept_connection_the_upstream_closed_is_not_used(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)

    pool, server = await bench.serve(play)
    for _ in range(3):
        assert await whole(await pool.send(b"POST", b"/", [], b"x")) == b"ok"
        await server.peers[-1].gone.wait()
    assert len(server.peers) == 3


async def _dies_at_the_second_request(peer: Peer) -> None:
    await peer.request()
    await peer.say(OK)
    await peer.request()
    if peer.number > 0:
        await peer.say(OK)


async def test_a_get_on_a_connection_that_just_died_is_sent_once_more(bench: Bench) -> None:
    pool, server = await bench.serve(_dies_at_the_second_request)
    await whole(await pool.send(b"GET", b"/", [], None))
    assert await whole(await pool.send(b"GET", b"/", [], None)) == b"ok"
    assert len(server.peers) == 2


async def test_a_post_on_a_connection_that_just_died_is_never_sent_twice(bench: Bench) -> None:
    pool, server = await bench.serve(_dies_at_the_second_request)
    await whole(await pool.send(b"GET", b"/", [], None))
    with pytest.raises(UpstreamBroken):
        await pool.send(b"POST", b"/", [], b"x")
    assert len(server.peers) == 1


async def test_closing_the_pool_cuts_calls_and_refuses_new_ones(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await peer.until_gone()

    pool, server = await bench.serve(play, limits=PoolLimits(max_connections=1))
    running = await _started(pool)
    waiting = asyncio.create_task(pool.send(b"GET", b"/", [], None))
    await asyncio.sleep(0)
    await pool.aclose()
    assert [type(each) for each in await asyncio.gather(running, waiting, return_exceptions=True)] == [
        UpstreamBroken,
        UpstreamUnreachable,
    ]
    with pytest.raises(UpstreamUnreachable):
        await pool.send(b"GET", b"/", [], None)
    await server.peers[0].is_gone()


async def test_a_hundred_calls_at_once_each_get_their_own_answer(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        while True:
            head, _ = await peer.request()
            name = head.split()[1]
            await asyncio.sleep(0)
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(name), name))

    pool, server = await bench.serve(play, limits=PoolLimits(max_connections=8))

    async def call(each: int) -> bool:
        return await whole(await pool.send(b"GET", b"/%d" % each, [], None)) == b"/%d" % each

    assert all(await asyncio.gather(*(call(each) for each in range(100))))
    assert len(server.peers) <= 8


@pytest.mark.parametrize(
    ("target", "headers", "body"),
    [
        (b"x", [], None),
        (b"/a b", [], None),
        (b"/a\r\nx: y", [], None),
        (b"/", [(b"x", b"a\r\nhost: b")], None),
        (b"/", [(b"x", b"a\0")], None),
        (b"/", [(b"x\n", b"a")], None),
        (b"/", [(b"host", b"a")], None),
        (b"/", [(b"transfer-encoding", b"chunked")], b"x"),
        (b"/", [(b"connection", b"upgrade")], None),
        (b"/", [(b"content-length", b"1")], b"xy"),
        (b"/", [(b"content-length", b"1")], None),
        (b"/", [(b"content-length", b"+1")], b"x"),
        (b"/", [(b"content-length", b"1"), (b"content-length", b"1")], b"x"),
    ],
)
async def test_what_would_garble_a_request_is_never_sent(
    target: bytes, headers: list[tuple[bytes, bytes]], body: bytes | None
) -> None:
    pool = UpstreamPool("http://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"."):
        await pool.send(b"POST", target, headers, body)


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://u:p@a", "http://a/?b", "http://a/#b", "a:80"])
def test_an_odd_upstream_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="an upstream URL"):
        Origin.of(url)


def test_the_host_names_a_port_only_when_it_is_not_the_usual_one() -> None:
    assert [Origin.of(url).authority for url in ("http://a:80", "https://a", "https://a:80/x", "http://[::1]:9")] == [
        b"a",
        b"a",
        b"a:80",
        b"[::1]:9",
    ]


async def test_a_hundred_calls_cost_well_under_a_second(bench: Bench) -> None:
    pool, _ = await bench.answering(OK)
    took_s = []
    for _ in range(100):
        began_s = time.perf_counter()
        await whole(await pool.send(b"GET", b"/", [], None))
        took_s.append(time.perf_counter() - began_s)
    # A packet that waits for an acknowledgement costs every call 40 ms; a busy machine holds up some, not most of them.
    assert statistics.median(took_s) < 0.01
