"""Any httpx transport as an Upstream: for special networks, and for respx and other stand-ins in tests.

The only module on the way of a call that imports httpx. The transport is called directly, never through a client:
no cookie jar, no default headers, no redirects, no proxies from the environment, and the target goes out as given.
It bounds and pools nothing itself. httpx's own pool hands surplus bytes of one answer to the next call, so give it
`httpx.Limits(max_keepalive_connections=0)` where the upstream is not trusted.
"""

from collections.abc import AsyncIterator
from typing import cast

import httpx

from gateway.upstream.answer import HeaderLines, RequestBody, UpstreamAnswer
from gateway.upstream.connection import UpstreamTimeouts
from gateway.upstream.faults import BodyMismatch, UpstreamBroken, UpstreamFault, UpstreamTimeout, UpstreamUnreachable
from gateway.upstream.request_head import Origin, request_head

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class HttpxAnswer:
    """An httpx response, read raw."""

    def __init__(self, response: httpx.Response, *, to_head: bool) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: HeaderLines = [(name.lower(), value) for name, value in response.headers.raw]
        length = response.headers.get("content-length", "")
        self.content_length = int(length) if length.isascii() and length.isdigit() else None
        self.complete = to_head or self.status in (204, 304) or self.content_length == 0
        self._chunks: AsyncIterator[bytes] | None = None

    async def read(self) -> bytes:
        """Give the next bytes that are there; b"" at the end."""
        if self.complete:
            return b""
        if self._chunks is None:
            self._chunks = _raw_chunks(self._response)
        try:
            async for chunk in self._chunks:
                if chunk:
                    return chunk
        except httpx.HTTPError as error:
            raise _fault(error) from error
        self.complete = True
        return b""

    async def close(self) -> None:
        """Hand the response back to its transport, which cuts it when unfinished."""
        await self._response.aclose()


class HttpxUpstream:
    """An Upstream over a transport of somebody else's."""

    def __init__(
        self, url: str, transport: httpx.AsyncBaseTransport, *, timeouts: UpstreamTimeouts | None = None
    ) -> None:
        """Call `transport` for everything below `http(s)://host[:port][/base/path]`, and own it from now on."""
        self._origin = Origin.of(url)
        self._base = f"{'https' if self._origin.tls else 'http'}://{self._origin.authority.decode('ascii')}"
        self._transport = transport
        wait = timeouts or UpstreamTimeouts()
        self._timeout = httpx.Timeout(
            connect=wait.connect_s, read=wait.first_byte_s, write=wait.between_bytes_s, pool=wait.pool_wait_s
        ).as_dict()

    async def send(self, method: bytes, target: bytes, headers: HeaderLines, body: RequestBody) -> UpstreamAnswer:
        """Send one request (see Upstream.send)."""
        head = request_head(self._origin, method, target, headers, body)
        lines = [(b"host", self._origin.authority), *headers]
        if isinstance(body, bytes) and not any(name == b"content-length" for name, _ in headers):
            lines.append((b"content-length", b"%d" % len(body)))
        elif head.chunked:
            lines.append((b"transfer-encoding", b"chunked"))
        raw = self._origin.base_path + target
        stream = _RequestStream(body, head.length)
        request = httpx.Request(
            method.decode("ascii"),
            self._base + raw.decode("latin-1"),
            headers=lines,
            stream=stream,
            extensions={"target": raw, "timeout": self._timeout},
        )
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.HTTPError as error:
            raise _fault(error) from error
        finally:
            await stream.aclose()
        return HttpxAnswer(response, to_head=method == b"HEAD")

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


class _RequestStream(httpx.AsyncByteStream):
    """The body as httpx takes it, held to the length its head told."""

    def __init__(self, body: RequestBody, length: int | None) -> None:
        self._body = body
        self._length = length
        self._chunks: AsyncIterator[bytes] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._body is None:
            return
        if isinstance(self._body, bytes):
            yield self._body
            return
        sent = 0
        self._chunks = aiter(self._body)
        async for chunk in self._chunks:
            sent += len(chunk)
            if self._length is not None and sent > self._length:
                raise BodyMismatch("the body is longer than its content-length")
            yield chunk
        if self._length is not None and sent < self._length:
            raise BodyMismatch("the body is shorter than its content-length")

    async def aclose(self) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


async def _raw_chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    # Not aiter_raw(): a mocked response counts as read already, while its stream can still be walked.
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        yield chunk


def _fault(error: httpx.HTTPError) -> UpstreamFault:
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, _NOTHING_SENT):
        return UpstreamUnreachable(said)
    if isinstance(error, httpx.TimeoutException):
        return UpstreamTimeout(said)
    return UpstreamBroken(said)
