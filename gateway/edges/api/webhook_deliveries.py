"""The delivery log of an account's webhook endpoint: looked at, and sent again."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import Field

from gateway.books.webhooks import Delivery
from gateway.domain.instant import epoch_ms
from gateway.domain.webhook import DeliveryStatus
from gateway.edges.api.endpoint import Answer, Area, Ask, Document, Endpoint, Strict
from gateway.edges.api.instants import NearInstant
from gateway.edges.api.paging import PageQuery, page, place, scope_of
from gateway.edges.api.replies import webhooks as replies
from gateway.edges.api.usage_document import instant
from gateway.edges.desk import Desk
from gateway.flows.faults import NoSuchThing
from gateway.wire.problems import Fault


class ReplayWish(Strict):
    """Everything that happened since then and failed."""

    since: NearInstant


class DeliveriesQuery(PageQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = Field(None)


def delivery_endpoints(desk: Desk, area: Area, one: str) -> list[Endpoint]:
    """`one`: the path of the endpoint whose deliveries they are."""
    answers, door = _Answers(desk, area), partial(endpoint, area)
    log = f"{one}/deliveries"
    return [
        door("POST", f"{one}/test", answers.tested, "Send `webhook.test` to it", replies.Delivery),
        door(
            "POST", f"{one}/replay", answers.all_replayed, "Send what failed again", replies.Replayed, body=ReplayWish
        ),
        door("GET", log, answers.listed, "What was sent, the newest first", replies.Deliveries, query=DeliveriesQuery),
        door("GET", f"{log}/{{delivery_id}}", answers.shown, "One delivery with its tries", replies.DeliveryInFull),
        door("POST", f"{log}/{{delivery_id}}/replay", answers.replayed, "Send one again", replies.Delivery),
    ]


def endpoint(  # noqa: PLR0917 - they stand in lists, a line each
    area: Area, method: str, path: str, answer: Answer, summary: str, reply: Any, **more: Any
) -> Endpoint:
    """One of the doors to webhooks. Reads are for every key of an account; changes, as the area says."""
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


@dataclass(frozen=True, slots=True)
class _Answers:
    desk: Desk
    area: Area

    async def listed(self, ask: Ask) -> Document:
        wanted: DeliveriesQuery = ask.query
        within = scope_of(ask, wanted.status)
        after = place(ask, within)
        found = await self.desk.webhooks.deliveries(
            ask.path("endpoint_id"),
            status=wanted.status,
            before="" if after is None else after[1],
            limit=wanted.page_size,
            account_id=self.area.account_of(ask),
        )
        more = (0, found[-1].id) if len(found) == wanted.page_size else None
        return page([delivery_document(delivery) for delivery in found], more, within)

    async def shown(self, ask: Ask) -> Document:
        view = await self.desk.webhooks.delivery(ask.path("delivery_id"), account_id=self.area.account_of(ask))
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

    async def replayed(self, ask: Ask) -> Document:
        await self.shown(ask)
        account_id = self.area.account_of(ask)
        return delivery_document(
            await self.desk.webhooks.replay(ask.path("delivery_id"), account_id=account_id, actor=ask.actor)
        )

    async def all_replayed(self, ask: Ask) -> Document:
        wish: ReplayWish = ask.body
        return {
            "deliveries": await self.desk.webhooks.replay_failed(
                ask.path("endpoint_id"),
                since_ms=epoch_ms(wish.since),
                account_id=self.area.account_of(ask),
                actor=ask.actor,
            )
        }

    async def tested(self, ask: Ask) -> Document:
        return delivery_document(
            await self.desk.webhooks.send_test(
                ask.path("endpoint_id"), account_id=self.area.account_of(ask), actor=ask.actor
            )
        )


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
