"""Webhooks to accounts: what they can hear of, how a delivery goes on, and when it is tried again. No I/O, no clock."""

from enum import StrEnum
from typing import Final

_SECOND_MS: Final = 1_000
_MINUTE_MS: Final = 60 * _SECOND_MS
_HOUR_MS: Final = 60 * _MINUTE_MS

# The pauses after each failed try, a little over three days in all.
PAUSES_MS: Final = (
    5 * _SECOND_MS,
    5 * _MINUTE_MS,
    30 * _MINUTE_MS,
    2 * _HOUR_MS,
    5 * _HOUR_MS,
    10 * _HOUR_MS,
    14 * _HOUR_MS,
    20 * _HOUR_MS,
    24 * _HOUR_MS,
)
MOST_JITTER_PERMILLE: Final = 100
# An endpoint that wants to be left alone for longer is asked again all the same.
LONGEST_REST_MS: Final = 24 * _HOUR_MS
GONE: Final = 410


class EventType(StrEnum):
    """What an endpoint can subscribe to."""

    ALERT_RAISED = "alert.raised"
    INVOICE_ISSUED = "invoice.issued"
    INVOICE_PAID = "invoice.paid"
    INVOICE_PAYMENT_FAILED = "invoice.payment_failed"
    PLAN_CHANGED = "plan.changed"
    WEBHOOK_TEST = "webhook.test"


class DeliveryStatus(StrEnum):
    """How far a delivery is."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class TryOutcome(StrEnum):
    """What came of one try."""

    DELIVERED = "delivered"
    FAILED = "failed"  # tried again later
    GIVEN_UP = "given_up"
    DISABLED = "disabled"  # as `failed` or `given_up`, and the endpoint is out of use


def pause_ms(tries: int, *, jitter_permille: int, rest_ms: int = 0) -> int | None:
    """How long to wait after so many failed tries; None: it has failed for good.

    `jitter_permille`, from 0 to 100, lengthens it by that part: endpoints that come back are not met by all at once.
    `rest_ms` is how long the endpoint asked to be left alone (RFC 9110, section 10.2.3).
    """
    if tries > len(PAUSES_MS):
        return None
    pause = max(PAUSES_MS[tries - 1], min(rest_ms, LONGEST_REST_MS))
    return pause + pause * min(jitter_permille, MOST_JITTER_PERMILLE) // 1000


def accepted(status: int) -> bool:
    """Whether a reply says that the event arrived: 2xx, nothing else. A redirect does not."""
    return 200 <= status <= 299  # noqa: PLR2004 - RFC 9110, section 15.3
