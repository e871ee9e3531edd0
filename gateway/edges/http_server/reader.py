"""Reads requests from raw bytes by httptools and the grammar of `wire.request_head`, with a bound on all it waits for.

It does no I/O. Who takes the requests is told of each head, each piece of a body and each body's end, in order.
"""

import logging
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import httptools

from gateway.edges.http_server.limits import ServerLimits
from gateway.edges.http_server.refused import Refused
from gateway.wire.request_head import BadHead, Framing, bad_request_line, read_framing

logger = logging.getLogger(__name__)

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_LONGEST_METHOD = 16
_PERCENT = ord("%")


class Taker(Protocol):
    """Who serves what is read. Refused may be raised from each."""

    def head_begun(self) -> None:
        """Take it that the first byte of a request is here."""

    def request(self, scope: dict[str, Any], framing: Framing, *, keep_alive: bool) -> None:
        """Take a request whose head is whole; `scope` lacks the connection's addresses."""

    def body(self, data: bytes) -> None:
        """Take a piece of the latest request's body."""

    def body_end(self) -> None:
        """Take the end of the latest request, even of one without a body."""


class RequestReader:
    """One connection's requests, in order."""

    def __init__(self, taker: Taker, limits: ServerLimits) -> None:
        self.in_head = False
        self.in_body = False
        self._taker = taker
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        # What comes behind a request that says close is not worth an error: its response has to be written first.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._packet_bytes = 0
        self._bytes_without_body = 0
        self._refused: Refused | None = None

    def feed(self, data: bytes) -> bool:
        """Read on; whether more may follow (not behind an Upgrade, which is never agreed to). Refused: read no more."""
        self._bytes_without_body += len(data)
        self._packet_bytes = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return False
        except httptools.HttpParserError as error:
            raise self._reason(error, data) from error
        if self.in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                raise Refused(431, "request head too large")
        elif self.in_body and self._bytes_without_body > self._limits.bytes_without_body:
            raise Refused(400, "chunks without content")
        return True

    # What httptools calls. An exception here reaches `feed` only as an error of the parser, so it is kept aside.

    def on_message_begin(self) -> None:
        """Begin a head."""
        self.in_head = True
        self._target = b""
        self._headers = []
        self._head_bytes = 0
        self._taker.head_begun()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line; what comes behind a body (trailers) is dropped (RFC 9110 §6.5.1)."""
        if self.in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Check the head and pass the request on."""
        self.in_head = False
        try:
            self._pass_on()
        except Refused as refused:
            self.in_body = False
            self._refused = refused
            raise
        self._bytes_without_body = 0

    def on_body(self, body: bytes) -> None:
        """Pass a piece of a body on."""
        self._bytes_without_body = 0
        try:
            self._taker.body(body)
        except Refused as refused:
            self._refused = refused
            raise

    def on_message_complete(self) -> None:
        """Pass an end on."""
        self.in_body = False
        self._taker.body_end()

    def _pass_on(self) -> None:
        limits, headers, parser = self._limits, self._headers, self._parser
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        bad = bad_request_line(method, self._target, version, target_bytes=limits.target_bytes)
        if bad is not None:
            raise Refused(bad.status, bad.reason)
        if len(headers) > limits.header_lines or (
            self._head_bytes + self._packet_bytes > limits.head_bytes and _size(headers) > limits.head_bytes
        ):
            raise Refused(431, "request head too large")
        framing = read_framing(version, headers)
        if isinstance(framing, BadHead):
            raise Refused(framing.status, framing.reason)
        upgrade = parser.should_upgrade()
        if upgrade and framing.has_body:
            # The parser takes what follows for the other protocol, so the body's end would be anybody's guess.
            raise Refused(400, "an upgrade may not have a body")
        raw_path, query, path = _split(self._target)
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method,
            "root_path": "",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
        }
        self.in_body = framing.has_body
        keep_alive = version == "1.1" and not upgrade and parser.should_keep_alive()
        self._taker.request(scope, framing, keep_alive=keep_alive)

    def _reason(self, error: httptools.HttpParserError, data: bytes) -> Refused:
        if self._refused is not None:
            return self._refused
        if isinstance(error, httptools.HttpParserCallbackError):
            logger.error("reading a request failed", exc_info=error.__context__)
            return Refused(500, "Internal Server Error")
        if isinstance(error, httptools.HttpParserInvalidMethodError) and b" " not in data[:_LONGEST_METHOD]:
            return Refused(501, "unknown method")  # longer than any we know (RFC 9112 §3)
        return Refused(400, str(error))


def _split(target: bytes) -> tuple[bytes, bytes, str]:
    """Raw path, raw query, and the path decoded as ASGI wants it (decide on the raw one)."""
    raw_path, _, query = target.partition(b"?")
    if _PERCENT in raw_path:
        return raw_path, query, unquote_to_bytes(raw_path).decode("utf-8", "replace")
    return raw_path, query, raw_path.decode("ascii")


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum([len(name) + len(value) + 4 for name, value in headers])
