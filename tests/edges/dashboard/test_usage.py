"""The usage pages: what they show is what was used, whatever the view, and each number leads to its calls."""

import csv
import io
import json
import re
import threading
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest

from gateway.edges.dashboard import usage, usage_chart
from gateway.edges.dashboard.pages import Visit
from tests.edges.dashboard.conftest import BILLING, Running

USAGE = f"{BILLING}/usage"


def chart_of(page: str) -> dict:
    found = re.search(r'data-chart="([^"]*)"', page)
    assert found is not None
    return json.loads(unescape(found[1]))


def totals_of(page: str) -> list[int]:
    """The bars' credits as the table has them, the earliest first."""
    groups = len(chart_of(page)["groups"])
    rows = re.findall(r"<tr data-first=.*?</tr>", page)
    cells = [re.findall(r'<td class="num">([\d,]*)', row) for row in reversed(rows)]
    return [int(each[groups].replace(",", "")) for each in cells]


async def test_the_chart_the_table_and_the_csv_say_the_same(running: Running) -> None:
    one = await running.someone("pro", days_ago=40)
    await running.used_often(one, [500] * 9, product="parse", mode="agentic")
    await running.used_often(one, [70, 30], product="extract", mode="agentic")
    async with running.signed_in(one) as client:
        page = (await client.get(USAGE)).text
        totals = totals_of(page)
        rows = list(csv.reader(io.StringIO((await client.get(f"{USAGE}.csv")).text)))
    assert chart_of(page)["groups"] == ["Parse", "Extract"]
    assert len(totals) == 30
    assert sum(totals) == 4_600
    assert rows[0] == ["start", "end", "Parse", "Extract", "credits"]
    assert [int(row[-1]) for row in rows[1:]] == totals
    assert "4,600" in page


async def test_a_spreadsheet_evaluates_nothing_that_a_key_was_named(running: Running) -> None:
    one = await running.someone("pro", days_ago=40)
    named = await running.desk.keys.create(one.id, name='=HYPERLINK("http://evil.example","x")')
    await running.used_often(one, [500], product="parse", mode="agentic", key_id=named.id)
    async with running.signed_in(one) as client:
        rows = list(csv.reader(io.StringIO((await client.get(f"{USAGE}.csv?by=key")).text)))
    assert rows[0][2].startswith("'=HYPERLINK")


