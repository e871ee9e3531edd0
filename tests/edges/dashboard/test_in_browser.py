"""Every page in a real browser: on a phone and a wide screen, by day and by night, with and without JavaScript."""

from collections.abc import AsyncIterator

import pytest

from gateway.flows.accounts import Accounts
from gateway.ledger.faults import StoreUnavailable
from tests.edges.dashboard.browser import Tab
from tests.edges.dashboard.conftest import BILLING, Served

PHONE, WIDE = (375, 800), (1440, 900)
PAGES = [
    ("pro", BILLING),
    ("new", BILLING),
    ("spent", BILLING),
    ("member", BILLING),
    ("pro", f"{BILLING}/usage?compare=1&by=mode"),
    ("pro", f"{BILLING}/usage?chart=lines&cumulative=1"),
    ("new", f"{BILLING}/usage"),
    ("pro", f"{BILLING}/usage/calls"),
    ("pro", f"{BILLING}/invoices"),
    ("new", f"{BILLING}/invoices"),
    ("pro", f"{BILLING}/pricing"),
    ("member", f"{BILLING}/pricing"),
    ("spent", f"{BILLING}/pricing/starter"),
    ("pro", f"{BILLING}/pricing/free"),
    ("pro", f"{BILLING}/payment-methods"),
    ("pro", f"{BILLING}/details"),
    ("pro", f"{BILLING}/keys"),
    ("member", f"{BILLING}/keys"),
    ("pro", f"{BILLING}/keys/new"),
    ("pro", f"{BILLING}/keys/{{key}}/rotate"),
    ("pro", f"{BILLING}/keys/{{key}}/revoke"),
    ("pro", f"{BILLING}/limits"),
    ("member", f"{BILLING}/limits"),
    ("pro", f"{BILLING}/limits/budgets/{{project}}"),
    ("pro", f"{BILLING}/webhooks"),
    ("new", f"{BILLING}/webhooks"),
    ("pro", f"{BILLING}/webhooks/new"),
    ("pro", f"{BILLING}/webhooks/{{webhook}}"),
    ("pro", f"{BILLING}/webhooks/{{off}}"),
    ("pro", f"{BILLING}/webhooks/{{webhook}}/deliveries/{{delivery}}"),
    ("pro", f"{BILLING}/no-such-page"),
]


@pytest.fixture(scope="module")
async def tabs(served: Served) -> AsyncIterator[dict[str, Tab]]:
    """A tab for each of the people, signed in once."""
    opened: dict[str, Tab] = {}
    contexts = []
    for who in served.people:
        window = served.tab(who)
        opened[who] = await window.__aenter__()
        contexts.append(window)
    yield opened
    for window in contexts:
        await window.__aexit__(None, None, None)


async def faultless(tab: Tab) -> None:
    """Nothing to complain of, in either size and by day and night."""
    for width, height in (WIDE, PHONE):
        await tab.page.set_viewport_size({"width": width, "height": height})
        assert not await tab.scrolls_sideways(), f"{width} wide"
        await tab.page.emulate_media(color_scheme="light")
        assert not await tab.inaccessible(), f"{width} wide, light"
        # By night the page is the same but for its colours.
        await tab.page.emulate_media(color_scheme="dark")
        assert not await tab.inaccessible(only="color-contrast"), f"{width} wide, dark"
    assert not await tab.trouble()


@pytest.mark.parametrize(("who", "path"), PAGES)
async def test_a_page_is_accessible_and_fits_and_breaks_no_policy(
    served: Served, tabs: dict[str, Tab], who: str, path: str
) -> None:
    tab = tabs[who]
    tab.complaints.clear()
    await tab.open(path.format_map(served.ids))
    # A browser notes an answer of 404 as an error.
    tab.complaints[:] = [said for said in tab.complaints if "404" not in said]
    await faultless(tab)


async def test_the_way_in_is_accessible_and_fits(served: Served) -> None:
    async with served.tab() as tab:
        await tab.open(BILLING)
        await faultless(tab)
        await tab.page.get_by_label("API key").fill("no key")
        await tab.page.get_by_role("button", name="Sign in").click()
        await tab.page.get_by_text("That is no API key that works here").wait_for()
        tab.complaints[:] = [said for said in tab.complaints if "401" not in said]
        await faultless(tab)


