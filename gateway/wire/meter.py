"""A meter is shown an upstream's answer as it passes and keeps a bounded part of it, to find a job id or a cost.

It does no I/O, changes no byte and never holds the answer up. What is too long or encoded in a way it cannot read is
"not read": the call is then settled by its quote, with that as the evidence.
"""

import zlib
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.wire.headers import Headers

KEEP_BYTES: Final = 262_144
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_SUCCESS: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class NotRead:
    """Why an answer tells nothing, in words for the usage event's evidence."""

    reason: str


class Meter:
    """One answer: `on_start` once, `on_body` for each chunk, `finish` when the upstream has sent its end."""

    __slots__ = ("_codings", "_keep_bytes", "_kept", "_parsed", "bytes_seen", "finished", "status")

    def __init__(self, *, keep_bytes: int = KEEP_BYTES) -> None:
        self.status = 0
        self.bytes_seen = 0
        self.finished = False
        self._keep_bytes = keep_bytes
        self._kept: bytearray | None = bytearray()
        self._codings: list[bytes] = []
        self._parsed: object = None

    @property
    def succeeded(self) -> bool:
        """Whether the status is a 2xx."""
        return self.status in _SUCCESS

    def on_start(self, status: int, headers: Headers) -> None:
        """The status and the upstream's own headers, before anything is stripped from them."""
        self.status = status
        for name, value in headers:
            if name.lower() == b"content-encoding":
                self._codings += [coding.strip().lower() for coding in value.split(b",") if coding.strip()]

    def on_body(self, chunk: bytes) -> None:
        """The next bytes of the body, as the upstream sent them."""
        self.bytes_seen += len(chunk)
        if self._kept is not None:
            if self.bytes_seen > self._keep_bytes:
                self._kept = None  # half a document tells nothing
            else:
                self._kept += chunk

    def finish(self) -> None:
        """The body is complete. Without this it was cut, and `json` reads nothing from it."""
        self.finished = True

    def json(self) -> object | NotRead:
        """The answer's JSON document, or why there is none to read."""
        if self._parsed is None:
            self._parsed = self._read()
        return self._parsed

    def _read(self) -> object | NotRead:
        if not self.finished:
            return NotRead("the answer was cut")
        if self._kept is None:
            return NotRead("the answer is too long to read")
        body = decoded(bytes(self._kept), self._codings, most=self._keep_bytes)
        if isinstance(body, NotRead):
            return body
        try:
            document: object = orjson.loads(body)
        except orjson.JSONDecodeError:
            return NotRead("the answer is not JSON")
        return NotRead("the answer is null") if document is None else document


def decoded(body: bytes, codings: list[bytes], *, most: int) -> bytes | NotRead:
    """The body without its content coding, never more than `most` bytes: a bomb is "too long", and costs no more."""
    codings = [coding for coding in codings if coding != b"identity"]
    if not codings or not body:
        return body
    if len(codings) > 1 or codings[0] not in {b"gzip", b"x-gzip", b"deflate"}:
        return NotRead("the answer's content coding is not readable")
    try:
        return _inflated(body, _GZIP_OR_ZLIB, most)
    except zlib.error:
        if codings[0] != b"deflate":
            return NotRead("the answer's content coding is broken")
    try:
        return _inflated(body, _RAW_DEFLATE, most)  # what "deflate" means to some servers
    except zlib.error:
        return NotRead("the answer's content coding is broken")


def _inflated(body: bytes, window_bits: int, most: int) -> bytes | NotRead:
    plain = bytearray()
    while body:
        inflater = zlib.decompressobj(window_bits)
        plain += inflater.decompress(body, most + 1 - len(plain))
        if len(plain) > most or inflater.unconsumed_tail:
            return NotRead("the answer is too long to read")
        if not inflater.eof:
            return NotRead("the answer's content coding is cut")
        body = inflater.unused_data  # gzip allows several members in a row
    return bytes(plain)
