"""Keys, plans and credits changed from the command line beside two running gateways: both go by it at once."""

import re
import time
from typing import Any, Final

import httpx
import pytest

from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account, Gateway, eventually

RETRIEVE: Final = "/api/v1/retrieval/retrieve"
QUERY: Final = {"index_id": "idx-demo", "query": "Where?"}
WITHIN_S: Final = 1.0


def retrieve(gateway: Gateway, key: str) -> httpx.Response:
    return httpx.post(f"{gateway.url}{RETRIEVE}", json=QUERY, headers={"Authorization": f"Bearer {key}"})


def statuses(town: Town, key: str) -> list[int]:
    """What the key gets from either gateway, for a call that costs and for one that does not."""
    headers = {"Authorization": f"Bearer {key}"}
    free = [httpx.get(f"{one.url}/api/v2/parse", headers=headers).status_code for one in (town.first, town.second)]
    return [*free, *(retrieve(one, key).status_code for one in (town.first, town.second))]


@pytest.fixture
def account(town: Town) -> Account:
    return town.place.account("pro")


def test_an_account_made_by_commands_is_served_by_every_gateway_at_once(town: Town) -> None:
    opened = town.place.cli("account", "create", "--name", "Ada", "--plan", "free")
    key = town.place.cli("key", "create", "--account", opened["id"])
    assert (key["account_id"], key["project_id"]) == (opened["id"], opened["project_id"])
    assert statuses(town, key["secret"]) == [200] * 4
    assert town.place.cli("usage", opened["id"])["credits"]["used"] == 2
    shown = town.place.cli("account", "show", opened["id"])
    assert (shown["plan"], shown["credits"]["remaining"]) == ("free", 9_998)


def test_a_revoked_key_is_refused_by_every_gateway_within_a_second(town: Town, account: Account) -> None:
    other = town.place.key(account)
    assert statuses(town, account.key) == statuses(town, other["secret"]) == [200] * 4
    revoked = town.place.cli("key", "revoke", account.key_id)
    assert revoked["status"] == "revoked"
    revoked_s = asked_s = time.monotonic()
    while statuses(town, account.key) != [401] * 4:
        assert asked_s - revoked_s < WITHIN_S, "a call made so long afterwards got in"
        asked_s = time.monotonic()
    assert statuses(town, other["secret"]) == [200] * 4


def test_a_rotated_key_goes_on_as_long_as_it_was_given(town: Town, account: Account) -> None:
    assert statuses(town, account.key) == [200] * 4
    new = town.place.cli("key", "rotate", account.key_id, "--overlap", "1s")
    assert statuses(town, new["secret"]) == [200] * 4
    assert new["project_id"] == account.project_id
    eventually(lambda: statuses(town, account.key) == [401] * 4)
    assert statuses(town, new["secret"]) == [200] * 4
    listed = {one["id"]: one for one in town.place.cli("key", "list", "--account", account.id)["keys"]}
    assert listed[account.key_id]["replaced_by"] == new["id"]
    assert listed[new["id"]]["status"] == "active"


def test_a_dearer_plan_holds_from_the_next_call_on(town: Town) -> None:
    account = town.place.account("free", credits_=0)
    assert [retrieve(one, account.key).status_code for one in (town.first, town.second)] == [402, 402]
    changed = town.place.cli("account", "plan", account.id, "pro", "--at", "now")
    assert (changed["previous_plan"], changed["plan"], changed["takes_effect"]) == ("free", "pro", "now")
    for gateway in (town.first, town.second):
        reply = retrieve(gateway, account.key)
        assert reply.status_code == 200, reply.text
        assert '"requests";q=3000;w=60' in reply.headers["ratelimit-policy"]
    assert town.place.settled(account).credits["used"] == 2


def test_a_cheaper_plan_waits_for_the_end_of_the_period_and_can_be_taken_back(town: Town, account: Account) -> None:
    changed = town.place.cli("account", "plan", account.id, "free")
    assert changed["takes_effect"] == "period_end"
    assert town.place.cli("account", "show", account.id)["pending_plan"] == "free"
    assert '"requests";q=3000;w=60' in retrieve(town.second, account.key).headers["ratelimit-policy"]
    town.place.cli("account", "plan", account.id, "pro")
    assert town.place.cli("account", "show", account.id)["pending_plan"] is None


def test_credits_that_are_given_or_taken_back_count_from_the_next_call_on(town: Town) -> None:
    account = town.place.account("purse", credits_=0)
    assert retrieve(town.first, account.key).status_code == 402
    town.place.cli("account", "adjust", account.id, "--credits", "+2", "--reason", "sorry")
    assert [retrieve(one, account.key).status_code for one in (town.first, town.second, town.first)] == [200, 200, 402]
    town.place.cli("account", "adjust", account.id, "--credits", "+1", "--reason", "sorry again")
    town.place.cli("account", "adjust", account.id, "--credits", "-1", "--reason", "not so sorry")
    assert retrieve(town.second, account.key).status_code == 402


def test_a_secret_is_kept_and_told_nowhere_after_it_was_shown(town: Town) -> None:
    account = town.place.account("free")
    for gateway in (town.first, town.second):
        assert retrieve(gateway, account.key).is_success
        assert retrieve(gateway, account.key[:-1]).status_code == 401
        wrong: Any = {"tier": account.key, "source_url": "https://x.org/a"}
        httpx.post(f"{gateway.url}/api/v2/parse", json=wrong, headers=account.bearer)
        httpx.get(f"{gateway.url}/nowhere/{account.key}", headers=account.bearer)
    logged = re.compile(rf'"request_id": ?"req_[^\n]*{account.id}')
    eventually(lambda: all(logged.search(one.process.complained) for one in (town.first, town.second)))
    secret = account.key.removeprefix("cgw_live_")[:-7]
    for gateway in (town.first, town.second):
        assert secret not in gateway.process.complained + gateway.process.printed
        assert secret not in httpx.get(f"{gateway.admin_url}/metrics").text
    for file in town.place.data.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file.name
