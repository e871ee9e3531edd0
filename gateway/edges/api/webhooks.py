"""The account's webhook endpoints: make, change, rotate, test, look at deliveries and send them again.

A secret is told once, in the answer that made it (or, within a day, to the same Idempotency-Key).
"""

from typing import Any, Final

from pydantic import Field

from gateway.books.webhook_endpoints import Endpoint as Booked
from gateway.books.webhooks import Delivery
from gateway.domain.instant import epoch_ms
from gateway.domain.webhook import DeliveryStatus, EventType
from gateway.edges.api.endpoint import Answer, Area, Ask, Document, Endpoint, Strict
from gateway.edges.api.instants import NearInstant
from gateway.edges.api.paging import PageQuery, page, place, scope_of
from gateway.edges.api.replies import webhooks as replies
from gateway.edges.api.usage_document import instant
from gateway.edges.desk import Desk
from gateway.flows.faults import NoSuchThing
from gateway.flows.webhooks import LONGEST_OVERLAP_MS, OVERLAP_MS, ShownEndpoint
from gateway.wire.problems import Fault

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


class ReplayWish(Strict):
    """Everything that happened since then and failed."""

    since: NearInstant


class DeliveriesQuery(PageQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = Field(None)


def webhook_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """An account's endpoints. One of another account is not there."""
    path = f"{area.base}/webhooks"
    one = f"{path}/{{endpoint_id}}"
    webhooks = desk.webhooks

    def mine(ask: Ask) -> dict[str, Any]:
        return {"account_id": area.account_of(ask), "actor": ask.actor}

    async def listed(ask: Ask) -> Document:
        return {"items": [webhook_document(found) for found in await webhooks.of_account(area.account_of(ask))]}

    async def shown(ask: Ask) -> Document:
        return webhook_document(await webhooks.show(ask.path("endpoint_id"), account_id=area.account_of(ask)))

    async def created(ask: Ask) -> Document:
        wish: WebhookWish = ask.body
        made = await webhooks.create(
            area.account_of(ask),
            wish.url,
            event_types=wish.event_types,
            description=wish.description,
            actor=ask.actor,
        )
        return _with_secret(made)

    async def changed(ask: Ask) -> Document:
        wish: WebhookWish = ask.body
        return webhook_document(
            await webhooks.update(
                ask.path("endpoint_id"),
                url=wish.url,
                event_types=wish.event_types,
                all_events=wish.event_types is None,
                description=wish.description,
                **mine(ask),
            )
        )

    async def removed(ask: Ask) -> Document:
        await webhooks.remove(ask.path("endpoint_id"), **mine(ask))
        return {"id": ask.path("endpoint_id"), "removed": True}

    async def rotated(ask: Ask) -> Document:
        wish: RotateWish = ask.body
        return _with_secret(
            await webhooks.rotate(ask.path("endpoint_id"), overlap_ms=wish.overlap_s * 1000, **mine(ask))
        )

    async def enabled(ask: Ask) -> Document:
        return webhook_document(await webhooks.enable(ask.path("endpoint_id"), **mine(ask)))

    async def disabled(ask: Ask) -> Document:
        return webhook_document(await webhooks.disable(ask.path("endpoint_id"), **mine(ask)))

    def endpoint(method: str, path: str, answer: Answer, summary: str, reply: Any, **more: Any) -> Endpoint:
        changes = method != "GET"
        problems = (Fault.NO_SUCH_RESOURCE, *((Fault.INVALID_BODY,) if changes else ()))
        return Endpoint(
            method,
            path,
            answer,
            summary,
            "webhooks",
            reply=reply,
            whole_key=area.whole_key and changes,
            problems=problems,
            **more,
        )

    whole: dict[str, Any] = {"body": WebhookWish}
    return [
        endpoint("GET", path, listed, "Webhook endpoints, the oldest first", replies.Webhooks),
        endpoint("POST", path, created, "Make a webhook endpoint", replies.Webhook, status=201, **whole),
        endpoint("GET", one, shown, "One webhook endpoint", replies.Webhook, edits=shown),
        endpoint("PUT", one, changed, "Change a webhook endpoint", replies.Webhook, edits=shown, **whole),
        endpoint("DELETE", one, removed, "Remove a webhook endpoint and its log", replies.RemovedWebhook, edits=shown),
        endpoint("POST", f"{one}/rotate", rotated, "Make another signing secret", replies.Webhook, body=RotateWish),
        endpoint("POST", f"{one}/enable", enabled, "Send to it again", replies.Webhook),
        endpoint("POST", f"{one}/disable", disabled, "Send nothing to it any more", replies.Webhook),
        *_delivery_endpoints(desk, area, endpoint, one),
    ]


def _delivery_endpoints(desk: Desk, area: Area, endpoint: Any, one: str) -> list[Endpoint]:
    """The delivery log of an endpoint, and sending again."""
    webhooks = desk.webhooks

    async def listed(ask: Ask) -> Document:
        wanted: DeliveriesQuery = ask.query
        within = scope_of(ask, wanted.status)
        after = place(ask, within)
        found = await webhooks.deliveries(
            ask.path("endpoint_id"),
            status=wanted.status,
            before="" if after is None else after[1],
            limit=wanted.page_size,
            account_id=area.account_of(ask),
        )
        more = (0, found[-1].id) if len(found) == wanted.page_size else None
        return page([delivery_document(delivery) for delivery in found], more, within)

    async def shown(ask: Ask) -> Document:
        view = await webhooks.delivery(ask.path("delivery_id"), account_id=area.account_of(ask))
        if view.delivery.endpoint_id != ask.path("endpoint_id"):
            raise NoSuchThing("delivery", ask.path("delivery_id"))
        tries = [
            {
                "number": attempt.number,
                "at": instant(attempt.at_ms),
                "status": attempt.status,
                "duration_ms": attempt.duration_ms,
                "fault": attempt.fault,
                "reply": attempt.reply,
            }
            for attempt in view.attempts
        ]
        return {**delivery_document(view.delivery), "tries": tries, "body": view.body}

    async def replayed(ask: Ask) -> Document:
        await shown(ask)
        account_id = area.account_of(ask)
        return delivery_document(await webhooks.replay(ask.path("delivery_id"), account_id=account_id, actor=ask.actor))

    async def all_replayed(ask: Ask) -> Document:
        wish: ReplayWish = ask.body
        return {
            "deliveries": await webhooks.replay_failed(
                ask.path("endpoint_id"),
                since_ms=epoch_ms(wish.since),
                account_id=area.account_of(ask),
                actor=ask.actor,
            )
        }

    async def tested(ask: Ask) -> Document:
        return delivery_document(
            await webhooks.send_test(ask.path("endpoint_id"), account_id=area.account_of(ask), actor=ask.actor)
        )

    log = f"{one}/deliveries"
    return [
        endpoint("POST", f"{one}/test", tested, "Send `webhook.test` to it", replies.Delivery),
        endpoint("POST", f"{one}/replay", all_replayed, "Send what failed again", replies.Replayed, body=ReplayWish),
        endpoint("GET", log, listed, "What was sent, the newest first", replies.Deliveries, query=DeliveriesQuery),
        endpoint("GET", f"{log}/{{delivery_id}}", shown, "One delivery with its tries", replies.DeliveryInFull),
        endpoint("POST", f"{log}/{{delivery_id}}/replay", replayed, "Send one again", replies.Delivery),
    ]


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


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """A line of the log."""
    return {
        "id": delivery.id,
        "message_id": delivery.message_id,
        "endpoint_id": delivery.endpoint_id,
        "event_type": delivery.type,
        "status": delivery.status.value,
        "attempts": delivery.attempts,
        "next_at": None if delivery.next_ms is None else instant(delivery.next_ms),
        "created_at": instant(delivery.created_ms),
        "ended_at": None if delivery.ended_ms is None else instant(delivery.ended_ms),
        "last_status": delivery.last_status,
        "last_fault": delivery.last_fault,
    }


def _with_secret(made: ShownEndpoint) -> dict[str, Any]:
    return {**webhook_document(made.endpoint), "secret": made.secret}
