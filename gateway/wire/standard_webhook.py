"""Standard Webhooks (standardwebhooks.com): secrets, signatures, bodies. Pure: no randomness, no clock, no store.

A secret is made of a random seed and the gateway's pepper by HMAC-SHA256. The books keep only the seed: without the
pepper, which they never see, nobody who reads them can sign.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from gateway.domain.instant import from_epoch_ms

SEED_BYTES: Final = 32
PREFIX: Final = "whsec_"
# Keeps these apart from whatever else is made with the pepper: no API key has such a form.
_PURPOSE: Final = b"webhook signing secret\x00"


def new_seed(random: bytes) -> str:
    """The text the books keep, from `SEED_BYTES` random bytes. ValueError for fewer."""
    if len(random) < SEED_BYTES:
        raise ValueError(f"a seed is made from {SEED_BYTES} random bytes, these are {len(random)}")
    return random.hex()


def signing_key(seed: str, pepper: bytes) -> bytes:
    """The 32 bytes that sign."""
    return hmac.digest(pepper, _PURPOSE + bytes.fromhex(seed), "sha256")


def secret(seed: str, pepper: bytes) -> str:
    """The secret as its owner is shown it: `whsec_` and the key in base64."""
    return PREFIX + base64.b64encode(signing_key(seed, pepper)).decode()


def signed_headers(message_id: str, at_s: int, body: bytes, keys: Sequence[bytes]) -> list[tuple[str, str]]:
    """The three headers; one signature for each key, all of which the receiver may know."""
    signed = b"%s.%d.%s" % (message_id.encode(), at_s, body)
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(at_s)),
        ("webhook-signature", " ".join(f"v1,{signature}" for signature in signatures)),
    ]


def event_body(event_type: str, at: datetime, data: Mapping[str, Any]) -> bytes:
    """`{"type", "timestamp", "data"}`, as the standard advises."""
    return orjson.dumps({"type": event_type, "timestamp": _text(at), "data": data})


def instant_text(at_ms: int) -> str:
    """An instant in epoch milliseconds as events say it: `2026-11-23T12:00:00.000Z`."""
    return _text(from_epoch_ms(at_ms))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
