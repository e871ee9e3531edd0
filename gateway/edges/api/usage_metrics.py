"""`GET /api/v1/beta/usage-metrics`: usage events of the key's account, in LlamaCloud's filters, pages and words."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.books.events import Position
from gateway.domain.instant import epoch_ms, from_epoch_ms
from gateway.domain.usage import UsageEvent
from gateway.domain.usage_metric import aggregation_key, aggregation_type, event_type, value
from gateway.edges.api.endpoint import Ask, Document, Endpoint
from gateway.edges.api.query import flag, list_of, only_own_organization, text, whole
from gateway.edges.api.replies.usage import UsageMetricsPage
from gateway.edges.api.usage_document import amount
from gateway.flows.faults import WrongParameter
from gateway.flows.usage_metrics import UsageMetrics, Wanted
from gateway.wire import page_token
from gateway.wire.problems import Fault

PAGE_SIZE: Final = 100
LARGEST_PAGE: Final = 1_000
MOST_DAYS: Final = 366
MOST_TYPES: Final = 32


class MetricsQuery(BaseModel):
    """LlamaCloud's filters. Lists are sent once for each value, or with commas."""

    organization_id: str = Field(description="The key's own account")
    project_id: str | None = None
    event_types: str | None = Field(None, description=f"At most {MOST_TYPES}")
    days: str | None = Field(None, description=f"Days in UTC, 2026-11-23, at most {MOST_DAYS}")
    day_on_or_after: date | None = None
    day_on_or_before: date | None = None
    event_aggregation_key: str | None = Field(None, description="A job's id, or the request's without one")
    event_aggregation_type: str | None = None
    page_size: int = Field(PAGE_SIZE, ge=1, le=LARGEST_PAGE)
    page_token: str | None = None
    include_total: Literal["true", "false"] | None = None


def usage_metrics_endpoints(metrics: UsageMetrics) -> list[Endpoint]:
    """One list, the latest admitted first. `organization_id` must be there and the key's own."""

    async def listed(ask: Ask) -> Document:
        request, caller = ask.request, ask.caller
        if text(request, "organization_id") is None:
            raise WrongParameter("organization_id", "Field required")
        only_own_organization(request, caller)
        size = whole(request, "page_size", PAGE_SIZE, least=1, most=LARGEST_PAGE)
        wanted = _wanted(request)
        within = page_token.scope(
            "usage-metrics",
            caller.account_id,
            wanted.project_id,
            wanted.times,
            sorted(wanted.event_types or ()),
            wanted.key,
            wanted.key_type,
        )
        page = await metrics.page(
            caller.account_id,
            wanted,
            size=size,
            after=_after(request, within),
            with_total=flag(request, "include_total"),
        )
        document: dict[str, object] = {
            "items": [_item(event) for event in page.events],
            "next_page_token": None
            if page.after is None
            else page_token.make(within, page.after.admitted_at_ms, page.after.event_id),
        }
        if page.total is not None:
            document["total_size"] = page.total
        return document

    return [
        Endpoint(
            "GET",
            "/api/v1/beta/usage-metrics",
            listed,
            "Usage events, the latest first",
            "usage",
            reply=UsageMetricsPage,
            query=MetricsQuery,
            query_is_read=False,
            more_is_sent=True,
            problems=(Fault.INVALID_QUERY, Fault.NO_SUCH_PROJECT),
        )
    ]


def _wanted(request: Request) -> Wanted:
    types = list_of(request, "event_types", most=MOST_TYPES)
    return Wanted(
        project_id=text(request, "project_id"),
        times=_times(request),
        event_types=None if types is None else frozenset(types),
        key=text(request, "event_aggregation_key"),
        key_type=text(request, "event_aggregation_type"),
    )


def _after(request: Request, within: str) -> Position | None:
    token = text(request, "page_token")
    if token is None:
        return None
    place = page_token.read(token, within)
    if place is None:
        raise WrongParameter("page_token", "is no token of this list: send it with the filters it was given for")
    return Position(*place)


def _times(request: Request) -> tuple[tuple[int, int], ...] | None:
    """The days asked for, as ranges in UTC that do not touch; None: any time."""
    days = list_of(request, "days", most=MOST_DAYS)
    first = _one_day(request, "day_on_or_after")
    last = _one_day(request, "day_on_or_before")
    if days is None and first is None and last is None:
        return None
    first, last = first or date.min, last or date(9999, 12, 30)
    if days is None:
        return ((_start_ms(max(first, date(1970, 1, 1))), _start_ms(last + timedelta(days=1))),)
    chosen = sorted({_day("days", day) for day in days})
    return tuple(_merged(day for day in chosen if first <= day <= last))


def _merged(days: Iterable[date]) -> list[tuple[int, int]]:
    """Neighbouring days in one range."""
    ranges: list[tuple[int, int]] = []
    for day in days:
        start_ms, end_ms = _start_ms(day), _start_ms(day + timedelta(days=1))
        if ranges and ranges[-1][1] == start_ms:
            ranges[-1] = (ranges[-1][0], end_ms)
        else:
            ranges.append((start_ms, end_ms))
    return ranges


def _one_day(request: Request, name: str) -> date | None:
    sent = text(request, name)
    return None if sent is None else _day(name, sent)


def _day(name: str, sent: str) -> date:
    try:
        day = date.fromisoformat(sent)
    except ValueError:
        raise WrongParameter(name, "is no date; write 2026-11-23") from None
    if not date(1970, 1, 1) <= day < date(9999, 12, 31):
        raise WrongParameter(name, "is too far away")
    return day


def _start_ms(day: date) -> int:
    return epoch_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _item(event: UsageEvent) -> dict[str, object]:
    facts = event.facts
    return {
        "id": event.id,
        "user_id": facts.key_id,
        "organization_id": facts.account_id,
        "project_id": facts.project_id,
        "event_type": event_type(facts.product, facts.unit),
        "value": value(event),
        "day": from_epoch_ms(event.admitted_at_ms).date().isoformat(),
        "event_aggregation_key": aggregation_key(event),
        "event_aggregation_type": aggregation_type(event),
        "properties": {
            "mode": facts.mode,
            "tier": facts.mode,
            "unit": facts.unit,
            "request_id": facts.request_id,
            "rate_card_version": facts.rate_card_version,
        },
        "credits": amount(event.captured_millicredits),
    }
