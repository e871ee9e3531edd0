"""Certificates are verified unless an operator says otherwise."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.upstream.faults import UpstreamUnreachable
from gateway.upstream.pool import UpstreamPool

TLS = Path(__file__).parent.parent / "data" / "tls"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    server = await asyncio.start_server(play, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def test_a_certificate_nobody_vouches_for_is_refused(port: int) -> None:
    pool = UpstreamPool(f"https://localhost:{port}")
    with pytest.raises(UpstreamUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        await pool.send(b"GET", b"/", [], None)
    assert pool._taken_slots == 0
    await pool.aclose()


async def test_a_trusted_certificate_for_another_name_is_refused(port: int) -> None:
    pool = UpstreamPool(
        f"https://localhost.localdomain:{port}", ssl_context=ssl.create_default_context(cafile=TLS / "localhost.pem")
    )
    with pytest.raises(UpstreamUnreachable):
        await pool.send(b"GET", b"/", [], None)
    await pool.aclose()


async def test_a_trusted_certificate_serves_calls_on_one_connection(port: int) -> None:
    pool = UpstreamPool(
        f"https://localhost:{port}", ssl_context=ssl.create_default_context(cafile=TLS / "localhost.pem")
    )
    for _ in range(3):
        answer = await pool.send(b"GET", b"/", [], None)
        assert await answer.read() == b"ok"
        await answer.close()
    assert pool._taken_slots == 1
    await pool.aclose()
