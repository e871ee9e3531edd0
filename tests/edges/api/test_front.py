"""Which door a call takes."""

import pytest

from gateway.edges.api.front import Front
from gateway.edges.proxy.asgi import Message, Scope
from tests.edges.api.conftest import Running

OWN = [
    "/",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/problems/rate_limited",
    "/api/v1/projects/prj_1/usage",
    "/api/v1/organizations/acc_1/usage",
    "/api/v1/usage/events/req_1",
    "/api/v1/usage/series",
    "/api/v1/quote",
    "/api/v1/billing/plans",
    "/api/v1/billing/invoices/inv_1.pdf",
    "/api/v1/keys",
    "/api/v1/keys/key_1/rotate",
    "/api/v1/beta/usage-metrics",
    "/webhooks/upstream/parse",
    "/settings",
    "/settings/billing",
]
PROXIED = [
    "",
    "/healthz/",
    "/problems",
    "/problems/",
    "/problems/rate_limited/more",
    "/healthzz",
    "/api/v1/projects",
    "/api/v1/projects/prj_1",
    "/api/v1/projects/prj_1/usage/",
    "/api/v1/projects/prj_1/other/usage",
    "/api/v1/projects//usage",
    "/api/v1/usage/events/",
    "/api/v1/usage/events/req_1/more",
    "/api/v1/usage",
    "/api/v1/quote/",
    "/api/v1/quotes",
    "/api/v1/billing",
    "/api/v1/billings/plans",
    "/api/v1/keysets",
    "/api/v1/beta/usage-metrics/",
    "/x/api/v1/projects/prj_1/usage",
    "/api/v2/parse/upload",
    "/webhooks/upstream",
    "/webhooks/upstream/",
    "/webhooks/upstream/parse/more",
    "/settingsx",
    "/metrics",
    "/api/v1/organizations/acc_1/usage\n",
]


@pytest.mark.parametrize("path", [*OWN, *PROXIED])
async def test_own_paths_go_to_our_own_pages_and_all_others_to_the_proxy(path: str) -> None:
    went: list[str] = []

    async def door(name: str) -> None:
        went.append(name)

    front = Front(own=lambda *_: door("own"), proxy=lambda *_: door("proxy"))
    scope: Scope = {"type": "http", "path": path}
    await front(scope, receive, send)
    assert went == ["own" if path in OWN else "proxy"]


async def receive() -> Message:
    raise AssertionError


async def send(message: Message) -> None:
    raise AssertionError


async def test_metrics_are_not_to_be_had_from_the_public_listener(running: Running) -> None:
    async with running.caller() as caller:
        assert (await caller.get("/metrics")).status_code == 299
        assert (await caller.get("/metrics")).headers["x-path"] == "/metrics"
