"""Whoever is asked about a range says the same: series, report, events, both CSVs, ledger, invoices."""

import csv
import io
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from gateway.books import closings, terms, usage
from gateway.books.books import Books
from gateway.books.reports import Bucket, By
from gateway.books.tables import closed_events, invoice_lines, invoices, ledger_entries, usage_events
from gateway.domain.credits import millicredits
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.terms import PeriodTerms
from gateway.domain.usage import UsageEvent
from gateway.domain.windows import Window
from gateway.edges.api import series as series_api
from gateway.edges.api import usage_events as events_api
from gateway.flows.accounts import Accounts
from gateway.flows.faults import WrongParameter
from gateway.flows.issue_invoice import Closer
from gateway.flows.prove_invoices import prove_invoices
from gateway.flows.terms import current_terms
from gateway.flows.usage_metrics import UsageMetrics, Wanted
from gateway.flows.usage_report import Range, UsageReports
from gateway.flows.usage_series import Series, UsageSeries
from tests.billing import billing_over
from tests.flows.test_usage_metrics import Waiting
from tests.made_up import CREDIT, NOON, NOON_MS, PLANS, Clock, event

RANGES = 100
LIFE = timedelta(days=100)
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Auckland", "America/St_Johns")
BY = (By.PRODUCT, By.MODE, By.PROJECT, By.KEY)
TOLD: dict[By, Callable[[UsageEvent], str]] = {
    By.PRODUCT: lambda one: one.facts.product,
    By.MODE: lambda one: one.facts.mode,
    By.PROJECT: lambda one: one.facts.project_id,
    By.KEY: lambda one: one.facts.key_id,
}
IN_CSV = {By.PROJECT: "project_id", By.KEY: "key_id"}
# Calls, units and millicredits by what they are told apart by.
Sums = Counter[tuple[str, ...]]


@dataclass
class Lived:
    """An account, everything that happened to it, and the part that waits in the outbox."""

    id: str
    periods: list[PeriodTerms]
    events: list[UsageEvent]
    waiting: list[UsageEvent]


