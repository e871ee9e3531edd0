"""A product service that says exactly the bytes a test tells it to, over a real socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from gateway.upstream.connection import UpstreamTimeouts
from gateway.upstream.pool import PoolLimits, UpstreamPool

Handler = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One accepted connection, seen from the upstream."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.gone = asyncio.Event()

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """Read a head and, by its framing, its body; chunked bodies are given decoded."""
        head = await self.head()
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
            return head, body
        if b"content-length: " in lower:
            length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
            return head, await self.reader.readexactly(length)
        return head, b""

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def is_gone(self) -> None:
        """Return once the gateway has closed. What is waited for comes at once, or only after a minute, or never."""
        async with asyncio.timeout(20):
            await self.gone.wait()

    async def until_gone(self) -> bytes:
        """Read whatever still comes; done when the gateway has closed, however it did."""
        rest = b""
        try:
            while data := await self.reader.read(65536):
                rest += data
        except ConnectionError:
            pass
        self.gone.set()
        return rest


class RawServer:
    """Plays a handler on every connection and remembers what was asked of it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.peers: list[Peer] = []
        self.requests: list[tuple[int, bytes, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=1 << 20)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(self.peers), reader, writer)
        self.peers.append(peer)
        task = asyncio.get_running_loop().create_task(self._play(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self, peer: Peer) -> None:
        try:
            await self.handler(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            peer.gone.set()
            peer.writer.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


class Bench:
    """A raw server and a pool in front of it."""

    def __init__(self) -> None:
        self.servers: list[RawServer] = []
        self.pools: list[UpstreamPool] = []

    async def serve(
        self,
        handler: Handler,
        *,
        limits: PoolLimits | None = None,
        timeouts: UpstreamTimeouts | None = None,
        path: str = "",
    ) -> tuple[UpstreamPool, RawServer]:
        server = RawServer(handler)
        self.servers.append(server)
        pool = UpstreamPool(await server.start() + path, limits=limits, timeouts=timeouts)
        self.pools.append(pool)
        return pool, server

    async def answering(
        self,
        *replies: bytes,
        limits: PoolLimits | None = None,
        timeouts: UpstreamTimeouts | None = None,
        path: str = "",
    ) -> tuple[UpstreamPool, RawServer]:
        """Answer the n-th request with the n-th reply, whatever connection it comes on; the last one repeats."""
        left = list(replies)

        async def play(peer: Peer) -> None:
            while True:
                head, body = await peer.request()
                server.requests.append((peer.number, head, body))
                await peer.say(left.pop(0) if len(left) > 1 else left[0])

        pool, server = await self.serve(play, limits=limits, timeouts=timeouts, path=path)
        return pool, server

    async def close(self) -> None:
        for pool in self.pools:
            await pool.aclose()
        for server in self.servers:
            await server.stop()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 what is waited for is not ours to signal
            await asyncio.sleep(0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.close()
