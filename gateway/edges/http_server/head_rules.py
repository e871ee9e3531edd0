"""Which request heads reach the application. Pure: bytes in, a refusal or what the application is told out.

httptools has read the lines; these are the rules it leaves open, each one a way to make two parsers disagree.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
ALLOW = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

_WATCHED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
# RFC 9110 §7.2, without the forms nobody uses on purpose (user, percent-encoding, sub-delimiters).
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::([0-9]{1,5}))?")
# Origin form only (RFC 9112 §3.2.1): visible ASCII without "#". What is in it is the route's business.
_TARGET = re.compile(rb"/[!\"$-~]*")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_LENGTH_DIGITS = 18
_MAX_PORT = 65535
_PERCENT = ord("%")


class Refused(Exception):
    """Not a request we serve: the status to answer, and a sentence for whoever debugs the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Framing(NamedTuple):
    """Where the body ends: after `length` bytes, or with the last chunk; and whether the caller waits to be asked."""

    length: int
    chunked: bool
    expects_continue: bool

    @property
    def has_body(self) -> bool:
        """Whether a byte of body, or an end of chunks, is still to come."""
        return self.chunked or self.length > 0


def check_request_line(method: bytes, target: bytes, version: str, *, target_bytes: int) -> None:
    """Refused unless it is one of our methods on an origin-form target in HTTP/1.0 or 1.1."""
    if version not in ("1.1", "1.0"):
        raise Refused(400 if version == "0.9" else 505, "unsupported HTTP version")
    if method not in METHODS:
        raise Refused(405, "method not allowed")
    if len(target) > target_bytes:
        raise Refused(414, "target too long")
    if not _TARGET.fullmatch(target):
        raise Refused(400, "the target is to be a path, of visible ASCII and without a fragment")


def check_headers(headers: list[tuple[bytes, bytes]], *, version: str) -> Framing:
    """Refused unless there is one good Host and at most one unmistakable framing. Names are in lower case."""
    hosts = 0
    length: bytes | None = None
    encoding: bytes | None = None
    expects_continue = False
    for name, value in headers:
        if name not in _WATCHED:
            continue
        if name == b"host":
            hosts += 1
            _check_host(value)
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise Refused(417, "unknown expectation")
            expects_continue = version == "1.1"
        elif name == b"content-length":
            if length is not None:
                raise Refused(400, "two Content-Length lines")
            length = value
        else:
            if encoding is not None:
                raise Refused(400, "two Transfer-Encoding lines")
            encoding = value
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise Refused(400, "one Host line is needed")
    return _framing(length, encoding, version=version, expects_continue=expects_continue)


def split_target(target: bytes) -> tuple[bytes, bytes, str]:
    """Raw path, raw query, and the path decoded as ASGI wants it (decide on the raw one)."""
    raw_path, _, query = target.partition(b"?")
    if _PERCENT in raw_path:
        return raw_path, query, unquote_to_bytes(raw_path).decode("utf-8", "replace")
    return raw_path, query, raw_path.decode("ascii")


def _check_host(value: bytes) -> None:
    match = _HOST.fullmatch(value)
    if match is None or (match[1] is not None and int(match[1]) > _MAX_PORT):
        raise Refused(400, "invalid Host")


def _framing(length: bytes | None, encoding: bytes | None, *, version: str, expects_continue: bool) -> Framing:
    if encoding is not None:
        if length is not None or version != "1.1":
            raise Refused(400, "Transfer-Encoding may not be used here")
        if encoding.lower() != b"chunked":
            raise Refused(501 if _TOKEN.fullmatch(encoding) else 400, "the only transfer coding known is chunked")
        return Framing(0, chunked=True, expects_continue=expects_continue)
    if length is None:
        return Framing(0, chunked=False, expects_continue=False)
    if not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS or (length[:1] == b"0" and length != b"0"):
        raise Refused(400, "Content-Length is to be a plain number")
    return Framing(int(length), chunked=False, expects_continue=expects_continue)
