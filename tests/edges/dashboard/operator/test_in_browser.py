"""The operator's pages in a real browser: on a phone and a wide screen, by day and by night, without JavaScript too."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from playwright.async_api import Browser

from gateway.config_files.contract_file import ContractShape, contract
from gateway.config_files.judge import judge
from gateway.config_files.yaml_source import read_yaml
from gateway.edges.dashboard.operator.app import admin_dashboard
from gateway.edges.dashboard.operator.contract import EXAMPLE
from gateway.edges.http_server.config import server_config
from gateway.edges.serving import Server
from gateway.ledger.connection import RedisConnection
from tests.edges.dashboard.browser import LISTEN, Tab, new_tab
from tests.edges.dashboard.conftest import ADMIN_TOKEN, open_running
from tests.edges.dashboard.operator.conftest import operator_parts_over
from tests.edges.dashboard.test_in_browser import faultless

PATHS = (
    "/admin",
    "/admin/find?q=nobody",
    "/admin/accounts",
    "/admin/accounts/new",
    "/admin/accounts/{pro}",
    "/admin/accounts/{pro}/plan?plan=starter&when=now",
    "/admin/accounts/{pro}/raise",
    "/admin/accounts/{pro}/close",
    "/admin/accounts/{big}/contract",
    "/admin/accounts/{big}/contract/agree",
    "/admin/accounts/{pro}/audit",
    "/admin/accounts/{pro}/as-owner",
    "/admin/invoices",
    "/admin/invoices/{invoice}",
    "/admin/audit",
    "/admin/calls/{call}",
    "/admin/no-such-page",
)


@dataclass
class Operations:
    """The pages on loopback; `names` fill what PATHS leave open."""

    base: str
    browser: Browser
    names: dict[str, str]


@pytest.fixture(scope="module")
async def operations(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, valkey_socket: Path, chromium: Browser
) -> AsyncIterator[Operations]:
    with redis.Redis(unix_socket_path=str(valkey_socket)) as client:
        client.flushall()
    books = shutil.copy(sqlite_template, tmp_path_factory.mktemp("operations") / "books.db")
    async with open_running(f"sqlite+aiosqlite:///{books}", f"unix://{valkey_socket}") as running:
        pro, big = await running.someone("pro", "Cobalt Claims", days_ago=40), await running.someone("starter", "Delta")
        (call, *_) = await running.used_often(pro, [900, 12_000, 8_000])
        store = RedisConnection(f"unix://{valkey_socket}", attempt_timeout_ms=5000, call_timeout_ms=5000)
        await store.open()
        parts = operator_parts_over(running, store, ["config/plans.yaml:3: free.name: is no text"])
        file = judge(ContractShape, read_yaml("contract.yaml", EXAMPLE.encode(), {}))
        assert file is not None
        await running.desk.contracts.agree(big.id, contract(file), reason="MSA-1")
        await parts.issue_due(pro.id)
        parts.runs.start("test")
        await parts.runs.turn()
        (invoice,), _ = await running.desk.invoices.page(None, size=1)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = Server(server_config(admin_dashboard(parts), "127.0.0.1", port))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        names = {"pro": pro.id, "big": big.id, "call": call.facts.request_id, "invoice": invoice.id}
        yield Operations(f"http://127.0.0.1:{port}", chromium, names)
        server.should_exit = True
        await serving
        await store.close()


@pytest.fixture(scope="module")
async def tab(operations: Operations) -> AsyncIterator[Tab]:
    """A window, signed in once."""
    async with await operations.browser.new_context(reduced_motion="reduce") as context:
        await context.add_init_script(LISTEN)
        yield await _signed_in(await new_tab(context, operations.base))


async def _signed_in(tab: Tab) -> Tab:
    await tab.open("/admin")
    await tab.page.get_by_label("Admin token").fill(ADMIN_TOKEN)
    await tab.page.get_by_role("button", name="Sign in").click()
    await tab.page.wait_for_url("**/admin")
    return tab


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_is_accessible_and_fits_and_breaks_no_policy(operations: Operations, tab: Tab, path: str) -> None:
    tab.complaints.clear()
    await tab.open(path.format(**operations.names))
    # A browser notes an answer of 404 as an error.
    tab.complaints[:] = [said for said in tab.complaints if "404" not in said]
    await faultless(tab)


async def test_an_operator_needs_no_javascript(operations: Operations) -> None:
    async with await operations.browser.new_context(java_script_enabled=False) as context:
        tab = await _signed_in(await new_tab(context, operations.base))
        page = tab.page
        await page.get_by_label("Find by id, number or name").fill(operations.names["pro"])
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name="Adjust credits").click()
        await page.get_by_label("Credits", exact=True).fill("2,500")
        await page.get_by_label("Reason").fill("an outage")
        await page.get_by_role("button", name="Book it").click()
        await page.get_by_text("Booked 2,500 credits.").wait_for()
        await page.get_by_role("link", name="Change the plan").click()
        await page.get_by_label("Plan", exact=True).select_option("starter")
        await page.get_by_role("button", name="Show what it means").click()
        await page.get_by_label("Reason").fill("asked by phone")
        await page.get_by_role("button", name="Change to Starter").click()
        await page.get_by_text("The change to Starter waits for").wait_for()
        await page.get_by_role("link", name="Open as its owner sees it").click()
        await page.get_by_text("You see this account as its owner does").wait_for()
        await page.get_by_role("link", name="Back to operations").click()
        await page.get_by_role("link", name="Overview").click()
        await page.get_by_role("button", name="Compare now").click()
        await page.get_by_text("Books and Redis are being compared.").wait_for()
