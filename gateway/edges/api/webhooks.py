"""The account's webhook endpoints: make, change, rotate, switch off and on, remove.

A secret is told once, in the answer that made it (or, within a day, to the same Idempotency-Key).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydantic import Field

from gateway.books.webhook_endpoints import Endpoint as Booked
from gateway.domain.webhook import EventType
from gateway.edges.api.endpoint import Area, Ask, Document, Endpoint, Strict
from gateway.edges.api.replies import webhooks as replies
from gateway.edges.api.usage_document import instant
from gateway.edges.api.webhook_deliveries import delivery_endpoints, endpoint
from gateway.edges.desk import Desk
from gateway.flows.webhooks import LONGEST_OVERLAP_MS, OVERLAP_MS, ShownEndpoint

LONGEST_URL: Final = 2_048


class WebhookWish(Strict):
    """All of it: what is left out goes back to what it is without."""

    url: str = Field(min_length=1, max_length=LONGEST_URL, description="https, and reachable from the public internet")
    description: str = Field("", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    event_types: list[EventType] | None = Field(
        None, min_length=1, max_length=32, description="Left out: all, also those to come"
    )


class RotateWish(Strict):
    """How long the secret before signs too."""

    overlap_s: int = Field(OVERLAP_MS // 1000, ge=0, le=LONGEST_OVERLAP_MS // 1000)


def webhook_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """An account's endpoints. One of another account is not there."""
    path = f"{area.base}/webhooks"
    one = f"{path}/{{endpoint_id}}"
    answers, door = _Answers(desk, area), partial(endpoint, area)
    whole: dict[str, Any] = {"body": WebhookWish}
    return [
        door("GET", path, answers.listed, "Webhook endpoints, the oldest first", replies.Webhooks),
        door("POST", path, answers.created, "Make a webhook endpoint", replies.Webhook, status=201, **whole),
        door("GET", one, answers.shown, "One webhook endpoint", replies.Webhook, edits=answers.own),
        door("PUT", one, answers.changed, "Change a webhook endpoint", replies.Webhook, edits=answers.own, **whole),
        door(
            "DELETE",
            one,
            answers.removed,
            "Remove a webhook endpoint and its log",
            replies.RemovedWebhook,
            edits=answers.own,
        ),
        door("POST", f"{one}/rotate", answers.rotated, "Make another signing secret", replies.Webhook, body=RotateWish),
        door("POST", f"{one}/enable", answers.enabled, "Send to it again", replies.Webhook),
        door("POST", f"{one}/disable", answers.disabled, "Send nothing to it any more", replies.Webhook),
        *delivery_endpoints(desk, area, one),
    ]


@dataclass(frozen=True, slots=True)
class _Answers:
    desk: Desk
    area: Area

    def _mine(self, ask: Ask) -> dict[str, Any]:
        return {"account_id": self.area.account_of(ask), "actor": ask.actor}

    async def listed(self, ask: Ask) -> Document:
        return {
            "items": [
                webhook_document(found) for found in await self.desk.webhooks.of_account(self.area.account_of(ask))
            ]
        }

    async def shown(self, ask: Ask) -> Document:
        return webhook_document(
            await self.desk.webhooks.show(ask.path("endpoint_id"), account_id=self.area.account_of(ask))
        )

    async def own(self, ask: Ask) -> Document:
        """What can be edited: without what deliveries change, so that an ETag lasts."""
        shown = await self.shown(ask)
        return {name: shown[name] for name in ("id", "url", "description", "event_types")}

    async def created(self, ask: Ask) -> Document:
        wish: WebhookWish = ask.body
        made = await self.desk.webhooks.create(
            self.area.account_of(ask),
            wish.url,
            event_types=wish.event_types,
            description=wish.description,
            actor=ask.actor,
        )
        return _with_secret(made)

    async def changed(self, ask: Ask) -> Document:
        wish: WebhookWish = ask.body
        return webhook_document(
            await self.desk.webhooks.update(
                ask.path("endpoint_id"),
                url=wish.url,
                event_types=wish.event_types,
                all_events=wish.event_types is None,
                description=wish.description,
                **self._mine(ask),
            )
        )

    async def removed(self, ask: Ask) -> Document:
        await self.desk.webhooks.remove(ask.path("endpoint_id"), **self._mine(ask))
        return {"id": ask.path("endpoint_id"), "removed": True}

    async def rotated(self, ask: Ask) -> Document:
        wish: RotateWish = ask.body
        return _with_secret(
            await self.desk.webhooks.rotate(
                ask.path("endpoint_id"), overlap_ms=wish.overlap_s * 1000, **self._mine(ask)
            )
        )

    async def enabled(self, ask: Ask) -> Document:
        return webhook_document(await self.desk.webhooks.enable(ask.path("endpoint_id"), **self._mine(ask)))

    async def disabled(self, ask: Ask) -> Document:
        return webhook_document(await self.desk.webhooks.disable(ask.path("endpoint_id"), **self._mine(ask)))


def webhook_document(found: Booked) -> dict[str, Any]:
    """Without its secret."""
    return {
        "id": found.id,
        "account_id": found.account_id,
        "url": found.url,
        "description": found.description,
        "event_types": None if found.event_types is None else sorted(found.event_types),
        "created_at": instant(found.created_ms),
        "enabled": found.disabled_ms is None,
        "disabled_reason": found.disabled_reason,
        "failing_since": None if found.failing_since_ms is None else instant(found.failing_since_ms),
        "previous_secret_until": None if found.previous_until_ms is None else instant(found.previous_until_ms),
    }


def _with_secret(made: ShownEndpoint) -> dict[str, Any]:
    return {**webhook_document(made.endpoint), "secret": made.secret}
