"""API keys and projects: made, copied once, replaced and ended, and what the keyboard alone can do of it."""

from gateway.books.keys import KeyRecord
from tests.edges.dashboard.conftest import BILLING, Someone
from tests.edges.dashboard.in_browser.conftest import Served
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab

KEYS = f"{BILLING}/keys"


async def keys_of(served: Served, one: Someone) -> dict[str, KeyRecord]:
    """By name; the one that the account began with has none."""
    return {key.name: key for key in await served.running.desk.keys.of_account(one.id)}


@drives(f"GET {KEYS}", f"GET {KEYS}/new", f"POST {KEYS}")
async def test_a_secret_is_shown_once_and_gone_when_one_comes_back(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    await served.enter(tab, one)
    await tab.open(KEYS)
    await tab.follow("New key")
    await tab.type("Name", "Nightly import")
    await tab.tick("Some products only")
    await tab.press("Make key")
    await tab.says("No key was made.")
    await tab.was_refused(422)
    await tab.faultless()
    assert await tab.page.get_by_label("Name", exact=True).input_value() == "Nightly import"
    await tab.tick("Parse")
    await tab.page.get_by_label("Ends").select_option("30d")
    async with tab.page.expect_response(f"**{KEYS}") as coming:
        await tab.press("Make key")
    assert (await (await coming.value).header_value("cache-control")) == "no-store", "nothing to go back to"
    secret = await tab.page.locator(".secret code").inner_text()
    await tab.faultless()
    assert secret not in tab.page.url
    made = (await keys_of(served, one))["Nightly import"]
    assert made.products == frozenset({"parse"})
    assert made.expires_ms is not None
    assert await served.running.parts.sign_ins.with_key(secret) is not None, "it is the key that was made"
    await tab.follow("I have copied it")
    await tab.says("Nightly import")
    assert secret not in await tab.page.evaluate("JSON.stringify([document.cookie, localStorage, sessionStorage])")


async def test_a_secret_is_copied_by_its_button(served: Served, scripted: Tab) -> None:
    one = await served.running.someone("free")
    await served.enter(scripted, one)
    await scripted.open(f"{KEYS}/new")
    assert not await scripted.page.get_by_label("Parse").is_visible(), "until the key is limited"
    await scripted.press("Make key")
    secret = await scripted.page.locator(".secret code").inner_text()
    await scripted.press("Copy API key")
    await scripted.page.get_by_role("status").filter(has_text="Copied: API key").wait_for(state="attached")
    assert await scripted.page.evaluate("navigator.clipboard.readText()") == secret


async def test_a_key_is_made_without_a_mouse(served: Served, scripted: Tab) -> None:
    one = await served.running.someone("free")
    await served.enter(scripted, one)
    await scripted.open(KEYS)
    keyboard = scripted.page.keyboard
    await scripted.tab_to("New key")
    await keyboard.press("Enter")
    await scripted.page.wait_for_url(f"**{KEYS}/new")
    await scripted.tab_to("Name")
    await keyboard.type("By hand")
    await scripted.tab_to("All products, and signing in here as an owner")
    await keyboard.press("ArrowDown")
    await scripted.tab_to("Parse")
    await keyboard.press("Space")
    await scripted.tab_to("Make key")
    await keyboard.press("Enter")
    await scripted.says("Copy it now.")
    await scripted.tab_to("Copy API key")
    await keyboard.press("Enter")
    await scripted.page.get_by_role("status").filter(has_text="Copied: API key").wait_for(state="attached")
    await scripted.tab_to("I have copied it")
    await keyboard.press("Enter")
    await scripted.says("By hand")
    assert (await keys_of(served, one))["By hand"].products == frozenset({"parse"})


@drives(f"GET {KEYS}/{{key_id}}/rotate", f"POST {KEYS}/{{key_id}}/rotate")
async def test_a_key_is_replaced_by_another_for_an_hour(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    await served.running.desk.keys.create(one.id, name="Worker")
    await served.enter(tab, one)
    await tab.open(KEYS)
    await tab.follow("Rotate Worker")
    await tab.tick("1 hour")
    await tab.page.locator("form .button-accent").click()
    await tab.says("The old key goes on for 1 hour.")
    await tab.faultless()
    replaced = [key for key in await served.running.desk.keys.of_account(one.id) if key.replaced_by]
    assert [key.name for key in replaced] == ["Worker"]
    assert replaced[0].expires_ms is not None
    await tab.follow("I have copied it")
    await tab.says("Being replaced")
    await tab.faultless()


@drives(f"GET {KEYS}/{{key_id}}/revoke", f"POST {KEYS}/{{key_id}}/revoke")
async def test_a_key_is_kept_and_then_ended(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    made = await served.running.desk.keys.create(one.id, name="Laptop")
    await served.enter(tab, one)
    await tab.open(KEYS)
    await tab.follow("Revoke Laptop")
    await tab.follow("Keep it")
    await tab.follow("Revoke Laptop")
    await tab.press("Revoke this key")
    await tab.says("Laptop is revoked")
    await tab.faultless()
    assert (await keys_of(served, one))["Laptop"].revoked_ms is not None
    assert await served.running.parts.sign_ins.with_key(made.secret) is None
    await tab.open(f"{KEYS}/{made.id}/revoke", 400)
    await tab.says("Laptop has ended already")
    await tab.faultless()


async def test_whoever_ends_their_own_key_is_signed_out(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    await served.enter(tab, one)
    await tab.open(f"{KEYS}/{one.key_id}/revoke")
    await tab.says("Revoking it signs you out")
    await tab.press("Revoke this key")
    await tab.page.wait_for_url("**/settings/sign-in*")
    assert await tab.page.get_by_label("API key").is_visible()


@drives(f"POST {KEYS}/projects")
async def test_a_project_is_made_for_the_next_keys(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    await served.enter(tab, one)
    await tab.open(KEYS)
    await tab.type("New project", "x" * 201)
    await tab.press("Create project")
    await tab.says("a name has from 1 to 200 printable characters")
    await tab.was_refused(422)
    await tab.faultless()
    await tab.type("New project", "Invoices")
    await tab.press("Create project")
    await tab.says("Invoices")
    await tab.follow("New key")
    await tab.page.get_by_label("Project").select_option(label="Invoices")
    await tab.type("Name", "Of the project")
    await tab.press("Make key")
    await tab.says("Copy it now.")
    projects = {project.name: project.id for project in await served.running.desk.accounts.projects(one.id)}
    assert (await keys_of(served, one))["Of the project"].project_id == projects["Invoices"]
