"""Writes the head of a request. Pure: it knows bytes, not connections.

It repairs nothing: whoever hands it a line break has a bug, and gets a ValueError before anything is sent.
"""

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.upstream.answer import HeaderLines, RequestBody

_FRAMING_IS_OURS = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade"})
_MAX_LENGTH_DIGITS = 18
# A byte is found in bytes far sooner than bytes are.
_NUL, _SPACE = 0, ord(" ")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream lives: scheme, host and port to connect to, Host to name, base path to put in front."""

    tls: bool
    host: str
    port: int
    authority: bytes
    base_path: bytes

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Read `http(s)://host[:port][/base/path]`; anything else in it (user, query, fragment) is a ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an upstream URL is http:// or https:// with a host")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("an upstream URL has no user, query or fragment")
        tls = parts.scheme == "https"
        default_port = 443 if tls else 80
        port = parts.port or default_port
        named = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = named if port == default_port else f"{named}:{port}"
        return cls(tls, parts.hostname, port, authority.encode("ascii"), parts.path.rstrip("/").encode("ascii"))


class RequestHead(NamedTuple):
    """The bytes of a head, and how the body behind it is framed: `length` bytes, or chunked."""

    data: bytes
    length: int | None
    chunked: bool


def request_head(origin: Origin, method: bytes, target: bytes, headers: HeaderLines, body: RequestBody) -> RequestHead:
    """Write the head for this body (RFC 9112 §6.2: never both framings). ValueError for what must not be sent."""
    if not target.startswith(b"/"):
        raise ValueError("a target begins with a slash")
    parts = [method, b" ", origin.base_path, target, b" HTTP/1.1\r\nhost: ", origin.authority, b"\r\n"]
    breaks = 3 + len(headers)
    length: int | None = None
    for name, value in headers:
        if name in _FRAMING_IS_OURS:
            if name != b"content-length" or length is not None:
                raise ValueError(f"{name.decode()} is not the caller's to set, or was set twice")
            length = _length(value)
        parts += (name, b": ", value, b"\r\n")
    chunked = False
    if isinstance(body, bytes):
        if length is None:
            length = len(body)
            parts.append(b"content-length: %d\r\n" % length)
            breaks += 1
        elif length != len(body):
            raise ValueError("content-length differs from the body")
    elif body is None:
        if length:
            raise ValueError("content-length without a body")
    elif length is None:
        chunked = True
        parts.append(b"transfer-encoding: chunked\r\n")
        breaks += 1
    parts.append(b"\r\n")
    data = b"".join(parts)
    if data.count(b"\n") != breaks or data.count(b"\r") != breaks or _NUL in data or _SPACE in target:
        raise ValueError("a line break, NUL or space where none may be")
    return RequestHead(data, length, chunked)


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise ValueError("content-length is not a number")
    return int(value)
