"""A listener with an application that remembers, and a caller that says exactly the bytes it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

from uvicorn.server import ServerState

from gateway.edges.http_server import ServerLimits, server_config
from gateway.edges.http_server.connection import ServerConnection

Receive = Callable[[], Any]
Send = Callable[[Any], Any]
_TURN_S: Final = 0.005


@dataclass
class Answer:
    """What came back on one connection, all of it, and whether the listener closed it."""

    data: bytes
    closed: bool
    reset: bool = False

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.data.split(b"HTTP/1.1 ")[1:]]

    @property
    def status(self) -> int:
        return self.statuses[0]

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


@dataclass
class Echo:
    """Answers with what it was sent; remembers each request, and how its body ended."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.calls.append(scope)
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.endings.append("disconnect")
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.endings.append("end")
        self.bodies.append(body)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Listener:
    def __init__(self, app: Any, port: int, state: ServerState) -> None:
        self.app = app
        self.port = port
        self.state = state

    async def until(self, so: Callable[[ServerConnection], object]) -> None:
        """Let the loop turn until the one connection is so."""
        async with asyncio.timeout(30):
            while not any(so(cast("ServerConnection", one)) for one in self.state.connections):  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def connect(self) -> "Caller":
        return Caller(*await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22))

    async def ask(self, *packets: bytes, wait_s: float = 0.5) -> Answer:
        """Send packets, each on its own, and read as `Caller.rest` does."""
        caller = await self.connect()
        for packet in packets:
            await caller.say(packet)
        answer = await caller.rest(wait_s)
        caller.leave()
        return answer


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            pass
        for _ in range(3):  # so that packets are read one by one
            await asyncio.sleep(0)

    async def rest(self, wait_s: float = 0.5) -> Answer:
        """Read until the listener closes, or is silent for `wait_s`.

        Silence is counted in turns of the loop, which listener and caller share: a machine that stands still meanwhile
        makes a turn longer, and takes none from the listener.
        """
        data = bytearray()

        async def read() -> None:
            while piece := await self.reader.read(65536):
                data.extend(piece)

        reading, heard, silent_turns = asyncio.create_task(read()), 0, 0
        while not reading.done() and silent_turns * _TURN_S < wait_s:
            await asyncio.wait([reading], timeout=_TURN_S)
            silent_turns = silent_turns + 1 if len(data) == heard else 0
            heard = len(data)
        reading.cancel()
        (ended,) = await asyncio.gather(reading, return_exceptions=True)
        if isinstance(ended, asyncio.CancelledError):
            return Answer(bytes(data), closed=False)
        if isinstance(ended, ConnectionError):
            return Answer(bytes(data), closed=True, reset=True)
        assert ended is None, ended
        return Answer(bytes(data), closed=True)

    async def one(self) -> Answer:
        """One response with a content-length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return Answer(head + await self.reader.readexactly(length), closed=False)

    def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def listening(app: Any, *, tls: ssl.SSLContext | None = None, **limits: Any) -> AsyncIterator[Listener]:
    config = server_config(app, "127.0.0.1", 0, limits=ServerLimits(**limits))
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ServerConnection(config, state, {}, loop), "127.0.0.1", 0, ssl=tls)
    yield Listener(app, server.sockets[0].getsockname()[1], state)
    server.close()
    for connection in list(state.connections):
        connection._transport.abort()  # type: ignore[union-attr]
    while state.connections:  # noqa: ASYNC110 the transports close in the next turns of the loop
        await asyncio.sleep(0)
    for task in list(state.tasks):
        task.cancel()
    if state.tasks:
        await asyncio.wait(list(state.tasks))
    await server.wait_closed()
