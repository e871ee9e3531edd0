"""Whoever is asked about a range says the same, to the credit and the call: pages, API, files, ledger, Redis, invoices.

Made-up pasts (`lived`) are looked at over HTTP with any range, grouping, width and time zone, in which clocks are put
forward and back, and compared with what a bystander noted of every call.
"""

import csv
import io
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import httpx
import orjson
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.books import closings
from gateway.books.ledger_entries import LedgerAccount
from gateway.books.usage import booked_ids
from gateway.domain.credits import millicredits
from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms, from_epoch_ms
from gateway.edges.api.usage_document import usage_document
from gateway.edges.dashboard import formats
from gateway.edges.dashboard.app import dashboard
from gateway.edges.dashboard.parts import DashboardParts
from gateway.edges.dashboard.usage_filters import Filters
from gateway.flows.prove_invoices import prove_invoices
from gateway.flows.reconcile import reconcile
from gateway.flows.sign_in import SignIns
from gateway.flows.usage_report import Range
from tests.edges.api.conftest import PEPPER
from tests.edges.dashboard.forms import tables
from tests.edges.lived import DAYS, PLANS_OF, Call, Person, World, lived
from tests.made_up import NOON, NOON_MS
from tests.postgres import Postgres

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Asia/Kathmandu",  # +05:45
    "Australia/Lord_Howe",  # puts its clocks forward by half an hour
    "Pacific/Chatham",
    "Pacific/Kiritimati",  # +14
    "Etc/GMT+12",  # -12
)
BY = ("product", "mode", "project", "key")
WINDOWS = ("hour", "day", "week", "month")
USAGE = "/settings/billing/usage"
# Calls, units and millicredits by what they are told apart by.
Sums = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Asked:
    """A question: days of a zone's calendar, cut and told apart somehow."""

    who: int
    zone: str
    window: str
    first: date
    last: date
    by: tuple[str, ...]
    told: str
    cumulative: bool
    compared: bool
    page_size: int
    # How much later than midnight the API is asked from.
    later_ms: int

    @property
    def tzinfo(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def within(self, now_ms: int) -> Range:
        """From the first midnight to the last, or until now."""
        start, end = (
            epoch_ms(datetime.combine(day, time(), self.tzinfo)) for day in (self.first, self.last + timedelta(days=1))
        )
        return Range(start, max(start + 1, min(end, now_ms + 1)))

    def times(self, within: Range) -> dict[str, str]:
        """The range for the API: as days of the zone, or from an instant on."""
        start = from_epoch_ms(within.from_ms).isoformat() if self.later_ms else self.first.isoformat()
        return {"from": start, "to": (self.last + timedelta(days=1)).isoformat(), "tz": self.zone}


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    window = draw(st.sampled_from(WINDOWS))
    first = NOON.date() - timedelta(days=draw(st.integers(0, DAYS + 5)))
    days = draw(st.integers(0, 20 if window == "hour" else DAYS + 5))
    return Asked(
        who=draw(st.integers(0, len(PLANS_OF) - 1)),
        zone=draw(st.sampled_from(ZONES)),
        window=window,
        first=first,
        last=min(first + timedelta(days=days), NOON.date() + timedelta(days=1)),
        by=tuple(name for name in BY if draw(st.booleans())),
        told=draw(st.sampled_from(BY)),
        cumulative=draw(st.booleans()),
        compared=draw(st.booleans()),
        page_size=draw(st.sampled_from([1, 7, 40, 1_000])),
        later_ms=draw(st.sampled_from([0, 1, HOUR_MS // 2 - 1, 5 * HOUR_MS + 7])),
    )


class Asking:
    """A world, and clients of every account in it. No dataclass: of those Hypothesis prints everything in them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.callers: list[httpx.AsyncClient] = []
        self.visitors: list[httpx.AsyncClient] = []

    @property
    def now_ms(self) -> int:
        return epoch_ms(self.world.running.clock())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def postgres_or_none(request: pytest.FixtureRequest) -> tuple[Postgres, str] | None:
    """A server and its migrated template, or none for SQLite."""
    if request.param == "sqlite":
        return None
    return request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")


@pytest.fixture(scope="module")
async def asking(
    postgres_or_none: tuple[Postgres, str] | None,
    valkey_socket: Path,
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Asking]:
    with redis.Redis(unix_socket_path=str(valkey_socket)) as client:
        client.flushall()
    if postgres_or_none is None:
        url = f"sqlite+aiosqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('views') / 'books.db')}"
    else:
        postgres, template = postgres_or_none
        url = await postgres.create("views", template=template)
    async with AsyncExitStack() as opened:
        world = await opened.enter_async_context(lived(url, f"unix://{valkey_socket}", seed=20))
        running = world.running
        sign_ins = SignIns(books=running.books, pepper=PEPPER, clock=running.clock, admin_token="none")
        pages = httpx.ASGITransport(app=dashboard(DashboardParts(desk=running.parts.desk, sign_ins=sign_ins)))
        asking = Asking(world)
        browser = {"origin": "http://gateway", "sec-fetch-site": "same-origin"}
        for one in world.people:
            asking.callers.append(await opened.enter_async_context(running.caller(one.secret)))
            visitor = await opened.enter_async_context(
                httpx.AsyncClient(transport=pages, base_url="http://gateway", headers=browser)
            )
            await sign_in(visitor, one)
            asking.visitors.append(visitor)
        yield asking
    if postgres_or_none is not None:
        await postgres_or_none[0].drop("views")


async def sign_in(visitor: httpx.AsyncClient, one: Person) -> None:
    reply = await visitor.post("/settings/sign-in", data={"key": one.secret, "next": ""})
    assert reply.status_code == 303


async def every_view_says_the_same(asking: Asking, asked: Asked) -> None:
    one, days = asking.world.people[asked.who], asked.within(asking.now_ms)
    caller, visitor = asking.callers[asked.who], asking.visitors[asked.who]
    await the_usage_page_says(visitor, asked, days, one)
    within = Range(min(days.from_ms + asked.later_ms, days.to_ms - 1), days.to_ms)
    await the_series_says(caller, asked, within, one)
    await lists_of_calls_say(caller, visitor, asked, within, one)
    report = await asking.world.running.parts.desk.reports.of_account(one.id, NOON, by=asked.by, within=within)
    buckets = orjson.loads(orjson.dumps(usage_document(report)))["buckets"]
    assert of_buckets(buckets, asked.by) == of_calls(admitted(one.calls, within), asked.by)


@pytest.mark.parametrize("postgres_or_none", ["sqlite"], indirect=True)
@settings(max_examples=100)
@given(asked=questions())
async def test_every_view_of_any_range_says_the_same(asking: Asking, asked: Asked) -> None:
    await every_view_says_the_same(asking, asked)


@pytest.mark.parametrize("postgres_or_none", ["postgresql"], indirect=True)
@settings(max_examples=15)
@given(asked=questions())
async def test_every_view_says_the_same_over_postgresql(asking: Asking, asked: Asked) -> None:
    await every_view_says_the_same(asking, asked)


async def test_the_running_period_is_told_alike_by_api_page_ledger_redis_and_draft(asking: Asking) -> None:
    running = asking.world.running
    books, ledger = running.books, running.ledger
    waiting = drawn_up = 0
    for one, caller, visitor in zip(asking.world.people, asking.callers, asking.visitors, strict=True):
        usage = await document(caller, f"/api/v1/organizations/{one.id}/usage", by="product,key")
        start_ms = instant_ms(usage["period"]["start"])
        calls = [call for call in one.calls if call.period_start_ms == start_ms]
        used = sum(call.millicredits for call in calls)
        assert of_buckets(usage["buckets"], ("product", "key")) == of_calls(calls, ("product", "key"))
        assert exact(usage["credits"]["used"]) == used
        of_projects = [
            await document(caller, f"/api/v1/projects/{project_id}/usage", by="mode")
            for project_id in {project_id for project_id, _ in one.keys}
        ]
        assert sum(exact(each["project"]["used"]) for each in of_projects) == used
        assert {str(each["credits"]) for each in of_projects} == {str(usage["credits"])}
        page = (await fetched(visitor, USAGE)).text
        assert f"<strong>{formats.credits_(used)}</strong> of " in page
        counters = await ledger.counters(one.id)
        in_redis = counters.periods.get(start_ms)
        assert (in_redis.captured_millicredits if in_redis else 0) == used
        assert exact(usage["credits"]["held"]) == (in_redis.held_millicredits if in_redis else 0)
        # Settled and not booked yet is what the ledger lacks, of any period.
        async with books.read() as conn:
            booked = await booked_ids(conn, list(counters.unbooked))
        pending: Counter[int] = Counter()
        for event in counters.unbooked.values():
            if event.id not in booked:
                pending[event.period_start_ms] += event.captured_millicredits
        in_ledger = await running.parts.desk.ledger.balances(one.id)
        waiting += pending.total()
        assert {each.start_ms: each.balances[LedgerAccount.USED] + pending[each.start_ms] for each in in_ledger} == {
            each.start_ms: sum(call.millicredits for call in one.calls if call.period_start_ms == each.start_ms)
            for each in in_ledger
        }
        invoices = await every_item(caller, "/api/v1/billing/invoices", status="draft")
        drafts = [await document(caller, f"/api/v1/billing/invoices/{each['id']}") for each in invoices]
        charged, beyond = on_lines(drafts)[start_ms], exact(usage["credits"]["pay_as_you_go"])
        # What goes beyond a ceiling is written off.
        assert charged <= beyond
        drawn_up += charged == beyond > 0
    assert (await reconcile(books, ledger)).ok
    assert waiting > 0
    assert drawn_up > 0


async def test_whole_periods_are_what_their_invoices_include_charge_and_write_off(asking: Asking) -> None:
    world, books = asking.world, asking.world.running.books
    await world.live(NOON_MS + 5 * DAY_MS)
    await world.book()
    await world.live(NOON_MS + 70 * DAY_MS)
    split: Counter[str] = Counter()
    for one, caller, visitor in zip(world.people, asking.callers, asking.visitors, strict=True):
        await sign_in(visitor, one)
        await world.closer.close_account(one.id)
        assert await prove_invoices(books, [one.id]) == []
        found = await every_item(caller, "/api/v1/billing/invoices")
        issued = [await document(caller, f"/api/v1/billing/invoices/{each['id']}") for each in found if each["number"]]
        charged = on_lines(issued)
        for invoice in issued:
            path = f"billing/invoices/{invoice['id']}.csv"
            text = (await fetched(caller, f"/api/v1/{path}")).text
            assert (await fetched(visitor, f"/settings/{path}")).text == text
            await the_invoice_page_says(visitor, invoice)
            in_file = sum(exact(line["pay_as_you_go_credits"]) for line in lines_of(text))
            assert in_file == on_lines([invoice]).total()
        async with books.read() as conn:
            closed = await closings.of_periods(conn, one.id)
        for start_ms in {call.period_start_ms for call in one.calls}:
            parts = closed[start_ms].split
            assert parts.usage_millicredits == sum(
                call.millicredits for call in one.calls if call.period_start_ms == start_ms
            )
            assert charged.pop(start_ms, 0) == parts.pay_as_you_go_millicredits
            split["included"] += parts.included_millicredits
            split["charged"] += parts.pay_as_you_go_millicredits
            split["written off"] += parts.written_off_millicredits
        assert charged.total() == 0
    assert min(split["included"], split["charged"], split["written off"]) > 0, "each of them came up"


def on_lines(invoices: Iterable[Any]) -> Counter[int]:
    """What invoices charge as pay-as-you-go, by the start of the period it was used in."""
    charged: Counter[int] = Counter()
    for invoice in invoices:
        for line in invoice["lines"]:
            if line["kind"] == "pay_as_you_go":
                charged[instant_ms(line["service_period"]["start"])] += exact(line["credits"])
    return charged


async def the_invoice_page_says(visitor: httpx.AsyncClient, invoice: Any) -> None:
    """Each product and mode, with its credits."""
    page = tables((await fetched(visitor, f"/settings/billing/invoices/{invoice['id']}")).text)
    shown = [(row[0], exact(row[1])) for row in page["What is charged"][1:] if len(row) == 3 and row[1]]
    assert shown == [
        (f"{formats.name(part['product'])}, {formats.name(part['mode'])}", exact(part["credits"]))
        for line in invoice["lines"]
        for part in line["sub_lines"]
    ]


def admitted(calls: Iterable[Call], within: Range) -> list[Call]:
    """Those of the range, the latest first."""
    chosen = [one for one in calls if within.from_ms <= one.admitted_ms < within.to_ms]
    return sorted(chosen, key=lambda one: one.admitted_ms, reverse=True)


def of_calls(calls: Iterable[Call], by: Iterable[str]) -> Sums:
    sums: Sums = Counter()
    for one in calls:
        key = tuple(told(one, name) for name in by)
        sums[*key, "calls"] += 1
        sums[*key, "units"] += one.units
        sums[*key, "credits"] += one.millicredits
    return +sums


def of_buckets(buckets: Iterable[Any], by: Iterable[str]) -> Sums:
    """Of JSON, or the lines of a file; a line of a file of calls is one call."""
    sums: Sums = Counter()
    for one in buckets:
        key = tuple(one[name] if name in one else one[f"{name}_id"] for name in by)
        sums[*key, "calls"] += int(one.get("calls", 1))
        sums[*key, "units"] += int(one["units"] or 0)
        sums[*key, "credits"] += exact(one["credits"])
    return +sums


def told(one: Call, name: str) -> str:
    return str({"product": one.product, "mode": one.mode, "project": one.project_id, "key": one.key_id}[name])


def exact(credits_: object) -> int:
    """Millicredits of whatever a view shows."""
    return millicredits(str(credits_).replace(",", ""))


def instant_ms(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))


def lines_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def fetched(client: httpx.AsyncClient, path: str, **query: Any) -> httpx.Response:
    reply = await client.get(path, params=query or None)
    assert reply.status_code == 200, reply.text
    return reply


async def document(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    """JSON whose fractions are text, so that none is rounded."""
    return json.loads((await fetched(client, path, **query)).content, parse_float=str)


async def the_series_says(caller: httpx.AsyncClient, asked: Asked, within: Range, one: Person) -> None:
    query = {**asked.times(within), "window": asked.window, "by": ",".join(asked.by)}
    path, calls = "/api/v1/usage/series", admitted(one.calls, within)
    found = await document(caller, path, **query)
    assert of_buckets([found["total"]], ()) == of_calls(calls, ())
    edges = [instant_ms(found["from"])]
    for window in found["windows"]:
        start_ms, end_ms = instant_ms(window["start"]), instant_ms(window["end"])
        assert start_ms == edges[-1]
        edges.append(end_ms)
        within_it = of_calls(admitted(calls, Range(start_ms, end_ms)), asked.by)
        assert of_buckets(window["buckets"], asked.by) == within_it
    assert (edges[0], edges[-1]) == (within.from_ms, instant_ms(found["to"]))
    reply = await caller.get(path, params=query, headers={"accept": "text/csv"})
    by_window: dict[int, list[dict[str, str]]] = defaultdict(list)
    for line in lines_of(reply.text):
        by_window[instant_ms(line["start"])].append(line)
    expected = {instant_ms(each["start"]): of_buckets(each["buckets"], asked.by) for each in found["windows"]}
    assert {start: of_buckets(lines, asked.by) for start, lines in by_window.items()} == {
        start: sums for start, sums in expected.items() if sums
    }


async def the_usage_page_says(visitor: httpx.AsyncClient, asked: Asked, within: Range, one: Person) -> None:
    query = {"from": asked.first.isoformat(), "to": asked.last.isoformat(), "window": asked.window}
    query |= {"by": asked.told, "tz": asked.zone}
    query |= {name: "1" for name, chosen in (("cumulative", asked.cumulative), ("compare", asked.compared)) if chosen}
    page, calls = (await fetched(visitor, USAGE, **query)).text, admitted(one.calls, within)
    total = sum(call.millicredits for call in calls)
    stats = dict(re.findall(r"<dt>([^<]+)</dt><dd>([0-9.,]+)", page))
    assert (exact(stats["Credits"]), int(stats["Calls"])) == (total, len(calls))
    earlier = Filters(zone=asked.zone).range_before(within)
    # Nothing is said of a time before in which there was nothing.
    before = re.search(r'from ([0-9.,]+) <span title="As much time before', page)
    assert exact(before[1] if before else "0") == sum(call.millicredits for call in admitted(one.calls, earlier))
    shown = tables(page)
    if calls:
        *rows, last = shown["Usage by product and mode"][1:]
        assert sums_of_rows(rows) == named(of_calls(calls, ("product", "mode")))
        assert (exact(last[2]), int(last[4])) == (total, len(calls))
    if total:
        head, *bars = shown[f"Credits by {asked.window}, as a table"]
        the_bars_say(head, [[cell or "0" for cell in bar] for bar in bars[::-1]], asked, total)
    await the_csv_says(visitor, query, asked, within, one)


def sums_of_rows(rows: Iterable[Sequence[str]]) -> Sums:
    """The breakdown: product, mode, share, credits, percentage, calls, units."""
    sums: Sums = Counter()
    for product, mode, _, shown, _, calls, units in rows:
        sums[product, mode, "credits"] += exact(shown)
        sums[product, mode, "calls"] += int(calls)
        sums[product, mode, "units"] += int(units)
    return +sums


def named(sums: Sums) -> Sums:
    """The same in words for people."""
    return Counter({(*map(formats.name, key[:-1]), key[-1]): value for key, value in sums.items()})


def the_bars_say(head: Sequence[str], bars: Sequence[Sequence[str]], asked: Asked, total: int) -> None:
    """Groups add up to each bar, and the bars to the total."""
    column = head.index("Credits")
    for bar in bars:
        assert sum(map(exact, bar[1:column])) == exact(bar[column])
    ends = bars[-1:] if asked.cumulative else bars
    assert sum(exact(bar[column]) for bar in ends) == total


async def the_csv_says(
    visitor: httpx.AsyncClient, query: dict[str, str], asked: Asked, within: Range, one: Person
) -> None:
    """Every bar of every group is what was noted; groups beyond the fifth are one."""
    lines = lines_of((await fetched(visitor, f"{USAGE}.csv", **query)).text)
    by = ("product", "mode") if asked.told == "mode" else (asked.told,)
    assert (instant_ms(lines[0]["start"]), instant_ms(lines[-1]["end"])) == (within.from_ms, within.to_ms)
    for line in lines:
        start_ms = within.from_ms if asked.cumulative else instant_ms(line["start"])
        calls = admitted(one.calls, Range(start_ms, instant_ms(line["end"])))
        expected: Counter[str] = Counter()
        for call in calls:
            expected[label(one, asked.told, tuple(told(call, name) for name in by))] += call.millicredits
        assert exact(line["credits"]) == expected.total()
        groups = {name: exact(value) for name, value in line.items() if name not in {"start", "end", "credits"}}
        others = sum(groups.pop(name) for name in list(groups) if name.endswith(" others"))
        assert {name: expected.pop(name, 0) for name in groups} == groups
        assert expected.total() == others


def label(one: Person, told_by: str, key: tuple[str, ...]) -> str:
    """What people call a group."""
    if told_by == "key":
        return f"{one.names[key[0]]} ({formats.short_id(key[0])})"
    return one.names[key[0]] if told_by == "project" else ": ".join(map(formats.name, key))


async def lists_of_calls_say(
    caller: httpx.AsyncClient, visitor: httpx.AsyncClient, asked: Asked, within: Range, one: Person
) -> None:
    """Every call once, the latest first: the file of events, the pages of calls, LlamaCloud's pages of whole days."""
    calls = admitted(one.calls, within)
    lines = lines_of((await fetched(caller, "/api/v1/usage/events", **asked.times(within))).text)
    assert of_buckets(lines, asked.by) == of_calls(calls, asked.by)
    assert Counter(line["request_id"] for line in lines) == Counter(call.request_id for call in calls)
    await the_pages_of_calls_say(visitor, within, calls)
    days = admitted(one.calls, replace(asked, zone="UTC").within(NOON_MS))
    found = await every_item(
        caller,
        "/api/v1/beta/usage-metrics",
        organization_id=one.id,
        day_on_or_after=asked.first.isoformat(),
        day_on_or_before=asked.last.isoformat(),
        page_size=max(asked.page_size, len(days) // 8 + 1),
        include_total="true",
    )
    assert Counter(item["properties"]["request_id"] for item in found) == Counter(call.request_id for call in days)
    assert sum(exact(item["credits"]) for item in found) == sum(call.millicredits for call in days)


async def every_item(caller: httpx.AsyncClient, path: str, **query: Any) -> list[Any]:
    found: list[Any] = []
    while True:
        page = await document(caller, path, **query)
        found += page["items"]
        if page["next_page_token"] is None:
            assert page.get("total_size", len(found)) == len(found)
            return found
        query["page_token"] = page["next_page_token"]


async def the_pages_of_calls_say(visitor: httpx.AsyncClient, within: Range, calls: Sequence[Call]) -> None:
    start, end = (formats.iso_exactly(at_ms) for at_ms in (within.from_ms, within.to_ms))
    address, found, seen = f"{USAGE}/calls?{urlencode({'start': start, 'end': end})}", 0, 0
    while address:
        page = (await fetched(visitor, address)).text
        count = re.search(r"<p>([0-9,]+) calls? that cost credits", page)
        assert count is not None
        assert int(count[1]) == len(calls)
        rows = tables(page).get("Calls, the latest first", [[]])[1:]
        seen, found = seen + len(rows), found + sum(exact(row[-1]) for row in rows)
        older = re.search(r'href="([^"]+)">Older calls', page)
        address = unescape(older[1]) if older else ""
    assert (seen, found) == (len(calls), sum(call.millicredits for call in calls))
