"""What a call would cost, told without making it."""

from decimal import Decimal
from typing import Any

import orjson
import pytest

from tests.edges.api.conftest import Running

PARSE = {"method": "POST", "path": "/api/v2/parse", "body": {"tier": "agentic", "file_id": "dfl-1"}}


async def quoted(running: Running, secret: str, asked: object, status: int = 200) -> dict[str, Any]:
    async with running.caller(secret) as caller:
        reply = await caller.post("/api/v1/quote", content=orjson.dumps(asked))
    assert reply.status_code == status, reply.text
    document: dict[str, Any] = reply.json(parse_float=Decimal)
    return document


async def test_a_call_is_quoted_in_all_its_parts_and_nothing_is_held(running: Running) -> None:
    opened, secret = await running.open_account("free")
    extract = {"file_input": "dfl-1", "configuration": {"tier": "agentic", "parse_tier": "fast"}}
    asked = {"method": "POST", "path": "/api/v2/extract", "body": extract}
    assert await quoted(running, secret, asked) == {
        "route": "POST /api/v2/extract",
        "free": False,
        "product": "extract",
        "mode": "agentic",
        "unit": "page",
        "expected_units": 10,
        "at_least_units": 1,
        "exact": False,
        "parts": [
            {"product": "extract", "mode": "agentic", "credits_per_unit": 15},
            {"product": "parse", "mode": "fast", "credits_per_unit": 1},
        ],
        "credits_per_unit": 16,
        "expected_credits": 160,
        "at_least_credits": 16,
        "rate_card_version": "2026-11-01",
        "available_credits": 10_000,
        "would": "admit",
    }
    counters = await running.ledger.counters(opened.id)
    assert counters.open_holds == ()


@pytest.mark.parametrize("configuration", [{"tier": "fast"}, '{"tier": "fast"}'])
async def test_a_form_is_quoted_by_its_fields(running: Running, configuration: object) -> None:
    _, secret = await running.open_account()
    asked = {"method": "POST", "path": "/api/v2/parse/upload", "form": {"configuration": configuration}}
    assert (await quoted(running, secret, asked))["expected_credits"] == 10


async def test_a_configuration_that_nobody_tells_is_quoted_at_the_dearest(running: Running) -> None:
    _, secret = await running.open_account()
    document = await quoted(running, secret, {**PARSE, "body": {"configuration_id": "cfg-1"}})
    assert (document["mode"], document["expected_credits"], document["at_least_credits"]) == ("agentic_plus", 450, 1)


async def test_a_free_call_says_so(running: Running) -> None:
    _, secret = await running.open_account()
    document = await quoted(running, secret, {"method": "GET", "path": "/api/v2/parse?page_size=2"})
    assert (document["free"], document["product"], document["expected_credits"]) == (True, None, 0)
    assert document["would"] == "admit"


async def test_a_call_that_would_be_refused_is_told_which_way(running: Running) -> None:
    opened, secret = await running.open_account("free")
    await running.accounts.adjust(opened.id, -9_995_000, reason="for a test")
    document = await quoted(running, secret, PARSE)
    assert (document["available_credits"], document["would"]) == (5, "credits_exhausted")
    narrow = await running.keys.create(opened.id, products=frozenset({"split"}))
    assert (await quoted(running, narrow.secret, PARSE))["would"] == "key_not_allowed"


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"method": "POST", "path": "/nowhere"}, 404, "no_such_route"),
        ({"method": "POST", "path": "/api/../v2/parse"}, 400, "bad_path"),
        ({**PARSE, "query": {"project_id": "prj_other"}}, 404, "no_such_project"),
        ({**PARSE, "body": {"tier": "golden"}}, 422, "unknown_mode"),
        ({**PARSE, "body": {"tier": 7}}, 422, "unreadable_mode"),
        ({**PARSE, "body": None}, 422, "unreadable_mode"),
        ({**PARSE, "unheard": 1}, 422, "unreadable_mode"),
        ({"path": "/api/v2/parse"}, 422, "unreadable_mode"),
        ([], 422, "unreadable_mode"),
    ],
)
async def test_what_cannot_be_quoted_is_a_problem(running: Running, asked: object, status: int, code: str) -> None:
    _, secret = await running.open_account()
    document = await quoted(running, secret, asked, status)
    assert document["code"] == code
    if status == 422:
        assert set(document["detail"][0]) == {"loc", "msg", "type"}


async def test_a_quote_needs_a_key(running: Running) -> None:
    assert (await quoted(running, "", PARSE, 401))["code"] == "invalid_api_key"
