"""What a script adds to the usage chart, in a real browser."""

import re
from collections.abc import AsyncIterator

import pytest

from tests.edges.dashboard.browser import Tab
from tests.edges.dashboard.conftest import BILLING, Served

USAGE = f"{BILLING}/usage"


@pytest.fixture(scope="module")
async def tab(served: Served) -> AsyncIterator[Tab]:
    async with served.tab("pro", viewport={"width": 1440, "height": 900}) as opened:
        yield opened


async def test_a_bar_that_is_pointed_at_says_what_it_is_made_of(tab: Tab) -> None:
    await tab.open(f"{USAGE}?by=mode")
    last = tab.page.locator(".chart-slot").last
    await last.hover(force=True)
    tip = tab.page.locator(".chart-tip")
    assert await tip.is_visible()
    assert "Parse: Agentic" in await tip.inner_text()
    assert not await tab.trouble()


async def test_a_bar_that_is_clicked_leads_to_its_calls(tab: Tab) -> None:
    await tab.open(USAGE)
    await tab.page.locator(".chart-slot").last.click(force=True)
    await tab.page.wait_for_url("**/usage/calls?*")
    assert await tab.page.get_by_role("heading", name="Calls", level=1).is_visible()


async def test_dragging_over_bars_shows_these_days_alone(tab: Tab) -> None:
    await tab.open(USAGE)
    box = await tab.page.locator(".chart-plot svg").bounding_box()
    assert box is not None
    y = box["y"] + 20
    await tab.page.mouse.move(box["x"] + box["width"] * 0.78, y)
    await tab.page.mouse.down()
    await tab.page.mouse.move(box["x"] + box["width"] * 0.93, y, steps=4)
    await tab.page.mouse.up()
    await tab.page.wait_for_url("**/usage?*range=custom*")
    assert await tab.page.locator(".chart-slot").count() in range(4, 9)
    assert await tab.page.locator("#range").input_value() == "custom"


async def test_arrow_keys_go_from_bar_to_bar_and_enter_opens_one(tab: Tab) -> None:
    await tab.open(USAGE)
    await tab.page.locator(".chart-plot").focus()
    await tab.page.keyboard.press("End")
    await tab.page.keyboard.press("ArrowLeft")
    spoken = tab.page.locator(".chart [aria-live]")
    assert re.search(r"\d+ credits", await spoken.inner_text())
    await tab.page.keyboard.press("Enter")
    await tab.page.wait_for_url("**/usage/calls?*")


async def test_a_changed_filter_changes_what_is_shown_and_the_address(tab: Tab) -> None:
    await tab.open(USAGE)
    await tab.page.get_by_label("By", exact=True).select_option("mode")
    await tab.page.get_by_role("link", name="Parse: Agentic").wait_for()
    assert "by=mode" in tab.page.url
    await tab.page.get_by_label("Compare with the time before").check()
    await tab.page.get_by_text("The time before", exact=True).wait_for()
    await tab.page.locator(".chart-slot").last.hover(force=True)
    assert "Before" in await tab.page.locator(".chart-tip").inner_text()
    await tab.page.go_back()
    await tab.page.wait_for_function("!location.search.includes('compare=1')")
    assert not await tab.trouble()


async def test_without_a_script_the_filters_are_sent_by_their_button(served: Served) -> None:
    async with served.tab("pro", java_script_enabled=False) as plain:
        await plain.open(USAGE)
        await plain.page.get_by_label("By", exact=True).select_option("key")
        await plain.page.get_by_role("button", name="Show").click()
        assert "by=key" in plain.page.url
        assert await plain.page.locator(".chart-slot").count() == 30
