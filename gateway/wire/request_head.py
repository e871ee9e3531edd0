"""What the edge needs from a request's head, found in one pass, and what two parsers could read differently refused.

Servers differ in what they let through (both framings, odd Transfer-Encodings, two Hosts): the grammar is checked here
again, whatever the server. Authenticates nobody.
"""

import re
from typing import Final, NamedTuple

from gateway.wire.headers import Headers

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
_METHOD: Final = re.compile(r"[A-Z][A-Z_-]{0,31}")
_USUAL: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_MAX_LENGTH_DIGITS: Final = 18
_MAX_IDEMPOTENCY_KEY: Final = 255


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


class BadHead(NamedTuple):
    """Why a request is refused with 400; its connection is not to be used again."""

    reason: str


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
    if method not in _USUAL and (not _METHOD.fullmatch(method) or method in {"TRACE", "CONNECT"}):
        return BadHead("unsupported method")
    host = once.get(b"host", b"")
    if not _HOST.fullmatch(host):
        return BadHead("the Host header is missing or malformed")
    length = once.get(b"content-length")
    coding = once.get(b"transfer-encoding")
    if coding is not None and (length is not None or http_version != "1.1" or coding.lower() != b"chunked"):
        return BadHead("ambiguous or unsupported message framing")
    if length is not None and not (length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS):
        return BadHead("malformed Content-Length")
    key = once.get(b"idempotency-key")
    if key is not None and not (0 < len(key) <= _MAX_IDEMPOTENCY_KEY and key.isascii()):
        return BadHead(f"Idempotency-Key must be 1 to {_MAX_IDEMPOTENCY_KEY} ASCII characters")
    return RequestHead(
        None if length is None else int(length),
        coding is not None,
        once.get(b"authorization"),
        once.get(b"content-type"),
        once.get(b"content-encoding", b"identity").lower() != b"identity",
        None if key is None else key.decode(),
        once.get(b"upgrade"),
        host,
    )
