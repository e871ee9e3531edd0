"""`GET /api/v1/usage/events`: every usage event of a range as CSV, booked or not yet, streamed.

Pages of the same events as JSON are `usage-metrics`; the receipt of one call is `receipts`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from gateway.edges.api.endpoint import Ask, Endpoint
from gateway.edges.api.query import only_own_organization, text
from gateway.edges.api.series import range_of, zone_of
from gateway.edges.documents import usage_csv
from gateway.edges.documents.sheet import sheet
from gateway.flows.usage_metrics import UsageMetrics, Wanted
from gateway.wire.problems import Fault

_ROWS_AT_ONCE: Final = 500


class EventsQuery(BaseModel):
    """Which time."""

    model_config = ConfigDict(populate_by_name=True)

    from_: str | None = Field(None, alias="from", description="2026-11-23 or 2026-11-23T12:00+01:00; else 30 days back")
    to: str | None = Field(None, description="Not included; else now")
    tz: str = Field("UTC", description="Of dates without a zone: Europe/Berlin")
    project_id: str | None = None
    organization_id: str | None = Field(None, description="The key's own account")


def usage_event_endpoints(metrics: UsageMetrics, now_of: Callable[[str], Awaitable[datetime]]) -> list[Endpoint]:
    """`from` (else 30 days back) to `to` (else now, not included), the latest admitted first."""

    async def every_event(ask: Ask) -> Response:
        request = ask.request
        only_own_organization(request, ask.caller)
        within = range_of(request, zone_of(request), await now_of(ask.account_id))
        wanted = Wanted(project_id=text(request, "project_id"), times=((within.from_ms, within.to_ms),))
        # What is wrong with the question is said before the first byte.
        await metrics.page(ask.account_id, wanted, size=1)
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="usage-events-{ask.account_id}.csv"',
        }
        return StreamingResponse(_rows(metrics, ask.account_id, wanted), headers=headers, media_type="text/csv")

    return [
        Endpoint(
            "GET",
            "/api/v1/usage/events",
            every_event,
            "Every usage event of a range, as CSV",
            "usage",
            query=EventsQuery,
            query_is_read=False,
            files={"text/csv": {"type": "string"}},
            problems=(Fault.INVALID_QUERY, Fault.NO_SUCH_PROJECT, Fault.BAD_REQUEST),
        )
    ]


async def _rows(metrics: UsageMetrics, account_id: str, wanted: Wanted) -> AsyncIterator[str]:
    """RFC 4180 with a head line, a few hundred rows at a time: a range may have millions."""
    waiting: list[Sequence[object]] = [usage_csv.COLUMNS]
    async with aclosing(metrics.every(account_id, wanted)) as events:
        async for event in events:
            waiting.append(usage_csv.row(event))
            if len(waiting) >= _ROWS_AT_ONCE:
                yield sheet(waiting)
                waiting = []
    yield sheet(waiting)
