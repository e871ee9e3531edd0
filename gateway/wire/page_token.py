"""The token that a list hands out to be gone on with: a position, and a digest of what was asked for.

It holds nothing that its caller may not know, so it is not signed. It is checked: one of another list, of other filters
or of nobody's making is refused, never read as the beginning.
"""

import base64
import binascii
import hashlib
import re
from typing import Final

import orjson

_VERSION: Final = 1
_FAR_MS: Final = 2**53
_DIGEST_BYTES: Final = 9
_LONGEST: Final = 512
_ID: Final = re.compile(r"[\w.-]{1,200}", re.ASCII)


def scope(*asked: object) -> str:
    """A digest of what a list was asked for: who, and every filter."""
    digest = hashlib.sha256(orjson.dumps(asked)).digest()[:_DIGEST_BYTES]
    return base64.urlsafe_b64encode(digest).decode()


def make(within: str, at_ms: int, last_id: str) -> str:
    """The token to go on behind `last_id`."""
    text = orjson.dumps([_VERSION, within, at_ms, last_id])
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def read(token: str, within: str) -> tuple[int, str] | None:
    """Where to go on; None for a token that `make` did not make for the same scope."""
    if len(token) > _LONGEST:
        return None
    try:
        found = orjson.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    match found:
        case [1, str() as made_for, int() as at_ms, str() as last_id] if made_for == within and 0 <= at_ms < _FAR_MS:
            return (at_ms, last_id) if _ID.fullmatch(last_id) else None
        case _:
            return None
