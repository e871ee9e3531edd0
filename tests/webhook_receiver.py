"""A server on loopback that takes webhooks: it answers what a test tells it to, and remembers what it was sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

REASONS = {
    200: "OK",
    204: "No Content",
    302: "Found",
    410: "Gone",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def reply(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Received:
    """One request, its headers in small letters."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with `answers` one after the other, then with 204 for ever. An answer of None hangs until let go."""

    url: str = ""
    answers: list[bytes | None] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.received.append(Received(first.split()[1], headers, body))
            answer = self.answers.pop(0) if self.answers else reply(204)
            self.arrived.set()
            if answer is None:
                await self.let_go.wait()
            else:
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = receiver.serve
    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/hooks"
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.close()
        await server.wait_closed()