async def live(books: Books, plan_id: str, dice: random.Random, number: int) -> Lived:
    """A hundred days: captures of all kinds, releases and expiries, a good part of them not booked yet."""
    clock = Clock(NOON - LIFE + timedelta(minutes=17))
    opened = await Accounts(billing_over(books, clock)).create("Acme", plan_id)
    await current_terms(books, PLANS, opened.id, NOON)
    async with books.read() as conn:
        known = await terms.of_account(conn, opened.id, 0)
    assert known is not None
    booked = list(known.periods)
    events = []
    for seq in range(1, 241):
        at_ms = booked[0].start_ms + dice.randrange(NOON_MS - booked[0].start_ms)
        if dice.random() < 0.3:
            at_ms = max(booked[0].start_ms, at_ms // HOUR_MS * HOUR_MS + dice.choice([-1, 0, 1]))
        period = next(one for one in booked if one.start_ms <= at_ms < one.end_ms)
        ending = dice.choice([*usage.CAPTURES, Ending.CAPTURED, Ending.CAPTURED, Ending.RELEASED, Ending.EXPIRED])
        events.append(
            event(
                opened.id,
                number + seq,
                ending=ending,
                captured=dice.randrange(2_000 * CREDIT) if ending in usage.CAPTURES else 0,
                units=dice.choice([None, 0, 3, 40]),
                period_start_ms=period.start_ms,
                admitted_at_ms=at_ms,
                seq=seq,
                product=dice.choice(["parse", "extract"]),
                mode=dice.choice(["agentic", "fast"]),
                project_id=dice.choice(["prj_1", "prj_2"]),
                key_id=dice.choice(["key_1", "key_2", "key_3"]),
            )
        )
    dice.shuffle(events)
    async with books.begin() as conn:
        await usage.book(conn, events[:170])
    # Some of what is booked has not left the outbox yet.
    return Lived(opened.id, booked, events, events[140:])


@pytest.fixture
async def world(books: Books) -> list[Lived]:
    dice = random.Random(20)
    return [await live(books, plan_id, dice, 1_000 * n) for n, plan_id in enumerate(("starter", "free"))]


def of_events(events: Iterable[UsageEvent], by: Iterable[By]) -> Sums:
    sums: Sums = Counter()
    for one in events:
        key = tuple(TOLD[name](one) for name in by)
        sums[*key, "calls"] += 1
        sums[*key, "units"] += one.settlement.units or 0
        sums[*key, "credits"] += one.captured_millicredits
    return +sums


def of_buckets(buckets: Iterable[Bucket], by: Iterable[By]) -> Sums:
    sums: Sums = Counter()
    for one in buckets:
        key = tuple(getattr(one, name) for name in by)
        sums[*key, "calls"] += one.calls
        sums[*key, "units"] += one.units
        sums[*key, "credits"] += one.captured_millicredits
    return +sums


def of_csv(text: str, by: Iterable[By], columns: dict[By, str] | None = None) -> Sums:
    """Of either file: a line of the series has a number of calls, one of the events is one."""
    sums: Sums = Counter()
    for line in csv.DictReader(io.StringIO(text, newline="")):
        key = tuple(line[(columns or {}).get(name, name)] for name in by)
        sums[*key, "calls"] += int(line.get("calls", "1"))
        sums[*key, "units"] += int(line["units"] or 0)
        sums[*key, "credits"] += millicredits(line["credits"])
    return +sums


def buckets(found: Series) -> list[Bucket]:
    return [bucket for window in found.windows for bucket in window.buckets]


async def in_the_ledger(books: Books, account_id: str, within: Range) -> int:
    """What the ledger says was used by calls admitted in the range."""
    async with books.read() as conn:
        query = (
            select(func.coalesce(func.sum(ledger_entries.c.amount_millicredits), 0))
            .join(usage_events, usage_events.c.id == ledger_entries.c.transaction_id)
            .where(
                ledger_entries.c.account_id == account_id,
                ledger_entries.c.credit == "used",
                usage_events.c.admitted_at_ms >= within.from_ms,
                usage_events.c.admitted_at_ms < within.to_ms,
            )
        )
        return int((await conn.execute(query)).scalar_one())


async def booked_of(books: Books, events: list[UsageEvent]) -> frozenset[str]:
    async with books.read() as conn:
        return await usage.booked_ids(conn, [one.id for one in events])


async def test_every_view_of_any_range_says_the_same(books: Books, world: list[Lived]) -> None:
    dice = random.Random(4)
    ledger = Waiting(*(one for lived in world for one in lived.waiting))
    reports = UsageReports(books=books, ledger=ledger, terms_of=partial(current_terms, books, PLANS))
    series, metrics = UsageSeries(books=books, ledger=ledger), UsageMetrics(books=books, ledger=ledger)
    looked_at = 0
    while looked_at < RANGES:
        lived, zone, window = dice.choice(world), ZoneInfo(dice.choice(ZONES)), dice.choice(list(Window))
        from_ms = NOON_MS - dice.randrange(110 * DAY_MS)
        length_ms = dice.choice([HOUR_MS // 2, 9 * HOUR_MS, dice.randrange(1, 100 * DAY_MS)])
        within = Range(from_ms, from_ms + length_ms)
        by = tuple(name for name in BY if dice.random() < 0.5)
        try:
            found = await series.of_account(lived.id, within, window, zone, by=by)
        except WrongParameter:
            continue  # hours of so long a range are more windows than anybody is shown
        looked_at += 1
        captures = [
            one
            for one in lived.events
            if one.ending in usage.CAPTURES and within.from_ms <= one.admitted_at_ms < within.to_ms
        ]
        expected = of_events(captures, by)
        report = await reports.of_account(lived.id, NOON, by=by, within=within)
        wanted = Wanted(times=((within.from_ms, within.to_ms),))
        page = await metrics.page(lived.id, wanted, size=1, with_total=True)
        lines = "".join([part async for part in events_api._rows(metrics, lived.id, wanted)])
        views = {
            "series": of_buckets(buckets(found), by),
            "report": of_buckets(report.buckets, by),
            "events": of_events([one async for one in metrics.every(lived.id, wanted)], by),
            "series as CSV": of_csv(series_api._csv(found, zone), by),
            "events as CSV": of_csv(lines, by, IN_CSV),
        }
        assert {name: view for name, view in views.items() if view != expected} == {}
        assert page.total == len(captures)
        booked = await booked_of(books, captures)
        unbooked = sum(one.captured_millicredits for one in captures if one.id not in booked)
        used = await in_the_ledger(books, lived.id, within) + unbooked
        assert used == found.total.captured_millicredits == report.bucket_millicredits


async def test_whole_periods_are_what_their_invoices_charge_include_and_write_off(
    books: Books, world: list[Lived]
) -> None:
    ledger = Waiting(*(one for lived in world for one in lived.waiting))
    series = UsageSeries(books=books, ledger=ledger)
    closer = Closer(billing_over(books, Clock(NOON), ledger=ledger), longest_hold_ms=lambda: 0)
    split = Counter[str]()
    for lived in world:
        await closer.close_account(lived.id)
        async with books.read() as conn:
            closed = await closings.of_periods(conn, lived.id)
        assert await prove_invoices(books, [lived.id]) == []
        over = [one for one in lived.periods if one.end_ms <= NOON_MS - HOUR_MS]
        assert [one.start_ms for one in over] == sorted(closed)
        for period in over:
            shown = (
                await series.of_account(lived.id, Range(period.start_ms, period.end_ms), Window.DAY, ZoneInfo("UTC"))
            ).total
            parts = closed[period.start_ms].split
            assert shown.captured_millicredits == parts.usage_millicredits
            assert await on_lines(books, lived.id, period.start_ms) == parts.pay_as_you_go_millicredits
            assert await stamped(books, lived.id, period.start_ms) == (
                parts.included_millicredits,
                parts.pay_as_you_go_millicredits,
                parts.written_off_millicredits,
            )
            assert (
                await in_the_ledger(books, lived.id, Range(period.start_ms, period.end_ms)) == parts.usage_millicredits
            )
            split["included"] += parts.included_millicredits
            split["charged"] += parts.pay_as_you_go_millicredits
            split["written off"] += parts.written_off_millicredits
    assert min(split.values()) > 0  # all three came up


async def on_lines(books: Books, account_id: str, start_ms: int) -> int:
    """What issued invoices charge as pay-as-you-go of the period."""
    async with books.read() as conn:
        query = (
            select(func.coalesce(func.sum(invoice_lines.c.millicredits), 0))
            .join(invoices, invoices.c.id == invoice_lines.c.invoice_id)
            .where(
                invoices.c.account_id == account_id,
                invoice_lines.c.kind == "pay_as_you_go",
                invoice_lines.c.service_start_ms == start_ms,
            )
        )
        return int((await conn.execute(query)).scalar_one())


async def stamped(books: Books, account_id: str, start_ms: int) -> tuple[int, ...]:
    """What the stamps on the period's events come to."""
    async with books.read() as conn:
        names = ("included_millicredits", "pay_as_you_go_millicredits", "written_off_millicredits")
        query = (
            select(*(func.coalesce(func.sum(closed_events.c[name]), 0) for name in names))
            .join(usage_events, usage_events.c.id == closed_events.c.event_id)
            .where(usage_events.c.account_id == account_id, usage_events.c.period_start_ms == start_ms)
        )
        return tuple(int(amount) for amount in (await conn.execute(query)).one())
