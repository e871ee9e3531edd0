"""What is asked wrongly is refused, with what was meant, and not answered as something else; no amount is rounded."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.edges.api import series
from gateway.edges.api.account import account_endpoints
from gateway.edges.api.admin import admin_endpoints
from gateway.edges.api.endpoint import Endpoint
from tests.edges.api.conftest import Running

TOO_FINE = "1.0000000000000000000000000000000000001"
# What LlamaCloud's clients ask, with whatever they send along.
LLAMACLOUDS = {
    "/api/v1/projects/{project_id}/usage",
    "/api/v1/organizations/{organization_id}/usage",
    "/api/v1/beta/usage-metrics",
}


def reads(endpoints: list[Endpoint]) -> list[str]:
    return [one.path for one in endpoints if one.method == "GET" and one.path not in LLAMACLOUDS]


async def refused(client: httpx.AsyncClient, path: str, name: str) -> None:
    reply = await client.get(path, params={name: "1"})
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_query"), path
    (found,) = reply.json()["detail"]
    assert found["loc"] == ["query", name]


async def test_a_parameter_that_nobody_knows_is_named_on_every_route(running: Running) -> None:
    _, secret = await running.open_account()
    async with running.caller(secret) as caller, running.operator() as operator:
        for path in reads(account_endpoints(running.parts)):
            await refused(caller, path, "pagesize")
        for path in reads(admin_endpoints(running.admin_parts)):
            await refused(operator, path, "pagesize")
        reply = await caller.get("/api/v1/usage/events", params={"form": "2026-11-01"})
        assert "did you mean 'from'?" in reply.json()["detail"][0]["msg"]


async def test_the_vendors_clients_may_send_along_what_they_like(running: Running) -> None:
    opened, secret = await running.open_account()
    async with running.caller(secret) as caller:
        for path in LLAMACLOUDS:
            at = path.format(project_id=opened.project_id, organization_id=opened.id)
            reply = await caller.get(at, params={"organization_id": opened.id, "made_up": "1"})
            assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("credits_", [TOO_FINE, "0.0001", "12.34567", "1e-400", "1e-7"])
async def test_credits_finer_than_a_thousandth_are_refused_and_not_rounded(running: Running, credits_: str) -> None:
    opened, secret = await running.open_account()
    path = f"/billing/limits/budgets/{opened.project_id}"
    headers = {"content-type": "application/json"}
    async with running.caller(secret) as caller, running.operator() as operator:
        replies = [
            await caller.put(f"/api/v1{path}", content=f'{{"credits": {credits_}}}', headers=headers),
            await operator.post(
                f"/admin/v1/accounts/{opened.id}/adjust",
                content=f'{{"credits": {credits_}, "reason": "a test"}}',
                headers=headers,
            ),
        ]
        shown = (await caller.get("/api/v1/billing/limits")).json()
    for reply in replies:
        assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, ["body", "credits"]), reply.text
    assert shown["budgets"] == []


@pytest.mark.parametrize("accept", ["text/csv", "application/json"])
async def test_drawing_up_a_long_series_holds_up_no_calls(
    running: Running, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    drawn_in = []

    def noting(draw: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any) -> Any:
            drawn_in.append(threading.current_thread())
            return draw(*args)

        return noted

    monkeypatch.setattr(series, "_csv", noting(series._csv))
    monkeypatch.setattr(series, "_document", noting(series._document))
    _, secret = await running.open_account()
    async with running.caller(secret) as caller:
        reply = await caller.get("/api/v1/usage/series", headers={"accept": accept})
    assert reply.status_code == 200
    assert len(drawn_in) == 1
    assert threading.main_thread() not in drawn_in
