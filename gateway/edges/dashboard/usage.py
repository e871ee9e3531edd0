"""The usage page: how much, of what, when; and what a chart's bar is made of. The rest of a view stands in its address.

Numbers are those of the series and the reports that the API gives; nothing is summed up here that they have summed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

import orjson
from starlette.responses import Response
from starlette.routing import Route

from gateway.books.reports import Bucket
from gateway.books.series import Key
from gateway.domain.credit_summary import CreditSummary
from gateway.domain.credits import credits_text
from gateway.domain.instant import from_epoch_ms
from gateway.domain.terms import PeriodTerms
from gateway.domain.windows import Window
from gateway.edges.dashboard import formats, usage_marks
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.dashboard.usage_chart import Chart, draw
from gateway.edges.dashboard.usage_filters import BY, MOST_BARS, Drawn, Filters, Span, Told, read_filters
from gateway.edges.dashboard.usage_marks import BarTexts
from gateway.edges.desk import Desk
from gateway.edges.documents.sheet import sheet
from gateway.flows.faults import WrongParameter
from gateway.flows.usage_report import Range
from gateway.flows.usage_series import Series, summed

# As they are said, and as there is room for.
SPANS: Final = (
    (Span.PERIOD, "This billing period", "Period"),
    (Span.WEEK, "Last 7 days", "7d"),
    (Span.MONTH, "Last 30 days", "30d"),
    (Span.QUARTER, "Last 90 days", "90d"),
    (Span.YEAR, "Last 12 months", "12m"),
    (Span.CUSTOM, "Days of your own", "Custom"),
)
TOLD: Final = (
    (Told.PRODUCT, "Product"),
    (Told.MODE, "Product and mode"),
    (Told.PROJECT, "Project"),
    (Told.KEY, "API key"),
)
# The zones most people live in; one that an address names is offered too.
ZONES: Final = (
    "UTC",
    "America/Los_Angeles",
    "America/Denver",
    "America/Chicago",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Athens",
    "Africa/Lagos",
    "Africa/Johannesburg",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Pacific/Auckland",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One product and mode over the whole range."""

    product: str
    mode: str
    sums: Bucket


@dataclass(frozen=True, slots=True)
class Looked:
    """What is shown. `before` are the sums of as much time before, `live` False while Redis is away."""

    filters: Filters
    within: Range
    window: Window
    chart: Chart
    rows: tuple[Row, ...]
    total: Bucket
    before: Bucket
    credits: CreditSummary
    period: PeriodTerms
    names: "Names"
    live: bool

    @property
    def change(self) -> str:
        """How much more than before: "+12%"; nothing where there was nothing before."""
        was, now = self.before.captured_millicredits, self.total.captured_millicredits
        return formats.change(was, now) if was else ""

    @property
    def average_millicredits(self) -> int:
        """What a call cost, to a tenth of a credit."""
        used, calls = self.total.captured_millicredits, max(1, self.total.calls)
        return (used + calls * 50) // (calls * 100) * 100

    def colour(self, row: Row) -> int:
        """The chart's colour of a row of the table; 0 where the chart tells other things apart."""
        key = {Told.PRODUCT: (row.product,), Told.MODE: (row.product, row.mode)}.get(self.filters.told)
        if key is None or not self.chart.groups:
            return 0
        return next((group.colour for group in self.chart.groups if group.key == key), self.chart.groups[-1].colour)

    @property
    def for_script(self) -> str:
        """What the script does not find in the table, as JSON: the groups and their colours, and the top of lines."""
        data = {
            "groups": [group.label for group in self.chart.groups],
            "colours": [group.colour for group in self.chart.groups],
            "top": credits_text(self.chart.top) if self.filters.drawn is Drawn.LINES else None,
        }
        return orjson.dumps(data).decode()

    def calls_query(self, **only: str) -> str:
        """The address of the calls behind this, or a part of it."""
        start, end = formats.iso_exactly(self.within.from_ms), formats.iso_exactly(self.within.to_ms)
        return f"start={start}&end={end}{_filtered(self.filters, only)}"


@dataclass(frozen=True, slots=True)
class Names:
    """What people call their projects and keys."""

    projects: Mapping[str, str]
    keys: Mapping[str, str]

    def label(self, told: Told, key: Key) -> str:
        """A group's name."""
        match told:
            case Told.PRODUCT:
                return formats.name(key[0])
            case Told.MODE:
                return f"{formats.name(key[0])}: {formats.name(key[1])}"
            case Told.PROJECT:
                return self.projects.get(key[0], formats.short_id(key[0]))
            case Told.KEY:
                return self.keys.get(key[0], formats.short_id(key[0]))


def _filtered(filters: Filters, only: Mapping[str, str]) -> str:
    """What stands behind the times there: the view's filters, narrowed."""
    chosen = {"product": filters.product, "mode": filters.mode, "project": filters.project, "key": filters.key, **only}
    query = formats.query({**chosen, "tz": filters.zone if filters.zone != "UTC" else ""})
    return f"&{query}" if query else ""


