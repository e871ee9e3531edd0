"""Reads one answer from raw bytes: its head strictly, its body by the framing the head named.

httptools reads heads and chunks; known lengths, and answers that end with the connection, are counted here,
so that a byte too many is seen. It does no I/O: a connection feeds it, the caller takes the body out.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import httptools

from gateway.upstream.answer import HeaderLines
from gateway.upstream.faults import UpstreamBroken

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADER_LINES = 256
MAX_INTERIM_ANSWERS = 16
# Chunk extensions and trailers are dropped, but an answer may not consist of nothing else.
MAX_BYTES_WITHOUT_BODY = 64 * 1024
_MAX_LENGTH_DIGITS = 18
_NUL = 0  # a byte is found in bytes far sooner than bytes are
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Framing:
    """How the end of a body is told (RFC 9112 §6.3). Plain numbers: an enum's are slow to find, and asked for a lot."""

    HEAD_PENDING: Final = 0
    NO_BODY: Final = 1
    LENGTH: Final = 2
    CHUNKED: Final = 3
    UNTIL_CLOSE: Final = 4


class Garbled(Exception):
    """The bytes are not an answer we would pass on."""


class Reply:
    """One answer on its way in. The connection calls `feed`, `end_of_stream` and `fail`; the caller the rest."""

    # Defaults live on the class, so that a call only pays for what it sets.
    status = 0
    content_length: int | None = None
    complete = False
    heard = False
    backlog = 0
    _reader: asyncio.Future[None] | None = None
    _fault: BaseException | None = None
    _framing: int = Framing.HEAD_PENDING
    _head = b""
    _parser: httptools.HttpResponseParser | None = None
    _content_length_line: bytes | None = None
    _transfer_encoding: bytes | None = None
    _keep_alive = False
    _remaining = 0
    _quiet = 0
    _interim = 0
    _surplus = False
    _on_drained: Callable[[], None] | None = None
    _on_close: Callable[[], asyncio.Future[None] | None] | None = None
    # A parser asks for these as well: it is quicker to be told that there is nothing than to miss them.
    on_status = on_chunk_header = on_chunk_complete = None

    def __init__(self, *, to_head: bool, loop: asyncio.AbstractEventLoop) -> None:
        self.begun: asyncio.Future[None] = loop.create_future()
        self.headers: HeaderLines = []
        self._no_body = to_head
        self._chunks: list[bytes] = []

    # What the caller uses.

    async def read(self) -> bytes:
        """Give what has arrived since the last call, or wait for more; b"" at the end (see UpstreamAnswer)."""
        while not self._chunks:
            if self._fault is not None:
                raise self._fault
            if self.complete:
                return b""
            self._reader = self.begun.get_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        chunks, self._chunks, self.backlog = self._chunks, [], 0
        if self._on_drained is not None:
            self._on_drained()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def close(self) -> None:
        """Let go of the connection, cutting it when the answer or its request is unfinished (see UpstreamAnswer)."""
        release, self._on_close = self._on_close, None
        if release is not None and (body_closed := release()) is not None:
            await asyncio.wait([body_closed])
        if not self.complete and self._fault is None:
            self._fault = UpstreamBroken("read after close")

    # What the connection uses.

    @property
    def reusable(self) -> bool:
        """Whether the answer ended where it said, with nothing behind it, on a connection meant to stay."""
        return self.complete and self._keep_alive and not self._surplus

    def attach(
        self, *, on_drained: Callable[[], None] | None, on_close: Callable[[], asyncio.Future[None] | None] | None
    ) -> None:
        """Say whom to tell that the backlog was taken, and that the caller is done."""
        self._on_drained = on_drained
        self._on_close = on_close

    def feed(self, data: bytes) -> None:
        """Take bytes from the wire. Garbled when they cannot be an answer; the reply is then to be failed."""
        self.heard = True
        if self._framing == Framing.LENGTH:
            self._take_counted(data)
        elif self._framing == Framing.CHUNKED:
            self._take_chunked(data)
        elif self._framing == Framing.UNTIL_CLOSE:
            self._take(data)
        elif self._framing == Framing.HEAD_PENDING:
            self._take_head(self._head + data if self._head else data)
        else:
            self._surplus = True

    def end_of_stream(self) -> bool:
        """Take the upstream's orderly end of sending; whether that is how this answer ends."""
        if self._framing == Framing.UNTIL_CLOSE:
            self._finish()
        return self.complete

    def fail(self, fault: BaseException) -> None:
        """End a reply that will not be complete: `send` or `read` raises it, after the bytes that did arrive."""
        if self.complete or self._fault is not None:
            return
        self._fault = fault
        self._parser = None
        if not self.begun.done():
            self.begun.set_exception(fault)
        self._wake()

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header line; lines behind a chunked body (trailers) are dropped."""
        if self._framing != Framing.HEAD_PENDING:
            return
        name = name.lower()
        if name in _FRAMING:
            if name == b"content-length":
                self._content_length_line = value
            elif self._transfer_encoding is None:
                self._transfer_encoding = value
            else:
                raise Garbled("two Transfer-Encoding lines")
        self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Ask about keep-alive at the only moment the parser knows."""
        if self._framing == Framing.HEAD_PENDING and self._parser is not None:
            self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Take the inside of a chunk."""
        if not self.complete:
            self._quiet = 0
            self._take(body)

    def on_message_begin(self) -> None:
        """Notice a second answer behind the first."""
        self._surplus = self._surplus or self.complete

    def on_message_complete(self) -> None:
        """End a chunked body."""
        if self._framing == Framing.CHUNKED:
            self.complete = True

    # How the bytes are read.

    def _take_head(self, data: bytes) -> None:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = _plausible_head(data)
                return
            if end > MAX_HEAD_BYTES:
                raise Garbled("head too large")
            rest = data[end + 4 :]
            self._read_head(data[: end + 4])
            if self.status >= 200:  # noqa: PLR2004 the first final status (RFC 9110 §15)
                break
            self._interim += 1
            if self._interim > MAX_INTERIM_ANSWERS:
                raise Garbled("too many interim answers")
            self.headers = []
            data = rest
        self._head = b""
        self._choose_framing()
        if not self.begun.done():
            self.begun.set_result(None)
        if self._framing == Framing.NO_BODY:
            self._surplus = bool(rest)
            self._finish()
        elif rest:
            self.feed(rest)

    def _read_head(self, head: bytes) -> None:
        # llhttp also takes RTSP and ICE for a protocol, and control characters in the reason.
        if not head.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) or _NUL in head:
            raise Garbled("not an HTTP/1 answer")
        self._content_length_line = self._transfer_encoding = None
        # A fresh parser for each head: it is not shown bodies of known length, so it cannot find the next head.
        self._parser = parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise Garbled(str(error)) from error
        self.status = parser.get_status_code()
        if not 100 <= self.status < 600 or self.status == 101:  # noqa: PLR2004 RFC 9110 §15; we never ask for 101
            raise Garbled("no status an answer may have")
        if len(self.headers) > MAX_HEADER_LINES:
            raise Garbled("too many header lines")
        self._keep_alive = self._keep_alive and head.startswith(b"HTTP/1.1")

    def _choose_framing(self) -> None:
        length, encoding = self._content_length_line, self._transfer_encoding
        if length is not None:
            if not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS or (length[:1] == b"0" and length != b"0"):
                raise Garbled("odd Content-Length")
            self.content_length = int(length)
        if encoding is not None and (length is not None or encoding.lower() != b"chunked"):
            raise Garbled("odd Transfer-Encoding")
        if self._no_body or self.status in (204, 304) or self.content_length == 0:
            self._framing = Framing.NO_BODY
        elif encoding is not None:
            self._framing = Framing.CHUNKED
            return
        elif self.content_length is not None:
            self._framing = Framing.LENGTH
            self._remaining = self.content_length
        else:
            self._framing = Framing.UNTIL_CLOSE
            self._keep_alive = False
        self._parser = None

    def _take_counted(self, data: bytes) -> None:
        if len(data) < self._remaining:
            self._remaining -= len(data)
            self._take(data)
            return
        if len(data) > self._remaining:
            self._surplus = True
            data = data[: self._remaining]
        self._remaining = 0
        self._take(data)
        self._finish()

    def _take_chunked(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            self._surplus = True
            return
        self._quiet += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise Garbled(str(error)) from error
            self._surplus = True
        if self.complete:
            # llhttp skips line breaks before a next answer without a word.
            self._surplus = self._surplus or data.endswith(b"\r\n\r\n\r\n")
            self._finish()
        elif self._quiet > MAX_BYTES_WITHOUT_BODY:
            raise Garbled("chunks without content")

    def _take(self, data: bytes) -> None:
        if data:
            self._chunks.append(data)
            self.backlog += len(data)
            if self._reader is not None:
                self._wake()

    def _finish(self) -> None:
        self.complete = True
        self._parser = None
        if self._reader is not None:
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _plausible_head(data: bytes) -> bytes:
    """Refuse early what can no longer become a head, instead of waiting for its end until the time is up."""
    start = data[:9]
    if not (b"HTTP/1.1 ".startswith(start) or b"HTTP/1.0 ".startswith(start)):
        raise Garbled("not an HTTP/1 answer")
    if len(data) > MAX_HEAD_BYTES:
        raise Garbled("head too large")
    if b"\n\n" in data:
        raise Garbled("bare line feeds in the head")
    return data
