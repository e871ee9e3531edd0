"""The grammar of a request's head: what two parsers could read differently is refused.

One for both who judge heads: the listening side, which must know where a body ends, asks for the request line and the
framing; the proxy asks for all that it needs in one pass, whatever the server let through. Authenticates nobody.
"""

import re
from typing import Final, NamedTuple

from gateway.wire.headers import Headers

ALLOW: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
METHODS: Final = frozenset(ALLOW.split(", "))

# RFC 9110 §7.2, without the forms nobody uses on purpose (user, percent-encoding, sub-delimiters).
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::([0-9]{1,5}))?")
# Origin form only (RFC 9112 §3.2.1): visible ASCII without "#". What is in it is the route's business.
_TARGET: Final = re.compile(rb"/[!\"$-~]*")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_LENGTH_DIGITS: Final = 18
_MAX_PORT: Final = 65535
_MAX_IDEMPOTENCY_KEY: Final = 255


class BadHead(NamedTuple):
    """Why a request is refused, and with which status; its connection is not to be used again."""

    reason: str
    status: int = 400


class Framing(NamedTuple):
    """Where the body ends: after `length` bytes, or with the last chunk; and whether the caller waits to be asked."""

    length: int | None
    chunked: bool
    expects_continue: bool = False

    @property
    def has_body(self) -> bool:
        """Whether a byte of body, or an end of chunks, is still to come."""
        return self.chunked or bool(self.length)


class RequestHead(NamedTuple):
    """`content_length` None and not `chunked`: there is no body. `authorization` and `content_type` as sent."""

    content_length: int | None
    chunked: bool
    authorization: bytes | None
    content_type: bytes | None
    content_encoded: bool
    idempotency_key: str | None
    upgrade: bytes | None
    host: bytes

    @property
    def has_body(self) -> bool:
        """Whether bytes follow the head."""
        return self.chunked or bool(self.content_length)


_FRAMING: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_ONCE: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"authorization",
        b"content-type",
        b"content-encoding",
        b"idempotency-key",
        b"upgrade",
    }
)


def bad_request_line(method: str, target: bytes, version: str, *, target_bytes: int) -> BadHead | None:
    """None for one of our methods on an origin-form target of at most so many bytes, in HTTP/1.0 or 1.1."""
    if version not in ("1.1", "1.0"):
        return BadHead("unsupported HTTP version", 400 if version == "0.9" else 505)
    if method not in METHODS:
        return BadHead("method not allowed", 405)
    if len(target) > target_bytes:
        return BadHead("target too long", 414)
    if not _TARGET.fullmatch(target):
        return BadHead("the target is to be a path, of visible ASCII and without a fragment")
    return None


def read_framing(version: str, headers: Headers) -> Framing | BadHead:
    """The framing of an HTTP/1 request: at most one line tells it, and one Host is named. Names are in lower case."""
    once: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _FRAMING:
            if name in once and name != b"expect":
                return BadHead(f"more than one {name.decode()} header")
            once[name] = value
            if name == b"expect" and value.lower() != b"100-continue":
                return BadHead("unknown expectation", 417)
    host = once.get(b"host")
    if not _good_host(host) if host is not None else version == "1.1":
        return BadHead("the Host header is missing or malformed")
    framing = _framing(once.get(b"content-length"), once.get(b"transfer-encoding"), version)
    if b"expect" not in once or version != "1.1" or isinstance(framing, BadHead):
        return framing
    return framing._replace(expects_continue=framing.chunked or framing.length is not None)


def read_head(method: str, http_version: str, headers: Headers) -> RequestHead | BadHead:
    """The head of a request, or why it is refused. Fields that decide something must not come twice.

    Two equal Content-Length lines count as one. Two Authorization lines count as none: no key is picked among them.
    """
    once: dict[bytes, bytes] = {}
    for raw_name, value in headers:
        name = raw_name.lower()
        if name in _ONCE:
            if name in once and not (name == b"content-length" and once[name] == value):
                if name != b"authorization":
                    return BadHead(f"more than one {name.decode()} header")
                value = b""  # noqa: PLW2901
            once[name] = value
    if http_version not in {"1.0", "1.1", "2", "2.0", "3"}:
        return BadHead("unsupported HTTP version")
    if method not in METHODS:
        return BadHead("unsupported method")
    host = once.get(b"host", b"")
    if not _good_host(host):
        return BadHead("the Host header is missing or malformed")
    framing = _framing(once.get(b"content-length"), once.get(b"transfer-encoding"), http_version)
    if isinstance(framing, BadHead):
        return framing
    key = once.get(b"idempotency-key")
    if key is not None and not (0 < len(key) <= _MAX_IDEMPOTENCY_KEY and key.isascii()):
        return BadHead(f"Idempotency-Key must be 1 to {_MAX_IDEMPOTENCY_KEY} ASCII characters")
    return RequestHead(
        framing.length,
        framing.chunked,
        once.get(b"authorization"),
        once.get(b"content-type"),
        once.get(b"content-encoding", b"identity").lower() != b"identity",
        None if key is None else key.decode(),
        once.get(b"upgrade"),
        host,
    )


def _good_host(value: bytes) -> bool:
    match = _HOST.fullmatch(value)
    return match is not None and (match[1] is None or int(match[1]) <= _MAX_PORT)


_NO_BODY: Final = Framing(None, chunked=False)
_CHUNKED: Final = Framing(None, chunked=True)


def _framing(length: bytes | None, coding: bytes | None, version: str) -> Framing | BadHead:
    if coding is not None:
        if length is not None or version != "1.1":
            return BadHead("Transfer-Encoding may not be used here")
        if coding.lower() != b"chunked":
            return BadHead("the only transfer coding known is chunked", 501 if _TOKEN.fullmatch(coding) else 400)
        return _CHUNKED
    if length is None:
        return _NO_BODY
    if not length.isdigit() or len(length) > _MAX_LENGTH_DIGITS or (length[:1] == b"0" and length != b"0"):
        return BadHead("Content-Length is to be a plain number")
    return Framing(int(length), chunked=False)
