"""Usage over time, as a chart or a spreadsheet asks for it."""

import csv
import io

import pytest

from gateway.books import usage
from gateway.domain.instant import HOUR_MS
from tests.edges.api.conftest import Running
from tests.edges.api.test_receipts import terms_of
from tests.flows.calls import call
from tests.made_up import NOON_MS, event

PATH = "/api/v1/usage/series"
DAY = {"from": "2026-11-23", "to": "2026-11-24"}


async def used(running: Running) -> tuple[str, str]:
    """An account with calls at 12:00 and 18:45 UTC; the id and a key."""
    opened, secret = await running.open_account()
    evening_ms = NOON_MS + 6 * HOUR_MS + 45 * 60_000
    calls = [event(opened.id, 1), event(opened.id, 2, admitted_at_ms=evening_ms, captured=20_500, mode="fast")]
    async with running.books.begin() as conn:
        await usage.book(conn, calls)
    return opened.id, secret


async def test_windows_are_of_the_zone_that_is_asked_for(running: Running) -> None:
    account_id, secret = await used(running)
    async with running.caller(secret) as caller:
        utc = (await caller.get(PATH, params=DAY)).json()
        # 18:45 UTC is a quarter past midnight there.
        reply = await caller.get(PATH, params=DAY | {"to": "2026-11-25", "tz": "Asia/Kolkata", "by": "mode"})
    assert (utc["account_id"], utc["window"], utc["tz"], utc["by"]) == (account_id, "day", "UTC", ["product", "mode"])
    assert utc["windows"] == [
        {
            "start": "2026-11-23T00:00:00.000Z",
            "end": "2026-11-24T00:00:00.000Z",
            "buckets": [
                {"product": "parse", "mode": "agentic", "calls": 1, "units": 2, "credits": 20},
                {"product": "parse", "mode": "fast", "calls": 1, "units": 2, "credits": 20.5},
            ],
        }
    ]
    assert utc["total"] == {"calls": 2, "units": 4, "credits": 40.5}
    said = reply.json()
    assert [window["start"] for window in said["windows"]] == [
        "2026-11-23T00:00:00.000+05:30",
        "2026-11-24T00:00:00.000+05:30",
    ]
    assert [[bucket["mode"] for bucket in window["buckets"]] for window in said["windows"]] == [["agentic"], ["fast"]]
    assert reply.headers["vary"] == "accept"


async def test_a_spreadsheet_gets_lines(running: Running) -> None:
    _, secret = await used(running)
    async with running.caller(secret) as caller:
        asked = DAY | {"window": "hour", "by": "mode"}
        reply = await caller.get(PATH, params=asked, headers={"accept": "text/csv"})
        both = await caller.get(PATH, params=asked, headers={"accept": "text/csv;q=0.5, application/json"})
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert list(csv.reader(io.StringIO(reply.text))) == [
        ["start", "end", "mode", "calls", "units", "credits"],
        ["2026-11-23T12:00:00.000Z", "2026-11-23T13:00:00.000Z", "agentic", "1", "2", "20"],
        ["2026-11-23T18:00:00.000Z", "2026-11-23T19:00:00.000Z", "fast", "1", "2", "20.5"],
    ]
    assert both.headers["content-type"] == "application/json"


async def test_without_a_range_it_is_of_the_last_thirty_days_up_to_this_moment(running: Running) -> None:
    opened, secret = await running.open_account()
    await call(running.ledger, await terms_of(running, opened.id), 1)
    running.clock.forward(seconds=5)
    async with running.caller(secret) as caller:
        said = (await caller.get(PATH, params={"by": "", "window": "month"})).json()
    assert said["total"] == {"calls": 1, "units": 2, "credits": 20}
    assert said["by"] == []
    assert said["live"] is True


async def test_times_may_name_their_offset(running: Running) -> None:
    _, secret = await used(running)
    async with running.caller(secret) as caller:
        asked = "from=2026-11-23T13:00+01:00&to=2026-11-23T12:00:00.001Z&window=hour"
        said = (await caller.get(f"{PATH}?{asked}")).json()
    assert (said["from"], said["to"]) == ("2026-11-23T12:00:00.000Z", "2026-11-23T12:00:00.001Z")
    assert said["total"]["calls"] == 1


async def test_another_accounts_usage_is_not_in_it(running: Running) -> None:
    account_id, _ = await used(running)
    other, secret = await running.open_account()
    async with running.caller(secret) as caller:
        assert (await caller.get(PATH, params=DAY)).json()["total"]["calls"] == 0
        assert (await caller.get(PATH, params=DAY | {"organization_id": account_id})).status_code == 404
        assert (await caller.get(PATH, params=DAY | {"project_id": "prj_1"})).status_code == 404
        assert (await caller.get(PATH, params=DAY | {"project_id": other.project_id})).status_code == 200


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": "../../etc/passwd"}, "tz"),
        ({"tz": "America"}, "tz"),
        ({"window": "year"}, "window"),
        ({"by": "colour"}, "by"),
        ({"from": "soon"}, "from"),
        ({"from": "2026-11-24", "to": "2026-11-23"}, "to"),
        ({"from": "0001-01-01"}, "from"),
        ({"to": "9999-12-31"}, "to"),
        ({"from": "2026-01-01", "to": "2026-11-23", "window": "hour"}, "window"),
    ],
)
async def test_a_wrong_parameter_is_named(running: Running, query: dict[str, str], name: str) -> None:
    _, secret = await running.open_account()
    async with running.caller(secret) as caller:
        reply = await caller.get(PATH, params=query)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_query")
    assert reply.json()["detail"][0]["loc"] == ["query", name]
