"""The seam every upstream client fits: the pool of this package, an httpx transport, a stand-in of a test."""

from collections.abc import AsyncIterable
from typing import Protocol

HeaderLines = list[tuple[bytes, bytes]]
RequestBody = bytes | AsyncIterable[bytes] | None


class UpstreamAnswer(Protocol):
    """A final answer (never 1xx) whose head has arrived and whose body is being read.

    `headers` are as received, in order, names in lower case, hop-by-hop fields included.
    `complete` says that the whole body is here already: the next `read` gives all that is left of it, without waiting.
    """

    @property
    def status(self) -> int:
        """200 to 599."""

    @property
    def headers(self) -> HeaderLines:
        """As received."""

    @property
    def content_length(self) -> int | None:
        """In bytes, where the head says so; of an answer to HEAD, what GET would have."""

    @property
    def complete(self) -> bool:
        """Whether nothing more will come."""

    async def read(self) -> bytes:
        """Give the next bytes of the body, not decoded, and b"" at its end. UpstreamFault when it is cut short.

        Cancelling it loses nothing: the bytes stay for the next call.
        """

    async def close(self) -> None:
        """Let go of the connection, which is used again only if request and answer both ended cleanly. Idempotent."""


class Upstream(Protocol):
    """One product service."""

    async def send(self, method: bytes, target: bytes, headers: HeaderLines, body: RequestBody) -> UpstreamAnswer:
        """Send one request and give the answer as soon as its head is here. UpstreamFault when there is none.

        `target` is sent byte for byte behind the base path of the upstream's URL and begins with a slash.
        `headers` have lower-case names and no hop-by-hop fields and no host. A content-length among them frames the
        body; without one, bytes get one and an iterable is sent chunked. Nothing else is added but Host.
        An iterable that was begun is closed, however the call ends. If it raises, the request is aborted, never
        ended, and the exception comes out of `send` or `read`; cancelling `send` aborts too.
        """

    async def aclose(self) -> None:
        """Abort every call and close every connection."""
