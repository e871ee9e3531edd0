"""What a saved configuration hides is asked of the service before the call is priced, once, and as its owner."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import pytest

from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account
from tests.journeys.stand_ins import StandIns

SAVED: Final = "/api/v1/beta/configurations"
SOURCE: Final = {"source_url": "https://example.com/a.pdf"}


@pytest.fixture
def account(town: Town) -> Account:
    return town.place.account("pro")


@pytest.fixture
def caller(town: Town, account: Account) -> Iterator[httpx.Client]:
    with town.first.caller(account) as caller:
        yield caller


def save(caller: httpx.Client, **parameters: Any) -> str:
    document = {"name": "mine", "parameters": {"product_type": "parse_v2", **parameters}}
    reply = caller.post(SAVED, json=document)
    assert reply.is_success, reply.text
    name: str = reply.json()["id"]
    return name


def held(caller: httpx.Client, name: str) -> str:
    reply = caller.post("/api/v2/parse", json={**SOURCE, "configuration_id": name})
    return reply.headers["x-credits-held"] if reply.is_success else str(reply.status_code)


def asked(stand_ins: StandIns, account: Account) -> int:
    return sum(one.method == "GET" and one.path.startswith(SAVED) for one in stand_ins.arrived(account.id))


def test_a_call_holds_what_its_saved_tier_costs(caller: httpx.Client, account: Account, stand_ins: StandIns) -> None:
    name = save(caller, tier="cost_effective", version="latest")
    assert [held(caller, name) for _ in range(3)] == ["30"] * 3
    assert asked(stand_ins, account) == 1
    form = {"configuration": f'{{"configuration_id": "{name}"}}'}
    reply = caller.post("/api/v2/parse/upload", data=form, files={"file": ("a.txt", b"text")})
    assert reply.headers["x-credits-held"] == "30"
    assert asked(stand_ins, account) == 1
    seen = next(one for one in stand_ins.arrived(account.id) if one.method == "GET" and one.path == f"{SAVED}/{name}")
    assert seen.headers["x-project-id"] == account.project_id
    assert account.key not in str(seen.headers)


def test_a_little_left_is_enough_for_a_cheap_saved_tier(town: Town) -> None:
    account = town.place.account("free", credits_=3)
    with town.first.caller(account) as caller:
        assert held(caller, save(caller, tier="agentic", version="latest")) == "402"
        assert held(caller, save(caller, tier="cost_effective", version="latest")) == "3"


def test_a_saved_extraction_holds_both_of_its_tiers(caller: httpx.Client) -> None:
    schema = {"data_schema": {"type": "object"}}
    name = save(caller, product_type="extract_v2", tier="agentic", parse_tier="cost_effective", **schema)
    pdf = {"file": ("a.txt", b"text")}
    file_id = caller.post("/api/v1/beta/files", files=pdf, data={"purpose": "parse"}).json()["id"]
    reply = caller.post("/api/v2/extract", json={"file_input": file_id, "configuration_id": name})
    assert reply.headers["x-credits-held"] == "180"


def test_an_agent_tells_its_mode(caller: httpx.Client) -> None:
    agents, config = "/api/v1/extraction/extraction-agents", {"extraction_mode": "BALANCED"}
    agent = {"name": "bills", "data_schema": {"type": "object"}, "config": config}
    name = caller.post(agents, json=agent).json()["id"]
    reply = caller.post(
        "/api/v1/extraction/jobs/file", data={"extraction_agent_id": name}, files={"file": ("a.txt", b"text")}
    )
    assert reply.headers["x-credits-held"] == "100"


def test_what_is_changed_through_the_gateway_holds_from_the_next_call_on(caller: httpx.Client) -> None:
    name = save(caller, tier="fast", version="latest")
    assert held(caller, name) == "10"
    change = {"parameters": {"product_type": "parse_v2", "tier": "agentic", "version": "latest"}}
    assert caller.put(f"{SAVED}/{name}", json=change).is_success
    assert held(caller, name) == "100"
    assert caller.delete(f"{SAVED}/{name}").is_success
    assert held(caller, name) == "404"


def test_many_calls_at_once_ask_once(caller: httpx.Client, account: Account, stand_ins: StandIns) -> None:
    name = save(caller, tier="fast", version="latest")
    with ThreadPoolExecutor(8) as callers:
        assert set(callers.map(lambda _: held(caller, name), range(16))) == {"10"}
    assert asked(stand_ins, account) == 1


def test_of_a_strangers_configuration_nothing_is_learned(town: Town, caller: httpx.Client) -> None:
    name = save(caller, tier="fast", version="latest")
    assert held(caller, name) == "10"
    poor = town.place.account("purse")
    with town.first.caller(poor) as stranger:
        quoted = stranger.post("/api/v2/parse", json={**SOURCE, "configuration_id": name})
        assert quoted.status_code == 404
    assert town.place.settled(poor).credits["used"] == 0


def test_a_call_that_names_its_tier_asks_nothing(caller: httpx.Client, account: Account, stand_ins: StandIns) -> None:
    reply = caller.post("/api/v2/parse", json={**SOURCE, "tier": "agentic", "version": "latest"})
    assert reply.headers["x-credits-held"] == "100"
    assert asked(stand_ins, account) == 0


def test_a_quote_is_what_the_call_then_holds(caller: httpx.Client, account: Account, stand_ins: StandIns) -> None:
    name = save(caller, tier="cost_effective", version="latest")
    body = {**SOURCE, "configuration_id": name}
    quote = caller.post("/api/v1/quote", json={"method": "POST", "path": "/api/v2/parse", "body": body}).json()
    assert (quote["mode"], quote["expected_credits"], quote["would"]) == ("cost_effective", 30, "admit")
    assert [one.path for one in stand_ins.arrived(account.id)] == [SAVED, f"{SAVED}/{name}"]
    reply = caller.post("/api/v2/parse", json=body)
    assert reply.headers["x-credits-held"] == str(quote["expected_credits"])
    assert asked(stand_ins, account) == 1
