"""Every usage event of a range as a file that a spreadsheet reads."""

import csv
import io

from gateway.books import usage
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.edges.api import usage_events
from tests.edges.api.conftest import Running
from tests.made_up import NOON_MS, event

PATH = "/api/v1/usage/events"
DAY = {"from": "2026-11-23", "to": "2026-11-24"}


async def used(running: Running, *times_ms: int) -> tuple[str, str]:
    opened, secret = await running.open_account()
    calls = [event(opened.id, number, admitted_at_ms=at_ms) for number, at_ms in enumerate(times_ms, start=1)]
    calls.append(event(opened.id, 9_999, ending=Ending.RELEASED, captured=0))
    async with running.books.begin() as conn:
        await usage.book(conn, calls)
    return opened.id, secret


async def test_every_capture_of_the_range_is_a_line_the_latest_first(running: Running) -> None:
    account_id, secret = await used(running, NOON_MS, NOON_MS + HOUR_MS, NOON_MS - DAY_MS)
    async with running.caller(secret) as caller:
        reply = await caller.get(PATH, params=DAY, headers={"accept": "text/csv"})
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.headers["content-disposition"] == f'attachment; filename="usage-events-{account_id}.csv"'
    lines = list(csv.DictReader(io.StringIO(reply.text, newline="")))
    assert [line["admitted_at"] for line in lines] == ["2026-11-23T13:00:00.000Z", "2026-11-23T12:00:00.000Z"]
    told = {name: lines[1][name] for name in ("request_id", "product", "mode", "units", "credits_per_unit", "credits")}
    assert told == {
        "request_id": f"req_{1:032x}",
        "product": "parse",
        "mode": "agentic",
        "units": "2",
        "credits_per_unit": "10",
        "credits": "20",
    }


async def test_dates_are_of_the_zone_that_is_asked_for(running: Running) -> None:
    # 20:00 UTC is the next day in Kolkata.
    _, secret = await used(running, NOON_MS, NOON_MS + 8 * HOUR_MS)
    async with running.caller(secret) as caller:
        reply = await caller.get(PATH, params=DAY | {"tz": "Asia/Kolkata"})
    assert [line["admitted_at"] for line in csv.DictReader(io.StringIO(reply.text, newline=""))] == [
        "2026-11-23T12:00:00.000Z"
    ]


async def test_more_events_than_fit_into_memory_come_page_by_page(running: Running) -> None:
    _, secret = await used(running, *range(NOON_MS, NOON_MS + 1_201))
    async with running.caller(secret) as caller:
        lines = (await caller.get(PATH, params=DAY)).text.splitlines()
    ids = {line.split(",")[0] for line in lines}
    assert (len(lines), len(ids), len(lines) > usage_events._ROWS_AT_ONCE) == (1_202, 1_202, True)


async def test_another_accounts_project_and_a_wrong_range_are_refused_before_the_first_line(running: Running) -> None:
    other, _ = await running.open_account()
    _, secret = await used(running, NOON_MS)
    async with running.caller(secret) as caller:
        assert (await caller.get(PATH, params={"project_id": other.project_id})).status_code == 404
        assert (await caller.get(PATH, params={"from": "yesterday"})).status_code == 422
        assert (await caller.get(PATH, params={"organization_id": other.id})).status_code == 404
        mine = await caller.get(PATH, params=DAY | {"project_id": "prj_1"})
    assert mine.status_code == 404  # the events are of a project that the account does not have
