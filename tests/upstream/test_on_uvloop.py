"""The gateway serves on uvloop, whose transports differ from asyncio's: the main cases once more, on it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop

from gateway.upstream.faults import UpstreamBroken
from tests.upstream.conftest import Bench, Peer, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536


async def _reuse_surplus_cut_early_and_cancel(bench: Bench) -> None:
    async def play(peer: Peer) -> None:
        await (peer.request() if peer.number < 3 else peer.head())
        if peer.number == 0:
            await peer.say(OK)
            await peer.request()
            await peer.say(OK + b"x")  # surplus: not used again
        elif peer.number == 1:
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            return
        elif peer.number == 2:
            pass  # never answers: cancelled
        else:
            await peer.say(b"HTTP/1.1 413 Large\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig")
            return
        await peer.until_gone()

    pool, server = await bench.serve(play)
    for _ in range(2):
        answer = await pool.send(b"POST", b"/", [], b"x")
        assert await answer.read() == b"ok"
        await answer.close()
    assert (len(server.peers), pool._taken_slots) == (1, 0)

    answer = await pool.send(b"GET", b"/", [], None)
    assert await answer.read() == b"half"
    with pytest.raises(UpstreamBroken):
        await answer.read()

    call = asyncio.create_task(pool.send(b"GET", b"/", [], None))
    await until(lambda: len(server.peers) == 3)
    call.cancel()
    await server.peers[2].is_gone()

    answer = await pool.send(b"POST", b"/", [], endless())
    assert (answer.status, await answer.read()) == (413, b"big")
    await answer.close()
    assert pool._taken_slots == 0


async def test_the_main_cases_hold_on_uvloop() -> None:
    async def run() -> None:
        bench = Bench()
        try:
            await _reuse_surplus_cut_early_and_cancel(bench)
        finally:
            await bench.close()

    await asyncio.to_thread(uvloop.run, run())
