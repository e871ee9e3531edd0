"""Stripe's webhooks: who may have sent one, and what it is about. Pure; what follows is a flow's.

The signature is HMAC-SHA256 over `<time>.<body>` (https://docs.stripe.com/webhooks#verify-manually); one that is old
is refused, so that nobody replays what they once saw. What a payment has become is not read from here.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

import orjson

SIGNATURE_HEADER: Final = "stripe-signature"
TOLERANCE_S: Final = 300
_MOST_SIGNATURES: Final = 16
_LONGEST_TIME: Final = 12
_LONGEST_NAME: Final = 255
_PAYMENT: Final = "payment_intent."
_METHODS: Final = ("setup_intent.", "payment_method.", "checkout.session.", "customer.updated")


@dataclass(frozen=True, slots=True)
class AboutPayment:
    """Something became of the payment of an attempt of ours."""

    attempt_id: str
    ref: str


@dataclass(frozen=True, slots=True)
class AboutCustomer:
    """Something became of a customer's payment methods."""

    ref: str


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """`about` None: nothing we ask about."""

    id: str
    type: str
    about: AboutPayment | AboutCustomer | None


def signature(body: bytes, secret: bytes, *, at_s: int) -> str:
    """What `Stripe-Signature` says for a body, byte for byte as it was sent."""
    return f"t={at_s},v1={_hmac(body, secret, at_s)}"


def is_signed(body: bytes, shown: str, secret: bytes, *, now_s: int) -> bool:
    """Whether one of the header's signatures is the body's, and no older or newer than five minutes."""
    parts = [part.strip().partition("=") for part in shown.split(",")[:_MOST_SIGNATURES]]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= _LONGEST_TIME):
        return False
    at_s = int(times[0])
    expected = _hmac(body, secret, at_s).encode()
    matches = [hmac.compare_digest(value.encode(), expected) for name, _, value in parts if name == "v1"]
    return any(matches) and abs(now_s - at_s) <= TOLERANCE_S


def read_event(body: bytes) -> StripeEvent:
    """The event. ValueError: no event."""
    match orjson.loads(body):
        case {"id": str() as event_id, "type": str() as kind, "data": {"object": dict() as about}} if (
            0 < len(event_id) <= _LONGEST_NAME and len(kind) <= _LONGEST_NAME
        ):
            return StripeEvent(event_id, kind, _about(kind, about))
        case _:
            raise ValueError("no event")


def _about(kind: str, about: dict[str, object]) -> AboutPayment | AboutCustomer | None:
    if kind.startswith(_PAYMENT):
        match about:
            case {"id": str() as ref, "metadata": {"attempt": str() as attempt_id}}:
                return AboutPayment(attempt_id, ref)
            case _:
                return None
    if not kind.startswith(_METHODS):
        return None
    named = about.get("id" if kind.startswith("customer.") else "customer")
    return AboutCustomer(named) if isinstance(named, str) and named else None


def _hmac(body: bytes, secret: bytes, at_s: int) -> str:
    return hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
