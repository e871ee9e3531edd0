"""What is typed about a webhook endpoint, as it was typed. Whether the address may be called is for the flow to say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.books.webhook_endpoints import Endpoint
from gateway.domain.webhook import EventType
from gateway.edges.dashboard.forms import Form

LONGEST_URL: Final = 2_048
# What can be chosen, and when it happens; a test goes to the endpoint it is asked for, whatever that hears of.
EVENTS: Final[Mapping[EventType, str]] = {
    EventType.ALERT_RAISED: "Usage or spending crossed a threshold",
    EventType.INVOICE_ISSUED: "An invoice got its number",
    EventType.INVOICE_PAID: "Nothing is due on an invoice any more",
    EventType.INVOICE_PAYMENT_FAILED: "A payment was tried and failed",
    EventType.PLAN_CHANGED: "Another plan was agreed, for now or later",
}


@dataclass(frozen=True, slots=True)
class WebhookForm:
    """As it was typed. `every`: all events, also those to come."""

    url: str = ""
    description: str = ""
    every: bool = True
    events: tuple[str, ...] = ()

    @classmethod
    def sent(cls, form: Form) -> "WebhookForm":
        """What came. WrongParameter for no such form."""
        return cls(form["url"], form["description"], form["hears_of"] == "all", tuple(form.every("event")))

    @classmethod
    def of(cls, endpoint: Endpoint) -> "WebhookForm":
        """As an endpoint is."""
        chosen = endpoint.event_types
        return cls(endpoint.url, endpoint.description, chosen is None, tuple(sorted(chosen or ())))

    @property
    def event_types(self) -> tuple[str, ...] | None:
        """For the flows; None: all."""
        return None if self.every else self.events

    @property
    def wrong(self) -> dict[str, str]:
        """What is wrong by field, as far as it shows."""
        found: dict[str, str] = {}
        if not self.url:
            found["url"] = "Write the address that is to be called, like https://example.com/hooks."
        elif len(self.url) > LONGEST_URL:
            found["url"] = f"At most {LONGEST_URL} characters."
        if not self.every and not self.events:
            found["event_types"] = "Tick what it hears of, or let it hear of everything."
        return found
