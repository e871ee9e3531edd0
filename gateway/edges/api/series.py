"""`GET /api/v1/usage/series`: usage over time for charts, as JSON or CSV, in any time zone."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.books.reports import Bucket, By
from gateway.domain.credits import credits_text
from gateway.domain.instant import epoch_ms, from_epoch_ms
from gateway.domain.windows import Window
from gateway.edges.api.endpoint import Ask, Endpoint
from gateway.edges.api.json_reply import json_reply
from gateway.edges.api.query import only_own_organization, text
from gateway.edges.api.replies.usage import UsageSeries as UsageSeriesReply
from gateway.edges.api.usage_document import amount
from gateway.edges.documents.sheet import sheet
from gateway.edges.zones import zone_named
from gateway.flows.faults import WrongParameter
from gateway.flows.usage_report import Range
from gateway.flows.usage_series import BY_DEFAULT, Series, UsageSeries
from gateway.wire.problems import Fault

SINCE: Final = timedelta(days=30)
_FAR_MS: Final = epoch_ms(datetime(2200, 1, 1, tzinfo=UTC))
_VARY: Final = {"vary": "accept"}


class SeriesQuery(BaseModel):
    """Which time, cut how, told apart by what."""

    model_config = ConfigDict(populate_by_name=True)

    from_: str | None = Field(None, alias="from", description="2026-11-23 or 2026-11-23T12:00+01:00; else 30 days back")
    to: str | None = Field(None, description="Not included; else now")
    window: Window = Window.DAY
    tz: str = Field("UTC", description="Europe/Berlin")
    by: str | None = Field(None, description="Some of product, mode, project, key, with commas; empty for sums alone")
    project_id: str | None = None
    organization_id: str | None = Field(None, description="The key's own account")


def series_endpoints(series: UsageSeries, now_of: Callable[[str], Awaitable[datetime]]) -> list[Endpoint]:
    """`from` (else 30 days back) to `to` (else now, not included), by `window` (else day) of the zone `tz` (else UTC).

    A date or time without a zone is one of `tz`. `by` is some of product, mode, project, key.
    """

    async def over_time(ask: Ask) -> Response:
        request, caller = ask.request, ask.caller
        only_own_organization(request, caller)
        zone = zone_of(request)
        window = _window(request)
        found = await series.of_account(
            caller.account_id,
            range_of(request, zone, await now_of(caller.account_id)),
            window,
            zone,
            by=_by(request),
            only={By.PROJECT: project_id} if (project_id := text(request, "project_id")) is not None else {},
        )
        if _wants_csv(request.headers.get("accept", "")):
            headers = {"cache-control": "no-store", **_VARY}
            headers["content-disposition"] = f'attachment; filename="usage-{caller.account_id}.csv"'
            lines = await asyncio.to_thread(_csv, found, zone)
            return Response(lines, headers=headers, media_type="text/csv")
        return await asyncio.to_thread(lambda: json_reply(_document(found, window, zone), headers=_VARY))

    return [
        Endpoint(
            "GET",
            "/api/v1/usage/series",
            over_time,
            "Usage over time, as JSON or CSV",
            "usage",
            reply=UsageSeriesReply,
            query=SeriesQuery,
            query_is_read=False,
            files={"text/csv": {"type": "string"}},
            problems=(Fault.INVALID_QUERY, Fault.NO_SUCH_PROJECT, Fault.BAD_REQUEST),
        )
    ]


def _document(series: Series, window: Window, zone: tzinfo) -> dict[str, object]:
    return {
        "account_id": series.account_id,
        "from": _local(series.edges[0], zone),
        "to": _local(series.edges[-1], zone),
        "window": window.value,
        "tz": str(zone),
        "by": [name.value for name in series.by],
        "total": _sums(series.total),
        "windows": [
            {
                "start": _local(each.start_ms, zone),
                "end": _local(each.end_ms, zone),
                "buckets": [
                    {name.value: getattr(bucket, name) for name in series.by} | _sums(bucket) for bucket in each.buckets
                ],
            }
            for each in series.windows()
        ],
        "live": series.live,
    }


def _sums(bucket: Bucket) -> dict[str, object]:
    return {"calls": bucket.calls, "units": bucket.units, "credits": amount(bucket.captured_millicredits)}


def _csv(series: Series, zone: tzinfo) -> str:
    """With a head line; a line per window and bucket."""
    rows: list[list[object]] = [["start", "end", *series.by, "calls", "units", "credits"]]
    for window in series.windows():
        start, end = _local(window.start_ms, zone), _local(window.end_ms, zone)
        for bucket in window.buckets:
            told = [getattr(bucket, name) for name in series.by]
            captured = credits_text(bucket.captured_millicredits)
            rows.append([start, end, *told, bucket.calls, bucket.units, captured])
    return sheet(rows)


def _local(at_ms: int, zone: tzinfo) -> str:
    return from_epoch_ms(at_ms).astimezone(zone).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def zone_of(request: Request) -> ZoneInfo:
    """The zone `tz`, else UTC. WrongParameter."""
    zone = zone_named(text(request, "tz") or "UTC")
    if zone is None:
        raise WrongParameter("tz", "is no time zone; write Europe/Berlin or UTC")
    return zone


def _window(request: Request) -> Window:
    name = text(request, "window") or Window.DAY
    if name not in set(Window):
        raise WrongParameter("window", f"is none of {', '.join(Window)}")
    return Window(name)


def range_of(request: Request, zone: tzinfo, now: datetime) -> Range:
    """From `from` (else 30 days back) to `to` (else now, not included). WrongParameter."""
    to_ms = _instant(request, "to", zone)
    if to_ms is None:
        to_ms = epoch_ms(now) + 1
    from_ms = _instant(request, "from", zone)
    if from_ms is None:
        from_ms = to_ms - SINCE // timedelta(milliseconds=1)
    return Range(from_ms, to_ms)


def _by(request: Request) -> list[str]:
    """What was asked for; nothing but sums where that is nothing."""
    asked = request.query_params.get("by")
    return list(BY_DEFAULT) if asked is None else [name for name in asked.split(",") if name]


def _wants_csv(accept: str) -> bool:
    """Whether CSV is named, and JSON is not liked better."""
    liked: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            liked[kind] = float(quality)
        except ValueError:
            return False
    return liked.get("text/csv", 0) > max(liked.get("application/json", 0), liked.get("application/*", 0))


def _instant(request: Request, name: str, zone: tzinfo) -> int | None:
    sent = text(request, name)
    if sent is None:
        return None
    try:
        # A + in a query is a space to most that read one.
        at = datetime.fromisoformat(sent.replace(" ", "+") if "T" in sent else sent)
        at_ms = epoch_ms(at if at.tzinfo is not None else at.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        raise WrongParameter(name, "is no date; write 2026-11-23 or 2026-11-23T12:00+01:00") from None
    if not 0 <= at_ms < _FAR_MS:
        raise WrongParameter(name, "is too far away")
    return at_ms
