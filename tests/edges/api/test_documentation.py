"""The examples of docs/billing-api.md are asked of the API as they stand there."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from gateway.edges.api.account import account_endpoints
from gateway.edges.api.admin import admin_endpoints
from gateway.edges.api.endpoint import Endpoint
from tests.edges.api.conftest import ADMIN_TOKEN, Running
from tests.made_up import PLANS

PAGE = Path(__file__).parents[3] / "docs" / "billing-api.md"
# Told in docs/usage-api.md.
ELSEWHERE = ("/api/v1/organizations/", "/api/v1/projects/", "/api/v1/usage/", "/api/v1/beta/", "/api/v1/quote")
# What may rightly be refused to the account of this test, and why.
MAY_FAIL = {
    "/payment-methods/$METHOD": 404,  # there is none to be had without a payment provider
    "/pay-now": 409,
    "/contract": 409,  # the plans of the tests have none by contract
    "/void": 409,  # paid just before
    "limits/raise": 409,  # by then the account is on the free plan
}


@dataclass
class Example:
    method: str
    url: str
    headers: dict[str, str]
    body: str | None


def examples() -> Iterator[Example]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if not line.startswith("curl "):
            continue
        words, headers, method, body, url = iter(shlex.split(line)[1:]), {}, "", None, ""
        for word in words:
            match word:
                case "-s":
                    continue
                case "-o":
                    next(words)
                case "-X":
                    method = next(words)
                case "-d":
                    body = next(words)
                case "-H":
                    name, _, value = next(words).partition(": ")
                    headers[name] = value
                case _:
                    url = word
        yield Example(method or ("GET" if body is None else "POST"), url, headers, body)


def pattern(endpoint: Endpoint) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", r"[^/?]+", endpoint.path) + r"(\?.*)?")


def shown(endpoint: Endpoint, found: list[Example]) -> bool:
    path = pattern(endpoint)
    return any(
        example.method == endpoint.method and path.fullmatch(re.sub(r"^\$(GATEWAY|ADMIN)", "", example.url))
        for example in found
    )


async def test_every_endpoint_of_an_account_has_an_example_and_every_example_an_endpoint(running: Running) -> None:
    found = list(examples())
    account = [one for one in account_endpoints(running.parts) if not one.path.startswith(ELSEWHERE)]
    admin = admin_endpoints(running.admin_parts)
    of_account = {one.path.removeprefix("/api/v1/billing").removeprefix("/api/v1") for one in account}
    own = [one for one in admin if one.path.removeprefix("/admin/v1/accounts/{account_id}") not in of_account]
    files = (".pdf", ".csv", ".json")
    without = [
        f"{one.method} {one.path}"
        for one in [*account, *own]
        if not shown(one, found) and not (one in own and one.path.endswith(files))
    ]
    assert without == []
    paths = [(one.method, pattern(one)) for one in [*account, *admin]]
    for example in found:
        path = re.sub(r"^\$(GATEWAY|ADMIN)", "", example.url)
        assert any(method == example.method and each.fullmatch(path) for method, each in paths), example


async def ask(client: httpx.AsyncClient, example: Example, names: dict[str, str]) -> httpx.Response:
    def filled(text: str) -> str:
        return re.sub(r"\$([A-Z_]+)", lambda found: names.get(found[1], found[0]), text)

    headers = {name: filled(value) for name, value in example.headers.items()}
    url = re.sub(r"^\$(GATEWAY|ADMIN)", "", example.url)
    return await client.request(
        example.method, filled(url), headers=headers, content=example.body and filled(example.body)
    )


@pytest.mark.parametrize("door", ["account", "admin"])
async def test_the_examples_work_as_they_stand(running: Running, door: str) -> None:
    opened, secret = await running.open_account("starter")
    desk = running.parts.desk
    hook = (await desk.webhooks.create(opened.id, "https://example.com/hooks")).endpoint.id
    names = {
        "KEY": secret,
        "TOKEN": ADMIN_TOKEN,
        "ACCOUNT": opened.id,
        "SANDBOX": (await desk.accounts.create("Renewals", "starter", sandbox=True)).id,
        "PROJECT": opened.project_id,
        "INVOICE": (await desk.invoices.of_account(opened.id))[-1].id,
        "HOOK": hook,
        "DELIVERY": (await desk.webhooks.send_test(hook)).id,
        "OTHER_KEY": (await running.keys.create(opened.id)).id,
        "UNTIL": (running.clock() + timedelta(days=30)).isoformat(),
    }
    assert set(PLANS) == {"free", "starter", "pro"}
    async with running.caller() as caller, running.operator("") as operator:
        client, mine = (caller, "$GATEWAY") if door == "account" else (operator, "$ADMIN")
        asked = [example for example in examples() if example.url.startswith(mine)]
        # Closing ends everything else, so it comes last.
        for example in sorted(asked, key=lambda one: one.url.endswith("/close")):
            answer = await ask(client, example, names)
            allowed = {status for part, status in MAY_FAIL.items() if part in example.url}
            assert answer.is_success or answer.status_code in allowed, (example, answer.text)
    assert len(asked) > 15
