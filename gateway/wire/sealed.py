"""Text that is kept for a while and may hold a secret: sealed under the gateway's own pepper, which no store has.

A keystream of SHAKE-256 under a key and a nonce that is used once, then an HMAC over both: whoever reads the store
reads noise, and what was altered is not opened. Makes no randomness: the nonce comes in.
"""

import hashlib
import hmac
from typing import Final

NONCE_BYTES: Final = 24
_TAG_BYTES: Final = 32


def seal(plain: bytes, *, pepper: bytes, purpose: bytes, nonce: bytes) -> bytes:
    """Nonce, tag and what is sealed, in one piece. `purpose` keeps things of one kind from passing for another's."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
    hidden = _mixed(plain, _key(pepper, purpose, b"stream"), nonce)
    return nonce + _tag(hidden, pepper, purpose, nonce) + hidden


def unseal(sealed: bytes, *, pepper: bytes, purpose: bytes) -> bytes | None:
    """What was sealed; None where it was altered, or sealed under another pepper or for another purpose."""
    nonce, tag = sealed[:NONCE_BYTES], sealed[NONCE_BYTES : NONCE_BYTES + _TAG_BYTES]
    hidden = sealed[NONCE_BYTES + _TAG_BYTES :]
    if not hmac.compare_digest(tag, _tag(hidden, pepper, purpose, nonce)):
        return None
    return _mixed(hidden, _key(pepper, purpose, b"stream"), nonce)


def _mixed(text: bytes, key: bytes, nonce: bytes) -> bytes:
    stream = hashlib.shake_256(key + nonce).digest(len(text))
    return (int.from_bytes(text) ^ int.from_bytes(stream)).to_bytes(len(text))


def _tag(hidden: bytes, pepper: bytes, purpose: bytes, nonce: bytes) -> bytes:
    return hmac.digest(_key(pepper, purpose, b"tag"), nonce + hidden, "sha256")


def _key(pepper: bytes, purpose: bytes, use: bytes) -> bytes:
    return hmac.digest(pepper, b"sealed\0" + purpose + b"\0" + use, "sha256")
