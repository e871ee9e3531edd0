"""A sandbox account's own clock for the operator: what it shows, and walking the account on."""

from datetime import UTC
from typing import Annotated

from pydantic import AwareDatetime, Field, WithJsonSchema

from gateway.domain.instant import epoch_ms
from gateway.edges.api.endpoint import Area, Ask, Document, Endpoint, Strict, wrong_member
from gateway.edges.api.replies.admin import OwnClock
from gateway.edges.desk import Desk
from gateway.edges.documents.clock_json import clock_json
from gateway.flows.faults import CallerFault, InvoicingStopped
from gateway.flows.own_clock import FARTHEST_MS
from gateway.wire.problems import Fault

_FARTHEST_S = FARTHEST_MS // 1000


class ClockWish(Strict):
    """Where to: by so much, or to an instant. One of them."""

    advance_s: int | None = Field(None, ge=1, le=_FARTHEST_S, description="How far to go on, in seconds")
    to: Annotated[AwareDatetime | None, WithJsonSchema({"type": "string", "format": "date-time"})] = Field(
        None, description="The instant to go on to"
    )


def clock_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """Only accounts that were opened as sandboxes can be advanced."""
    path = f"{area.base}/clock"

    async def shown(ask: Ask) -> Document:
        return clock_json(await desk.own_clocks.show(area.account_of(ask)))

    async def advanced(ask: Ask) -> Document:
        wish: ClockWish = ask.body
        if (wish.advance_s is None) == (wish.to is None):
            raise wrong_member("to", "or `advance_s` is needed, and not both")
        by_ms = None if wish.advance_s is None else wish.advance_s * 1000
        to_ms = None if wish.to is None else epoch_ms(wish.to.astimezone(UTC))
        try:
            there = await desk.own_clocks.advance(area.account_of(ask), by_ms=by_ms, to_ms=to_ms, actor=ask.actor)
        except InvoicingStopped as stopped:
            raise CallerFault(str(stopped)) from stopped
        return clock_json(there)

    problems = (Fault.NO_SUCH_RESOURCE,)
    return [
        Endpoint("GET", path, shown, "What the account's clock shows", "accounts", reply=OwnClock, problems=problems),
        Endpoint(
            "POST",
            path,
            advanced,
            "Advance a sandbox's clock, and do all that is due on the way",
            "accounts",
            body=ClockWish,
            reply=OwnClock,
            problems=problems,
        ),
    ]