async def test_every_page_is_whole_without_javascript(served: Served) -> None:
    async with served.tab("pro", java_script_enabled=False) as tab:
        for who, path in PAGES:
            if who == "pro":
                await tab.open(path.format_map(served.ids))
                assert await tab.page.get_by_role("heading", level=1).count() == 1, path
                assert await tab.page.get_by_role("navigation", name="Billing").is_visible(), path


async def test_the_first_tab_skips_to_the_content(tabs: dict[str, Tab]) -> None:
    tab = tabs["pro"]
    await tab.open(BILLING)
    await tab.page.keyboard.press("Tab")
    focused = tab.page.locator(":focus")
    assert await focused.inner_text() == "Skip to the content"
    await tab.page.keyboard.press("Enter")
    assert await tab.page.evaluate("document.activeElement.id") == "content"


async def tabbed_to(tab: Tab, name: str) -> None:
    """Presses Tab until what has this name is focused, at most a hundred times."""
    for _ in range(100):
        await tab.page.keyboard.press("Tab")
        if (await tab.page.evaluate("document.activeElement.innerText || ''")).strip() == name:
            return
    raise AssertionError(f"the keyboard alone does not reach {name!r}")


async def test_an_upgrade_needs_no_mouse(served: Served) -> None:
    served.people["hands-free"] = await served.running.someone("free", "Hands Free")
    async with served.tab() as tab:
        await tab.open(BILLING)
        await tab.page.keyboard.press("Tab")
        await tab.page.keyboard.press("Tab")
        await tab.page.keyboard.type(served.people["hands-free"].key)
        await tab.page.keyboard.press("Enter")
        await tab.page.wait_for_url(f"**{BILLING}")
        for name, url in (
            ("Upgrade now", f"**{BILLING}/pricing"),
            ("Upgrade to Starter", f"**{BILLING}/pricing/starter"),
            ("Upgrade for $50.00", f"**{BILLING}"),
        ):
            await tabbed_to(tab, name)
            await tab.page.keyboard.press("Enter")
            await tab.page.wait_for_url(url)
        await tab.page.get_by_role("status").get_by_text("You are on Starter now.").wait_for()
        assert not await tab.trouble()


async def test_an_upgrade_needs_no_javascript(served: Served) -> None:
    served.people["plain"] = await served.running.someone("free", "Plain")
    async with served.tab("plain", java_script_enabled=False) as tab:
        await tab.page.get_by_role("link", name="Upgrade now").click()
        await tab.page.get_by_role("link", name="Upgrade to Starter").click()
        await tab.page.get_by_role("button", name="Upgrade for $50.00").click()
        await tab.page.get_by_text("You are on Starter now.").wait_for()
        await tab.page.locator("summary", has_text="Plain").click()
        await tab.page.get_by_role("button", name="Sign out", exact=True).click()
        await tab.page.get_by_text("You are signed out.").wait_for()


LOOK_AGAIN = "htmx.ajax('GET', location.pathname, {select: '#credits', target: '#credits', swap: 'outerHTML'})"


async def test_the_credits_are_looked_at_again_while_the_page_is_open(served: Served) -> None:
    watching = served.people["watching"] = await served.running.someone("free", "Watching")
    async with served.tab("watching") as tab:
        await served.running.used(watching, 123)
        await tab.page.evaluate(LOOK_AGAIN)
        await tab.page.get_by_text("9,877").first.wait_for()
        assert not await tab.trouble()


async def test_a_look_that_fails_leaves_what_is_shown(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    async with served.tab("pro") as tab:
        with monkeypatch.context() as patched:
            patched.setattr(Accounts, "show", away)
            await tab.page.evaluate(LOOK_AGAIN)
        assert await tab.page.locator("#credits").is_visible()


async def test_a_page_left_open_past_its_session_goes_to_the_way_in(served: Served) -> None:
    async with served.tab("pro") as tab:
        await tab.page.context.clear_cookies()
        async with tab.page.expect_navigation(url="**/settings/sign-in?next=*"):
            await tab.page.evaluate(LOOK_AGAIN)
        assert await tab.page.get_by_label("API key").is_visible()


async def test_upgrade_now_stands_in_the_bottom_left_corner(tabs: dict[str, Tab]) -> None:
    tab = tabs["new"]
    await tab.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await tab.open(BILLING)
    box = await tab.page.get_by_role("link", name="Upgrade now").bounding_box()
    assert box is not None
    assert box["x"] < 40
    assert WIDE[1] - 40 < box["y"] + box["height"] <= WIDE[1]
