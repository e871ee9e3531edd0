"""Webhook endpoints, their delivery log, and alerts."""

from typing import NotRequired

from typing_extensions import TypedDict

from gateway.domain.alert import AlertKind
from gateway.domain.webhook import DeliveryStatus, EventType
from gateway.edges.api.replies.amounts import Cents, Instant, Span


class Webhook(TypedDict):
    """An endpoint. `event_types` null: all, also those to come. `secret` is there in the answer that made it."""

    id: str
    account_id: str
    url: str
    description: str
    event_types: list[EventType] | None
    created_at: Instant
    enabled: bool
    disabled_reason: str
    failing_since: Instant | None
    previous_secret_until: Instant | None
    secret: NotRequired[str]


class Webhooks(TypedDict):
    """All endpoints of an account, oldest first."""

    items: list[Webhook]


class RemovedWebhook(TypedDict):
    """What was removed."""

    id: str
    removed: bool


class Delivery(TypedDict):
    """One event on its way to one endpoint. `last_status` is the HTTP status of the last try."""

    id: str
    message_id: str
    endpoint_id: str
    event_type: str
    status: DeliveryStatus
    attempts: int
    next_at: Instant | None
    created_at: Instant
    ended_at: Instant | None
    last_status: int | None
    last_fault: str


class Deliveries(TypedDict):
    """A page, newest first."""

    items: list[Delivery]
    next_page_token: str | None


class Attempt(TypedDict):
    """One try. `status` null: there was no answer, and `fault` says why."""

    number: int
    at: Instant
    status: int | None
    duration_ms: int
    fault: str
    reply: str


class DeliveryInFull(Delivery):
    """With every try and the very body that is sent."""

    tries: list[Attempt]
    body: str


class Replayed(TypedDict):
    """How many deliveries are sent again."""

    deliveries: int


class Threshold(TypedDict):
    """What was crossed: a part of the included credits, or an amount of money."""

    percent: NotRequired[int]
    cents: NotRequired[Cents]


class AlertCredits(TypedDict):
    """As they stood; decimal text, as webhooks tell it."""

    included: str
    used: str
    pay_as_you_go: str


class Alert(TypedDict):
    """Raised once for each period and threshold."""

    alert_id: str
    name: AlertKind
    threshold: Threshold
    period: Span
    credits: AlertCredits
    spend_cents: Cents
    raised_at: Instant


class Alerts(TypedDict):
    """What was raised, newest first."""

    items: list[Alert]
