"""Usage events as LlamaCloud's clients ask for them."""

import base64

import orjson
import pytest

from gateway.books import usage
from gateway.domain.instant import DAY_MS
from tests.edges.api.conftest import Running
from tests.edges.api.test_receipts import terms_of
from tests.flows.calls import call
from tests.made_up import NOON_MS, event

PATH = "/api/v1/beta/usage-metrics"


async def test_items_have_the_vendors_shape_and_credits_of_the_ledger(running: Running) -> None:
    opened, secret = await running.open_account()
    await call(running.ledger, await terms_of(running, opened.id), 1, cost=20_500)
    async with running.caller(secret) as caller:
        reply = await caller.get(PATH, params={"organization_id": opened.id, "include_total": "true"})
    said = reply.json()
    assert said == {
        "items": [
            {
                "id": f"req_{1:032x}.captured",
                "user_id": "key_1",
                "organization_id": opened.id,
                "project_id": "prj_1",
                "event_type": "pages_parsed",
                "value": 2,
                "day": said["items"][0]["day"],
                "event_aggregation_key": f"req_{1:032x}",
                "event_aggregation_type": "request",
                "properties": {
                    "mode": "agentic",
                    "tier": "agentic",
                    "unit": "page",
                    "request_id": f"req_{1:032x}",
                    "rate_card_version": "2026-11",
                },
                "credits": 20.5,
            }
        ],
        "next_page_token": None,
        "total_size": 1,
    }
    assert reply.headers["cache-control"] == "no-store"


async def test_pages_go_on_where_the_last_one_ended(running: Running) -> None:
    opened, secret = await running.open_account()
    async with running.books.begin() as conn:
        await usage.book(conn, [event(opened.id, number, admitted_at_ms=NOON_MS + number) for number in range(1, 8)])
    asked: dict[str, str | int] = {"organization_id": opened.id, "page_size": 3}
    found: list[str] = []
    async with running.caller(secret) as caller:
        while True:
            said = (await caller.get(PATH, params=asked)).json()
            assert "total_size" not in said
            found += [item["id"] for item in said["items"]]
            if said["next_page_token"] is None:
                break
            asked["page_token"] = said["next_page_token"]
    assert found == [f"req_{number:032x}.captured" for number in range(7, 0, -1)]


async def test_days_are_utc_days_and_can_be_listed_or_bounded(running: Running) -> None:
    opened, secret = await running.open_account()
    days = [event(opened.id, number, admitted_at_ms=NOON_MS + (number - 1) * DAY_MS) for number in range(1, 6)]
    async with running.books.begin() as conn:
        await usage.book(conn, days)
    asked: list[tuple[dict[str, str | list[str]], list[int]]] = [
        ({"days": ["2026-11-23", "2026-11-24", "2026-11-27"]}, [5, 2, 1]),
        ({"days": "2026-11-23,2026-11-25"}, [3, 1]),
        ({"day_on_or_after": "2026-11-25"}, [5, 4, 3]),
        ({"day_on_or_before": "2026-11-24"}, [2, 1]),
        ({"day_on_or_after": "2026-11-24", "day_on_or_before": "2026-11-25"}, [3, 2]),
        ({"days": ["2026-11-23", "2026-11-26"], "day_on_or_after": "2026-11-24"}, [4]),
        ({"day_on_or_after": "2026-11-26", "day_on_or_before": "2026-11-24"}, []),
        ({"event_types": ["pages_parsed", "pages_split"]}, [5, 4, 3, 2, 1]),
        ({"event_types": "chat_message_sent"}, []),
        ({"event_aggregation_key": f"req_{2:032x}"}, [2]),
    ]
    async with running.caller(secret) as caller:
        for query, expected in asked:
            reply = await caller.get(PATH, params={"organization_id": opened.id, **query})
            numbers = [int(item["id"][4:36], 16) for item in reply.json()["items"]]
            assert numbers == expected, query


async def test_other_organizations_and_projects_are_not_there(running: Running) -> None:
    opened, secret = await running.open_account()
    other, _ = await running.open_account()
    async with running.caller(secret) as caller:
        own = await caller.get(PATH, params={"organization_id": opened.id, "project_id": opened.project_id})
        theirs = await caller.get(PATH, params={"organization_id": other.id})
        both = await caller.get(PATH, params={"organization_id": [opened.id, other.id]})
        project = await caller.get(PATH, params={"organization_id": opened.id, "project_id": other.project_id})
    assert own.status_code == 200
    assert (theirs.status_code, project.status_code) == (404, 404)
    assert both.status_code in {404, 422}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({}, "organization_id"),
        ({"organization_id": ""}, "organization_id"),
        ({"page_size": "0"}, "page_size"),
        ({"page_size": "1001"}, "page_size"),
        ({"page_size": "٣"}, "page_size"),
        ({"page_size": "9" * 5000}, "page_size"),
        ({"include_total": "maybe"}, "include_total"),
        ({"days": "yesterday"}, "days"),
        ({"days": ["2026-11-23", "0001-01-01"]}, "days"),
        ({"day_on_or_after": "2026-13-01"}, "day_on_or_after"),
        ({"day_on_or_before": "9999-12-31"}, "day_on_or_before"),
        ({"event_aggregation_key": "a\0b"}, "event_aggregation_key"),
        ({"event_types": "a\0b"}, "event_types"),
        ({"event_types": ",".join(map(str, range(99)))}, "event_types"),
        ({"page_token": "nonsense"}, "page_token"),
        ({"page_token": "ö"}, "page_token"),
    ],
)
async def test_a_wrong_parameter_is_a_422_that_names_it_in_a_list(
    running: Running, query: dict[str, str], name: str
) -> None:
    opened, secret = await running.open_account()
    asked = {"organization_id": opened.id, **query} if query else {}
    async with running.caller(secret) as caller:
        reply = await caller.get(PATH, params=asked)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_query")
    assert reply.json()["detail"][0]["loc"] == ["query", name]


async def test_a_token_is_good_for_its_own_filters_and_account_only(running: Running) -> None:
    opened, secret = await running.open_account()
    other, others_secret = await running.open_account()
    async with running.books.begin() as conn:
        await usage.book(conn, [event(opened.id, number) for number in (1, 2, 3)])
    async with running.caller(secret) as caller:
        asked: dict[str, str] = {"organization_id": opened.id, "page_size": "1"}
        token = (await caller.get(PATH, params=asked)).json()["next_page_token"]
        wider = await caller.get(PATH, params=asked | {"page_token": token, "page_size": "2"})
        other_filter = await caller.get(PATH, params=asked | {"page_token": token, "event_types": "pages_parsed"})
        version, within, _, last_id = orjson.loads(base64.urlsafe_b64decode(token + "=="))
        forged = [[version, within, 2**70, last_id], [version, within, 1, "a\0b"], [2, within, 1, last_id]]
        tokens = [base64.urlsafe_b64encode(orjson.dumps(str(each))).decode() for each in forged]
        broken = [await caller.get(PATH, params=asked | {"page_token": each}) for each in tokens]
    async with running.caller(others_secret) as caller:
        stolen = await caller.get(PATH, params={"organization_id": other.id, "page_token": token})
    assert len(wider.json()["items"]) == 2
    assert [reply.status_code for reply in (other_filter, stolen, *broken)] == [422] * 5
