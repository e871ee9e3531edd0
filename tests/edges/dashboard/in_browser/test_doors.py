"""Coming in and going out, by either door."""

from playwright.async_api import Browser

from gateway.edges.dashboard.app import dashboard
from tests.edges.dashboard.conftest import ADMIN_TOKEN, BILLING
from tests.edges.dashboard.in_browser.conftest import Operations, Served, Stores, listening
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab, opened_tab

SIGN_IN = "/settings/sign-in"


@drives("GET /settings", f"GET {SIGN_IN}", f"POST {SIGN_IN}", f"GET {BILLING}/keys", "POST /settings/sign-out")
async def test_an_owner_comes_in_by_a_key_to_where_they_wanted_and_goes_out(served: Served, tab: Tab) -> None:
    await served.enter(tab, None)
    await tab.open("/settings")
    await tab.open(f"{BILLING}/keys")
    await tab.faultless()
    await tab.type("API key", "no key")
    await tab.press("Sign in")
    await tab.says("That is no API key that works here")
    await tab.was_refused(401)
    await tab.faultless()
    assert await tab.page.get_by_label("API key").input_value() == ""
    await tab.type("API key", served.people["new"].key)
    await tab.press("Sign in")
    await tab.page.wait_for_url(f"**{BILLING}/keys")
    await tab.page.locator("summary", has_text="Ada's side project").click()
    await tab.press("Sign out")
    await tab.says("You are signed out.")
    await tab.faultless()
    await tab.open(BILLING)
    assert SIGN_IN in tab.page.url, "nobody is signed in any more"


@drives("POST /settings/sign-out-everywhere")
async def test_signing_out_everywhere_ends_the_sessions_elsewhere_too(
    served: Served, tab: Tab, chromium: Browser
) -> None:
    one = await served.running.someone("free", "Two Windows")
    await served.enter(tab, one)
    async with opened_tab(chromium, scripted=tab.scripted) as elsewhere:
        await served.enter(elsewhere, one)
        await elsewhere.open(BILLING)
        await tab.open(BILLING)
        await tab.page.locator("summary", has_text="Two Windows").click()
        await tab.press("Sign out everywhere")
        await tab.says("You are signed out here and everywhere else.")
        await elsewhere.open(BILLING)
        assert SIGN_IN in elsewhere.page.url


async def test_too_many_attempts_are_told_to_wait(served: Served, stores: Stores, scripted: Tab) -> None:
    # Pages of their own: those of the others count on coming in.
    async with listening(stores, dashboard(served.running.parts)) as base:
        scripted.base = base
        await scripted.page.context.clear_cookies()
        await scripted.open(SIGN_IN)
        for _ in range(40):
            await scripted.type("API key", "no key")
            async with scripted.page.expect_navigation() as gone:
                await scripted.press("Sign in")
            answer = await gone.value
            assert answer is not None
            await scripted.was_refused(answer.status)
            if answer.status == 429:
                break
        await scripted.says("Too many attempts from here.")
        await scripted.faultless()


@drives("GET /admin", "GET /admin/sign-in", "POST /admin/sign-in", "POST /admin/sign-out")
async def test_an_operator_comes_in_by_the_token_and_goes_out(operations: Operations, tab: Tab) -> None:
    await operations.enter(tab, None)
    await tab.open("/admin")
    await tab.type("Admin token", "a guess")
    await tab.press("Sign in")
    await tab.says("That is no admin token that works here")
    await tab.was_refused(401)
    await tab.faultless()
    await tab.type("Admin token", ADMIN_TOKEN)
    await tab.press("Sign in")
    await tab.page.wait_for_url("**/admin")
    await tab.page.locator("summary", has_text="Operator").click()
    await tab.press("Sign out")
    await tab.says("You are signed out.")
    await tab.open("/admin")
    assert "/admin/sign-in" in tab.page.url


@drives("POST /admin/sign-out-everywhere")
async def test_an_operator_ends_every_operator_s_session(operations: Operations, tab: Tab, chromium: Browser) -> None:
    await operations.operate(tab)
    async with opened_tab(chromium, scripted=tab.scripted) as elsewhere:
        await operations.operate(elsewhere)
        await tab.open("/admin")
        await tab.page.locator("summary", has_text="Operator").click()
        await tab.press("Sign out everywhere")
        await tab.says("You are signed out here and everywhere else.")
        await elsewhere.open("/admin")
        assert "/admin/sign-in" in elsewhere.page.url
