"""Changes made by hand in a real browser: with cards to charge, with and without JavaScript, and secrets seen once."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
from playwright.async_api import Browser

from tests.edges.dashboard.browser import Tab
from tests.edges.dashboard.conftest import BILLING, Served, listening, open_running


@pytest.fixture(scope="module")
async def charging(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, valkey_socket: Path, chromium: Browser
) -> AsyncIterator[Served]:
    """`one` has a key and nothing else; test cards are charged."""
    with redis.Redis(unix_socket_path=str(valkey_socket)) as client:
        client.flushall()
    books = shutil.copy(sqlite_template, tmp_path_factory.mktemp("charging") / "books.db")
    async with open_running(f"sqlite+aiosqlite:///{books}", f"unix://{valkey_socket}", cards=True) as running:
        people = {"one": await running.someone("free", "Ada & Sons"), "plain": await running.someone("free", "Plain")}
        async with listening(running) as base:
            yield Served(running, base, chromium, people)


async def press(tab: Tab, name: str) -> None:
    await tab.page.get_by_role("button", name=name, exact=True).click()


async def faultless(tab: Tab) -> None:
    assert not await tab.inaccessible()
    await tab.page.set_viewport_size({"width": 375, "height": 800})
    assert not await tab.scrolls_sideways()
    await tab.page.set_viewport_size({"width": 1440, "height": 900})
    assert not await tab.trouble()


async def test_a_card_is_added_and_removed_without_javascript(charging: Served) -> None:
    async with charging.tab("plain", java_script_enabled=False) as tab:
        await tab.open(f"{BILLING}/invoices")
        await tab.page.get_by_role("link", name="Payment methods").click()
        for card in ("A card that pays", "A card without funds"):
            await tab.page.get_by_role("link", name="Add a payment method").first.click()
            await tab.page.get_by_label(card).check()
            await press(tab, "Add this card")
        await press(tab, "Make Visa ending in 4242 the default")
        await tab.page.get_by_text("Visa ending in 4242 is charged from now on.").wait_for()
        await tab.page.get_by_role("link", name="Remove Visa ending in 9995").click()
        await press(tab, "Remove it")
        await tab.page.get_by_text("Visa ending in 9995 was removed.").wait_for()


async def test_a_secret_is_copied_and_gone_when_one_comes_back(charging: Served) -> None:
    async with charging.tab("one", permissions=["clipboard-read", "clipboard-write"]) as tab:
        await tab.open(f"{BILLING}/keys")
        await tab.page.get_by_role("link", name="New key").click()
        await tab.page.get_by_label("Name").fill("Nightly import")
        assert not await tab.page.get_by_label("Parse").is_visible()
        await tab.page.get_by_label("Some products only").check()
        await tab.page.get_by_label("Parse").check()
        await press(tab, "Make key")
        secret = await tab.page.locator(".secret code").inner_text()
        await press(tab, "Copy API key")
        await tab.page.get_by_role("status").filter(has_text="Copied: API key").wait_for(state="attached")
        assert await tab.page.evaluate("navigator.clipboard.readText()") == secret
        await faultless(tab)
        assert secret not in tab.page.url
        await tab.page.get_by_role("link", name="I have copied it").click()
        await tab.page.get_by_text("Nightly import").wait_for()
        await tab.page.go_back()
        assert secret not in await tab.page.content()
        assert secret not in await tab.page.evaluate("JSON.stringify([document.cookie, localStorage, sessionStorage])")


async def test_pages_of_cards_and_of_a_wrong_form_are_accessible(charging: Served) -> None:
    one = charging.people["one"]
    await charging.running.desk.payment_methods.add_fake(one.id, "fake_expired", actor="test")
    async with charging.tab("one") as tab:
        for path in (f"{BILLING}/payment-methods", f"{BILLING}/payment-methods/add"):
            await tab.open(path)
            await faultless(tab)
        await tab.open(f"{BILLING}/limits")
        await tab.page.get_by_label("Another percentage").fill("plenty")
        await press(tab, "Save alerts")
        await tab.page.get_by_text("Write a whole number of percent").wait_for()
        tab.complaints[:] = [said for said in tab.complaints if "422" not in said]
        await faultless(tab)
        wrong = tab.page.get_by_label("Another percentage")
        assert await wrong.input_value() == "plenty"
        assert await wrong.get_attribute("aria-invalid") == "true"
