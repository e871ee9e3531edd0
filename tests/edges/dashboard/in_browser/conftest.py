"""The pages in a real Chromium: one browser, one gateway behind it, and two windows, with scripts and without.

What a test's browser asks is noted: see `driven`. A test that leaves a complaint of the browser's behind has failed.
"""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from gateway.config_files.contract_file import ContractShape, contract
from gateway.config_files.judge import judge
from gateway.config_files.yaml_source import read_yaml
from gateway.domain.instant import epoch_ms
from gateway.edges.api.fake_bank import fake_bank_routes
from gateway.edges.dashboard.guard import Guarded
from gateway.edges.dashboard.operator.app import admin_dashboard
from gateway.edges.dashboard.operator.contract import EXAMPLE
from gateway.edges.dashboard.operator.parts import OperatorParts
from gateway.edges.http_server.config import server_config
from gateway.edges.process import Server
from gateway.ledger.connection import RedisConnection
from tests.conftest import running_valkey
from tests.edges.dashboard.conftest import ADMIN_TOKEN, Running, Someone, open_running
from tests.edges.dashboard.in_browser.driven import Noting, addresses, driven_by
from tests.edges.dashboard.in_browser.tab import PHONE, WIDE, NoBrowser, Tab, opened_tab, running_browser
from tests.edges.dashboard.operator.conftest import operator_parts_over
from tests.made_up import CREDIT

__all__ = ["PHONE", "WIDE"]


@dataclass
class Stores:
    """Of all these tests, and of no others; `asked` is what browsers asked the `apps` over them."""

    books_url: str
    redis_url: str
    clocks: list[Running] = field(default_factory=list)
    apps: list[Guarded] = field(default_factory=list)
    asked: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class Served:
    """One door's pages on loopback. `ids` fill what is open in addresses, as in "/keys/{key}"."""

    running: Running
    app: Guarded
    base: str
    people: dict[str, Someone] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    async def enter(self, tab: Tab, who: Someone | str | None) -> Tab:
        """Whoever sits at this window is signed in as this person now, and comes from nowhere. None: as nobody."""
        one = self.people[who] if isinstance(who, str) else who
        found = None if one is None else await self.running.parts.sign_ins.with_key(one.key)
        return await self._sits(tab, "session", "" if found is None else found.secret or "")

    async def operate(self, tab: Tab) -> Tab:
        """The same with the admin token."""
        found = await self.running.parts.sign_ins.with_admin_token(ADMIN_TOKEN)
        assert found is not None
        return await self._sits(tab, "admin-session", found.secret or "")

    async def _sits(self, tab: Tab, cookie: str, secret: str) -> Tab:
        tab.base = self.base
        await tab.page.context.clear_cookies()
        if secret:
            await tab.page.context.add_cookies([{"name": cookie, "value": secret, "url": self.base}])
        return tab


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One browser for all tests; a machine without one is told what to install, and the test fails."""
    try:
        async with running_browser() as browser:
            yield browser
    except NoBrowser as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
async def windows(chromium: Browser) -> AsyncIterator[dict[bool, Tab]]:
    """One with scripts, one without."""
    async with AsyncExitStack() as stack:
        copying: dict[str, Any] = {"permissions": ["clipboard-read", "clipboard-write"]}
        yield {
            scripted: await stack.enter_async_context(opened_tab(chromium, scripted=scripted, **copying))
            for scripted in (True, False)
        }


@pytest.fixture
async def scripted(windows: dict[bool, Tab]) -> AsyncIterator[Tab]:
    """The window with scripts."""
    async with _fresh(windows[True]) as tab:
        yield tab


@pytest.fixture(params=[True, False], ids=["scripted", "plain"])
async def tab(request: pytest.FixtureRequest, windows: dict[bool, Tab]) -> AsyncIterator[Tab]:
    """Either window, one after the other."""
    async with _fresh(windows[request.param]) as tab:
        yield tab


@asynccontextmanager
async def _fresh(tab: Tab) -> AsyncIterator[Tab]:
    tab.complaints.clear()
    await tab.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await tab.page.emulate_media(color_scheme="light")
    yield tab
    trouble = await tab.trouble()
    # A page that refreshes itself would go on asking a server whose loop stands still between tests.
    await tab.page.goto("about:blank")
    assert not trouble


@pytest.fixture(scope="session")
async def stores(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stores]:
    """Nobody else empties them between two tests."""
    books = shutil.copy(sqlite_template, tmp_path_factory.mktemp("in-browser") / "books.db")
    with running_valkey() as valkey:
        yield Stores(f"sqlite+aiosqlite:///{books}", f"unix://{valkey}")


@pytest.fixture(scope="session")
async def served(stores: Stores, chromium: Browser) -> AsyncIterator[Served]:
    """`pro` has used a lot, `new` nothing yet, `spent` everything, `member` only looks. Invoices are paid by hand."""
    del chromium
    async with open_running(stores.books_url, stores.redis_url) as running:
        people = {
            "pro": await running.someone("pro", "Cobalt Claims", days_ago=40),
            "new": await running.someone("free", "Ada's side project"),
            "spent": await running.someone("free", "Spent & Sons", days_ago=10),
            "member": await running.someone("starter", "Bright Invoices", products=frozenset({"parse"})),
        }
        (call, *_) = await running.used_often(
            people["pro"], [900, 12_000, 8_000, 0, 15_000, 9_000, 4_000, 11_000, 7_000]
        )
        await running.used_often(people["pro"], [60, 45], product="extract", mode="cost_effective")
        await running.used_often(people["spent"], [2_000] * 5)
        ids = {**await _things_of(running, people["pro"]), "call": call.facts.request_id}
        async with listening(stores, running.app) as base:
            stores.clocks.append(running)
            yield Served(running, running.app, base, people, ids)


@pytest.fixture(scope="session")
async def charging(stores: Stores, chromium: Browser) -> AsyncIterator[Served]:
    """The same pages where test cards are charged, beside the page of their bank."""
    del chromium
    with _listener() as listener:
        origin = _base(listener)
        async with open_running(stores.books_url, stores.redis_url, cards=True, origin=origin) as running:
            beside = fake_bank_routes(running.desk.payments)
            async with listening(stores, running.app, beside, listener=listener) as base:
                stores.clocks.append(running)
                yield Served(running, running.app, base)


@dataclass
class Operations(Served):
    """The operator's pages."""

    parts: OperatorParts | None = None


