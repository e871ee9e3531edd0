"""What is asked of the usage page, and what a script adds to its chart."""

import csv
import io
import re

import pytest

from gateway.domain.credits import millicredits
from tests.edges.dashboard.conftest import BILLING
from tests.edges.dashboard.in_browser.conftest import Served
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab

USAGE = f"{BILLING}/usage"


@pytest.fixture
async def chart(served: Served, scripted: Tab) -> Tab:
    """The page of an account that has used a lot, with scripts."""
    await served.enter(scripted, "pro")
    await scripted.open(USAGE)
    return scripted


async def test_a_bar_that_is_pointed_at_says_what_it_is_made_of(chart: Tab) -> None:
    await chart.open(f"{USAGE}?by=mode")
    await chart.page.locator(".chart-slot").last.hover(force=True)
    tip = chart.page.locator(".chart-tip")
    assert await tip.is_visible()
    assert "Parse: Agentic" in await tip.inner_text()


@drives(f"GET {USAGE}", f"GET {USAGE}/calls", f"GET {USAGE}/calls/{{request_id}}")
async def test_a_bar_leads_to_its_calls_and_a_call_to_its_receipt(chart: Tab) -> None:
    await chart.page.locator(".chart-slot").last.click(force=True)
    await chart.page.wait_for_url("**/usage/calls?*")
    assert await chart.page.get_by_role("heading", name="Calls", level=1).is_visible()
    row = chart.page.get_by_role("row").filter(has_text="Agentic").first
    amount = await row.get_by_role("cell").last.inner_text()
    await row.get_by_role("link").click()
    await chart.says(f"Charged: {amount} credits")


async def test_dragging_over_bars_shows_these_days_alone(chart: Tab) -> None:
    box = await chart.page.locator(".chart-plot svg").bounding_box()
    assert box is not None
    y = box["y"] + 20
    await chart.page.mouse.move(box["x"] + box["width"] * 0.78, y)
    await chart.page.mouse.down()
    await chart.page.mouse.move(box["x"] + box["width"] * 0.93, y, steps=4)
    await chart.page.mouse.up()
    await chart.page.wait_for_url("**/usage?*range=custom*")
    assert await chart.page.locator(".chart-slot").count() in range(4, 9)
    assert await chart.page.get_by_label("From", exact=True).input_value() != ""


async def test_arrow_keys_go_from_bar_to_bar_and_enter_opens_one(chart: Tab) -> None:
    await chart.page.locator(".chart-plot").focus()
    await chart.page.keyboard.press("End")
    await chart.page.keyboard.press("ArrowLeft")
    spoken = chart.page.locator(".chart [aria-live]")
    assert re.search(r"\d+ credits", await spoken.inner_text())
    await chart.page.keyboard.press("Enter")
    await chart.page.wait_for_url("**/usage/calls?*")


async def test_a_changed_filter_changes_what_is_shown_and_the_address(chart: Tab) -> None:
    await chart.page.get_by_label("By", exact=True).select_option("mode")
    await chart.page.get_by_role("link", name="Parse: Agentic").wait_for()
    assert "by=mode" in chart.page.url
    await chart.page.get_by_label("Compare with the time before").check()
    await chart.page.get_by_text("The time before", exact=True).wait_for()
    await chart.page.locator(".chart-slot").last.hover(force=True)
    assert "Before" in await chart.page.locator(".chart-tip").inner_text()
    await chart.faultless()
    await chart.page.go_back()
    await chart.page.wait_for_function("!location.search.includes('compare=1')")


async def test_what_is_told_of_a_bar_stays_on_a_page_that_is_made_narrower(chart: Tab) -> None:
    await chart.page.locator(".chart-plot").press("End")
    await chart.page.locator(".chart-tip").wait_for()
    await chart.page.set_viewport_size({"width": 375, "height": 800})
    assert not await chart.sticks_out()


async def test_without_a_script_the_filters_are_sent_by_their_button(served: Served, windows: dict[bool, Tab]) -> None:
    plain = await served.enter(windows[False], "pro")
    await plain.open(USAGE)
    await plain.page.get_by_label("By", exact=True).select_option("key")
    await plain.page.get_by_role("button", name="Show", exact=True).click()
    await plain.page.wait_for_url("**by=key**")
    assert await plain.page.locator(".chart-slot").count() == 30


async def test_every_choice_of_the_filters_is_drawn(served: Served, tab: Tab) -> None:
    await served.enter(tab, "pro")
    for query in ("range=7d&window=hour", "window=week", "window=month&chart=lines", "by=project&cumulative=1"):
        await tab.open(f"{USAGE}?{query}")
        await tab.page.locator(".chart-plot").wait_for()
        assert not await tab.sticks_out(), query
    await tab.open(f"{USAGE}?product=extract")
    await tab.page.get_by_role("link", name=re.compile("^Extract.*show all products")).click()
    await tab.page.wait_for_url(lambda url: "product" not in url)


@drives(f"GET {USAGE}.csv")
async def test_the_numbers_are_taken_along_as_csv(served: Served, tab: Tab) -> None:
    await served.enter(tab, "pro")
    await tab.open(USAGE)
    name, text = await tab.takes("CSV")
    assert name.endswith(".csv")
    rows = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))
    whole = sum(millicredits(row["credits"]) for row in rows)
    assert whole == (60 + 45 + 900 + 12_000 + 8_000 + 15_000 + 9_000 + 4_000 + 11_000 + 7_000) * 1_000
