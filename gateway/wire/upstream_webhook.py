"""Webhooks of the product services: who may send one, and which job it is about. Pure; what follows is a flow's.

They carry no credits and are believed in nothing: a webhook only says that a job is worth a look now.
"""

import hashlib
import hmac
from typing import Final

import orjson

from gateway.wire.job_reply import valid_job_id

SIGNATURE_HEADER: Final = "lc-signature"
_SCHEME: Final = b"sha256="


def signature(body: bytes, secret: bytes) -> bytes:
    """What `LC-Signature` must say for a body, byte for byte as it was sent."""
    return _SCHEME + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()


def is_signed(body: bytes, shown: bytes, secret: bytes) -> bool:
    """Whether the header's value is the body's signature. Takes the same time wherever it is wrong."""
    return hmac.compare_digest(shown, signature(body, secret))


def read_job_news(body: bytes) -> str | None:
    """The id of the job in `{"event_id", "event_type", "data": {"job_id"}}`; None where it is about no job.

    ValueError: no JSON object.
    """
    document = orjson.loads(body)
    match document:
        case {"data": {"job_id": str() as job_id}} if valid_job_id(job_id):
            return job_id
        case dict():
            return None
        case _:
            raise ValueError("no JSON object")
