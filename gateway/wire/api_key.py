"""API keys as text: `cgw_live_`, 32 base62 characters (190 random bits), then their CRC32 in 6 more.

The checksum lets a gateway turn away a mistyped or made-up key without asking any store, and lets secret scanners
recognise ours; it protects nothing. What is kept of a key is its HMAC: with this much randomness a slow password hash
would only serve whoever floods us with keys. Draws no random bytes and knows no store.
"""

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass, field
from typing import Final

PREFIX: Final = "cgw_live_"
RANDOM_BYTES: Final = 32
_BODY_CHARACTERS: Final = 32
_CHECKSUM_CHARACTERS: Final = 6
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH: Final = len(PREFIX) + _BODY_CHARACTERS + _CHECKSUM_CHARACTERS
_SHAPE: Final = re.compile(rb"cgw_live_[0-9A-Za-z]{38}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A well-formed key, which need not exist. The secret stays out of every repr, so out of logs and traces."""

    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart in a log."""
        return fingerprint(self.secret)


def make(random: bytes) -> str:
    """A new key from `RANDOM_BYTES` random bytes. ValueError for fewer."""
    if len(random) < RANDOM_BYTES:
        raise ValueError(f"a key is made from {RANDOM_BYTES} random bytes, these are {len(random)}")
    # 256 random bits onto 62^32 values: no character is likelier than another by more than 2^-65.
    body = PREFIX + _base62(int.from_bytes(random), _BODY_CHARACTERS)
    return body + _checksum(body.encode())


def parse(raw: bytes) -> ApiKey | None:
    """The key in what a caller sent, or None where length, alphabet or checksum are not those of one of ours."""
    if len(raw) != _LENGTH or _SHAPE.fullmatch(raw) is None:
        return None
    if _checksum(raw[:-_CHECKSUM_CHARACTERS]).encode() != raw[-_CHECKSUM_CHARACTERS:]:
        return None
    return ApiKey(raw)


def digest(secret: bytes, pepper: bytes) -> bytes:
    """What the books keep of a key: 32 bytes, useless without the pepper, which the books never see."""
    return hmac.digest(pepper, secret, "sha256")


def fingerprint(secret: bytes) -> str:
    """Eight hex digits that tell keys apart in a log and cannot be turned back."""
    return hashlib.sha256(secret).hexdigest()[:8]


def _checksum(body: bytes) -> str:
    return _base62(zlib.crc32(body), _CHECKSUM_CHARACTERS)


def _base62(number: int, characters: int) -> str:
    digits = []
    for _ in range(characters):
        number, digit = divmod(number, len(_BASE62))
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