async def test_drawing_hundreds_of_bars_holds_up_no_calls(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_in = []

    def noting(draw: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **named: Any) -> Any:
            drawn_in.append(threading.current_thread())
            return draw(*args, **named)

        return noted

    monkeypatch.setattr(usage, "draw", noting(usage_chart.draw))
    monkeypatch.setattr(Visit, "page", noting(Visit.page))
    one = await running.someone("pro", days_ago=40)
    async with running.signed_in(one) as client:
        assert (await client.get(f"{USAGE}?window=hour")).status_code == 200
    assert len(drawn_in) == 2
    assert threading.main_thread() not in drawn_in


async def test_filters_stay_in_every_link_and_narrow_all_numbers(running: Running) -> None:
    one = await running.someone("pro", days_ago=40)
    await running.used_often(one, [500] * 3, product="parse", mode="agentic")
    await running.used_often(one, [40] * 2, product="parse", mode="fast")
    await running.used_often(one, [70], product="extract", mode="agentic")
    async with running.signed_in(one) as client:
        page = (await client.get(f"{USAGE}?range=7d&by=mode&product=parse&mode=fast")).text
        csv_link = re.search(r'href="([^"]*usage\.csv[^"]*)"', page)
        assert csv_link is not None
        rows = list(csv.reader(io.StringIO((await client.get(unescape(csv_link[1]))).text)))
    assert chart_of(page)["groups"] == ["Parse: Fast"]
    assert sum(int(row[-1]) for row in rows[1:]) == 80


async def test_a_bar_leads_to_its_calls_and_a_call_to_its_receipt(running: Running) -> None:
    one = await running.someone("pro", days_ago=40)
    made = await running.used_often(one, [500, 700], product="parse", mode="agentic")
    async with running.signed_in(one) as client:
        page = (await client.get(USAGE)).text
        links = re.findall(r'class="chart-slot" href="([^"]+)"', page)
        latest = next(link for total, link in zip(totals_of(page), links, strict=True) if total == 500)
        calls = (await client.get(unescape(latest))).text
        receipt = await client.get(f"{USAGE}/calls/{made[0].facts.request_id}")
    assert made[0].facts.request_id in calls
    assert made[1].facts.request_id not in calls
    assert receipt.status_code == 200
    assert "500 <small>credits" in receipt.text


async def test_more_calls_than_a_page_are_gone_through_one_after_the_other(running: Running) -> None:
    one = await running.someone("pro", days_ago=80)
    made = await running.used_often(one, [1] * 70)
    async with running.signed_in(one) as client:
        first = (await client.get(f"{USAGE}/calls")).text
        older = re.search(r'href="([^"]*after=[^"]*)"', first)
        assert older is not None
        second = (await client.get(unescape(older[1]))).text
    shown = [re.findall(r"calls/(req_[0-9a-f]{32})", page) for page in (first, second)]
    assert [len(one) for one in shown] == [50, 20]
    assert sorted(shown[0] + shown[1]) == sorted(event.facts.request_id for event in made)


async def test_nobody_sees_the_calls_of_another_account(running: Running) -> None:
    mine, theirs = await running.someone("pro", days_ago=40), await running.someone("pro", days_ago=40)
    event = await running.used(theirs, 500)
    async with running.signed_in(mine) as client:
        assert (await client.get(f"{USAGE}/calls/{event.facts.request_id}")).status_code == 404
        assert "No such calls" in (await client.get(f"{USAGE}/calls?key={theirs.key_id}")).text
        assert (await client.get(f"{USAGE}?project={theirs.account.project_id}")).status_code == 404


NONSENSE = (
    "range=eternity",
    "from=yesterday",
    "range=custom&from=2026-11-23&to=2026-11-01",
    "range=custom&from=1990-01-01&to=2026-11-01",
    "range=custom&from=2002-01-01&to=2026-11-01",
    "window=minute",
    "by=colour",
    "chart=pie",
    "tz=Mars/Olympus",
    "tz=../../etc/passwd",
    "tz=localtime",
    "tz=right/UTC",
    "product=%00",
    "range=12m&window=hour",
)


async def test_a_view_that_makes_no_sense_is_refused_with_a_sentence(running: Running) -> None:
    one = await running.someone("pro")
    async with running.signed_in(one) as client:
        for query in NONSENSE:
            reply = await client.get(f"{USAGE}?{query}")
            assert (reply.status_code, "That did not work" in reply.text) == (400, True), query


async def test_an_account_without_usage_is_told_how_to_begin(running: Running) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        assert "No calls in this range" in (await client.get(USAGE)).text


async def test_whatever_the_zone_and_the_windows_all_usage_is_there(running: Running) -> None:
    one = await running.someone("pro", days_ago=40)
    await running.used_often(one, [500] * 6, days_ago=0.3)
    async with running.signed_in(one) as client:
        for zone in ("UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Auckland"):
            for window in ("hour", "day", "week", "month"):
                page = (await client.get(f"{USAGE}?range=7d&tz={zone}&window={window}&compare=1")).text
                assert sum(totals_of(page)) == 3_000, (zone, window)


async def test_added_up_over_time_the_last_bar_is_the_whole(running: Running) -> None:
    one = await running.someone("pro", days_ago=40)
    await running.used_often(one, [500] * 6)
    async with running.signed_in(one) as client:
        page = (await client.get(f"{USAGE}?range=7d&cumulative=1&chart=lines&compare=1")).text
    assert totals_of(page)[-1] == 3_000
    assert 'class="chart-line chart-line-1"' in page