@pytest.fixture(scope="session")
async def operations(served: Served, stores: Stores) -> AsyncIterator[Operations]:
    """Over the accounts of `served`; `big` has a contract, `billed` an invoice of more than the plan's fee."""
    running, pro = served.running, served.people["pro"]
    billed = await running.someone("pro", "Ember Freight", days_ago=40)
    await running.used(billed, 420_000, days_ago=20)
    await running.used_often(billed, [900, 1_100], days_ago=18, product="extract", mode="cost_effective")
    store = RedisConnection(stores.redis_url, attempt_timeout_ms=5000, call_timeout_ms=5000)
    await store.open()
    parts = operator_parts_over(running, store, ["config/plans.yaml:3: free.name: is no text"])
    big = await running.someone("starter", "Delta")
    file = judge(ContractShape, read_yaml("contract.yaml", EXAMPLE.encode(), {}))
    assert file is not None
    await running.desk.contracts.agree(big.id, contract(file), reason="MSA-1")
    (invoice, *_) = [*await parts.issue_due(billed.id), *await parts.issue_due(pro.id)]
    parts.runs.start("test")
    await parts.runs.turn()
    ids = {
        **served.ids,
        "pro": pro.id,
        "pro_key": pro.key_id,
        "big": big.id,
        "invoice": invoice.id,
    }
    app = admin_dashboard(parts)
    async with listening(stores, app) as base:
        yield Operations(running, app, base, {**served.people, "big": big, "billed": billed}, ids, parts)
    await store.close()


@pytest.fixture(autouse=True)
async def _as_told(request: pytest.FixtureRequest, stores: Stores) -> AsyncIterator[None]:
    """A test drives what it says that it drives. It begins now, however long those before it took."""
    now = datetime.now(UTC)
    for running in stores.clocks:
        running.clock.now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    stores.asked.clear()
    yield
    missing = set(driven_by(request.function)) - addresses(stores.apps, stores.asked)
    assert not missing, f"said to be driven, and never asked and answered well: {sorted(missing)}"


def _listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def _base(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def listening(
    stores: Stores, app: Guarded, beside: Sequence[BaseRoute] = (), listener: socket.socket | None = None
) -> AsyncIterator[str]:
    """The pages on loopback, and where that is. `beside` are other routes there."""
    stores.apps.append(app)
    whole: ASGIApp = app if not beside else Starlette(routes=[*beside, Route("/{rest:path}", app)])
    opened = listener or _listener()
    server = Server(server_config(Noting(whole, stores.asked), "127.0.0.1", opened.getsockname()[1]))
    serving = asyncio.create_task(server.serve(sockets=[opened]))
    yield _base(opened)
    server.should_exit = True
    await serving


async def _things_of(running: Running, one: Someone) -> dict[str, str]:
    """Keys that go on, end and have ended, budgets, limits and webhooks with a log, for an account to look at."""
    desk = running.desk
    spare = await desk.keys.create(one.id, name="Nightly import", products=frozenset({"parse", "extract"}))
    await desk.keys.rotate(spare.id, overlap_ms=3_600_000)
    ended = await desk.keys.create(one.id, name="An old laptop")
    await desk.keys.revoke(ended.id)
    await desk.limits.set_budget(one.id, one.account.project_id, 900_000 * CREDIT)
    await desk.limits.set_budget(one.id, one.key_id, 100 * CREDIT)
    await desk.limits.change(one.id, lambda own: replace(own, max_cents=90_000, alert_cents=(2_550,)))
    until_ms = epoch_ms(running.clock() + timedelta(days=9))
    await desk.limits.raise_ceiling(one.id, until_ms=until_ms, reason="a big month", max_cents=900_000)
    chosen = ["alert.raised", "invoice.paid"]
    made = await desk.webhooks.create(one.id, "https://hooks.example/billing?of=us", event_types=chosen)
    await running.deliver_webhooks(200)
    await desk.webhooks.send_test(made.endpoint.id)
    await running.deliver_webhooks(200, b"thanks")
    delivery = await desk.webhooks.send_test(made.endpoint.id)
    await running.deliver_webhooks(503, b"<h1>busy</h1>")
    off = await desk.webhooks.create(one.id, "https://hooks.example/" + "long/" * 40, description="Off for now")
    await desk.webhooks.disable(off.endpoint.id)
    names = {"key": one.key_id, "webhook": made.endpoint.id, "delivery": delivery.id, "off": off.endpoint.id}
    return names | {"project": one.account.project_id}