def usage_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/usage`, and the same numbers as CSV."""
    desk = pages.parts.desk

    async def look(visit: Visit) -> Response:
        looked = await _look(desk, visit)
        # In threads, these and the chart: hundreds of bars take long enough for calls to notice.
        return await asyncio.to_thread(
            visit.page,
            "usage.html",
            title="Usage",
            section="usage",
            it=looked,
            spans=SPANS,
            told=TOLD,
            windows=tuple(Window),
            zones=tuple(dict.fromkeys((*ZONES, looked.filters.zone))),
            bars=Drawn.BARS,
            lines=Drawn.LINES,
            texts=await asyncio.to_thread(_texts, looked),
            marks=usage_marks,
            wider=looked.filters.wider(from_epoch_ms(visit.own_now_ms)),
        )

    async def as_csv(visit: Visit) -> Response:
        looked = await _look(desk, visit)
        text = await asyncio.to_thread(_csv, looked)
        headers = {"content-disposition": f'attachment; filename="usage-{looked.filters.span.value}.csv"'}
        return Response(text, headers=headers, media_type="text/csv")

    return [
        pages.get(f"{pages.door.home}/usage", look),
        pages.get(f"{pages.door.home}/usage.csv", as_csv),
    ]


async def names_of(desk: Desk, account_id: str) -> Names:
    """Of the account's projects and keys."""
    projects, keys = await desk.accounts.projects(account_id), await desk.keys.of_account(account_id)
    return Names(
        {one.id: one.name for one in projects},
        {one.id: f"{one.name} ({formats.short_id(one.id)})" if one.name else formats.short_id(one.id) for one in keys},
    )


async def _look(desk: Desk, visit: Visit) -> Looked:
    filters = read_filters(visit.request.query_params)
    account_id, now = visit.account_id, from_epoch_ms(visit.own_now_ms)
    report, names = await desk.reports.of_account(account_id, desk.clock()), await names_of(desk, account_id)
    within = filters.range(now, report.period.start_ms)
    window, earlier = filters.window_for(within), filters.range_before(within)
    # The table tells modes apart, and a chart by product adds them up.
    by = BY[Told.MODE if filters.told is Told.PRODUCT else filters.told]
    ask = partial(desk.series.of_account, account_id, zone=filters.tzinfo, only=filters.only)
    try:
        async with asyncio.TaskGroup() as asked:
            of_bars = asked.create_task(ask(within, window, by=by))
            of_before = asked.create_task(ask(earlier, window if filters.compared else Window.MONTH, by=()))
            of_modes = of_bars
            if by != BY[Told.MODE]:
                of_modes = asked.create_task(ask(within, Window.MONTH, by=BY[Told.MODE]))
    except ExceptionGroup as faults:
        # One is enough to say what is wrong.
        raise faults.exceptions[0] from faults
    series, before, by_mode = of_bars.result(), of_before.result(), of_modes.result()
    if (bars := len(series.edges) - 1) > MOST_BARS:
        raise WrongParameter("window", f"that would be {bars} bars; choose wider ones")
    chart = await asyncio.to_thread(
        draw,
        series,
        BY[filters.told],
        lambda key: names.label(filters.told, key),
        window=window,
        zone=filters.tzinfo,
        before=before if filters.compared else None,
        cumulative=filters.cumulative,
        stacked=filters.drawn is Drawn.BARS,
        so_far=within.to_ms > visit.own_now_ms,
    )
    rows = _rows(by_mode)
    return Looked(
        filters=filters,
        within=within,
        window=window,
        chart=chart,
        rows=rows,
        total=summed(row.sums for row in rows),
        before=before.total,
        credits=report.credits,
        period=report.period,
        names=names,
        live=series.live,
    )


def _texts(looked: Looked) -> tuple[BarTexts, ...]:
    filtered, bars = _filtered(looked.filters, {}), looked.chart.bars
    # A bar begins where the one before ends.
    edges = [*(bar.start_ms for bar in bars), *(bar.end_ms for bar in bars[-1:])]
    times = [formats.iso_exactly(at_ms) for at_ms in edges]
    return tuple(
        BarTexts(
            bar,
            formats.credits_(bar.total),
            tuple(formats.credits_(value) if value else "" for value in bar.values),
            None if bar.before is None else formats.credits_(bar.before),
            formats.change(bar.before, bar.total) if bar.before else "",
            f"start={start}&end={end}{filtered}",
        )
        for bar, (start, end) in zip(bars, pairwise(times), strict=True)
    )


def _rows(by_mode: Series) -> tuple[Row, ...]:
    """By product and mode, the dearest first."""
    rows = [Row(product, mode, sums) for (product, mode), sums in ((each.key, each.total) for each in by_mode.columns)]
    return tuple(sorted(rows, key=lambda row: (-row.sums.captured_millicredits, row.product, row.mode)))


def _csv(looked: Looked) -> str:
    """The chart's table."""
    zone = looked.filters.tzinfo
    rows: list[list[object]] = [["start", "end", *(group.label for group in looked.chart.groups), "credits"]]
    for bar in looked.chart.bars:
        times = [from_epoch_ms(at_ms).astimezone(zone).isoformat() for at_ms in (bar.start_ms, bar.end_ms)]
        rows.append([*times, *map(credits_text, bar.values), credits_text(bar.total)])
    return sheet(rows)
