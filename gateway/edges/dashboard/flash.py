"""A sentence for the next page, kept by the browser in a signed cookie until it is shown once.

Holds nothing secret: it is signed so that nobody else can put words into our mouth, and not encrypted.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

COOKIE: Final = "said"
MAX_AGE_S: Final = 60
_LONGEST: Final = 1_000


class Tone(StrEnum):
    """How a sentence is meant."""

    GOOD = "good"
    BAD = "bad"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Flash:
    """What is said at the top of the next page."""

    text: str
    tone: Tone = Tone.GOOD


def packed(flash: Flash, sign: Callable[[str], str]) -> str:
    """As the cookie's value. `sign` makes a mark that only we can make."""
    plain = orjson.dumps([flash.tone, flash.text[:_LONGEST]])
    text = base64.urlsafe_b64encode(plain).decode().rstrip("=")
    return f"{text}.{sign(f'flash:{text}')}"


def unpacked(cookie: str | None, sign: Callable[[str], str]) -> Flash | None:
    """What was said; None where nothing was, or by somebody else."""
    text, _, mark = (cookie or "").partition(".")
    if not text or not mark.isascii() or not hmac.compare_digest(mark, sign(f"flash:{text}")):
        return None
    try:
        tone, said = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return Flash(str(said), Tone(tone))
    except (ValueError, binascii.Error):
        return None
