"""One webhook endpoint and what was sent to it: each delivery with its tries, and sending again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.responses import Response
from starlette.routing import Route

from gateway.books.webhook_endpoints import Endpoint
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.webhook import DeliveryStatus
from gateway.edges.dashboard import formats
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.formats import sentence
from gateway.edges.dashboard.once import fresh_word
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.flows.webhooks import DeliveryView

SECTION: Final = "webhooks"
PAGE: Final = 25
_LONGEST: Final = 64
# Status, as it is said and how it is meant.
DELIVERY_SAID: Final[Mapping[DeliveryStatus, tuple[str, str]]] = {
    DeliveryStatus.WAITING: ("Waiting", "warn"),
    DeliveryStatus.DELIVERED: ("Delivered", "good"),
    DeliveryStatus.FAILED: ("Failed", "bad"),
}
# How a receiver knows that an event is ours.
VERIFY: Final = """from standardwebhooks import Webhook  # pip install standardwebhooks

def received(body: bytes, headers: dict[str, str], secret: str) -> dict:
    \"\"\"The event. WebhookVerificationError: somebody else's, or older than five minutes.\"\"\"
    return Webhook(secret).verify(body, headers)"""
SINCE: Final[Mapping[str, tuple[int, str]]] = {
    "1h": (HOUR_MS, "In the last hour"),
    "24h": (DAY_MS, "In the last 24 hours"),
    "7d": (7 * DAY_MS, "In the last 7 days"),
    "30d": (30 * DAY_MS, "In the last 30 days"),
}


def webhook_log_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/webhooks/{id}` and the deliveries below it."""
    answers = _Answers(pages.parts.desk, f"{pages.door.home}/webhooks")
    one = f"{answers.home}/{{endpoint_id}}"
    delivery = f"{one}/deliveries/{{delivery_id}}"
    return [
        pages.get(one, answers.shown),
        pages.post(f"{one}/replay", answers.replay_failed),
        pages.get(delivery, answers.delivery),
        pages.post(f"{delivery}/replay", answers.replay),
    ]


@dataclass(frozen=True, slots=True)
class _Answers:
    """`home` is where the pages begin."""

    desk: Desk
    home: str

    async def shown(self, visit: Visit) -> Response:
        query = visit.request.query_params
        status, before = query.get("status", ""), query.get("before", "")
        if len(before) > _LONGEST or not before.isprintable():
            raise WrongParameter("before", "this page of the log is gone; begin with the first one")
        endpoint = await self._mine(visit)
        found = await self.desk.webhooks.deliveries(
            endpoint.id, status=status or None, before=before, limit=PAGE + 1, account_id=visit.account_id
        )
        older = {"status": status, "before": found[PAGE - 1].id} if len(found) > PAGE else None
        return visit.page(
            "webhook.html",
            title=endpoint.description or "Webhook endpoint",
            section=SECTION,
            now_ms=visit.now_ms,  # deliveries live by the world's clock, a sandbox's too
            it=endpoint,
            deliveries=found[:PAGE],
            older=None if older is None else formats.query(older),
            chosen=status,
            verify=VERIFY,
            said=DELIVERY_SAID,
            since={value: words for value, (_, words) in SINCE.items()},
            once=fresh_word(),
        )

    async def delivery(self, visit: Visit) -> Response:
        endpoint, view = await self._delivery(visit)
        return visit.page(
            "webhook_delivery.html",
            title=view.delivery.type,
            section=SECTION,
            now_ms=visit.now_ms,  # deliveries live by the world's clock, a sandbox's too
            endpoint=endpoint,
            it=view,
            body=_readable(view.body),
            said=DELIVERY_SAID,
        )

    async def replay(self, visit: Visit) -> Response:
        endpoint, view = await self._delivery(visit)
        back = f"{self.home}/{endpoint.id}/deliveries/{view.delivery.id}"
        try:
            await self.desk.webhooks.replay(view.delivery.id, account_id=visit.account_id, actor=visit.visitor.actor)
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return visit.go(back, sentence(str(fault)), Tone.BAD)
        return visit.go(back, "It is sent again: same id, same bytes. Reload in a moment to see what came of it.")

    async def replay_failed(self, visit: Visit) -> Response:
        endpoint = await self._mine(visit)
        back = f"{self.home}/{endpoint.id}"
        since = SINCE.get(visit.form["since"])
        if since is None:
            return visit.go(back, "Choose since when.", Tone.BAD)
        try:
            count = await self.desk.webhooks.replay_failed(
                endpoint.id,
                since_ms=visit.now_ms - since[0],
                account_id=visit.account_id,
                actor=visit.visitor.actor,
            )
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return visit.go(back, sentence(str(fault)), Tone.BAD)
        if not count:
            return visit.go(back, "Nothing has failed since then.", Tone.PLAIN)
        return visit.go(
            back, f"{formats.plural(count, 'delivery', 'deliveries')} {'is' if count == 1 else 'are'} sent again."
        )

    async def _mine(self, visit: Visit) -> Endpoint:
        """The endpoint of the path, if it is the visitor's account's. NoSuchThing."""
        return await self.desk.webhooks.show(visit.request.path_params["endpoint_id"], account_id=visit.account_id)

    async def _delivery(self, visit: Visit) -> tuple[Endpoint, DeliveryView]:
        endpoint = await self._mine(visit)
        delivery_id = visit.request.path_params["delivery_id"]
        view = await self.desk.webhooks.delivery(delivery_id, account_id=visit.account_id)
        if view.delivery.endpoint_id != endpoint.id:
            raise NoSuchThing("webhook delivery", delivery_id)
        return endpoint, view


def _readable(body: str) -> str:
    """The same JSON with line breaks; what is none of it, as it is."""
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return body
