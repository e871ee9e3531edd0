"""Every page in a real browser: on a phone and a wide screen, by day and by night, with and without JavaScript."""

import pytest

from gateway.flows.accounts import Accounts
from gateway.ledger.faults import StoreUnavailable
from tests.edges.dashboard.conftest import BILLING
from tests.edges.dashboard.in_browser.conftest import WIDE, Operations, Served
from tests.edges.dashboard.in_browser.tab import Tab

PAGES = [
    ("pro", BILLING),
    ("new", BILLING),
    ("spent", BILLING),
    ("member", BILLING),
    ("pro", f"{BILLING}/usage?compare=1&by=mode"),
    ("pro", f"{BILLING}/usage?chart=lines&cumulative=1"),
    ("new", f"{BILLING}/usage"),
    ("pro", f"{BILLING}/usage/calls"),
    ("pro", f"{BILLING}/usage/calls?product=parse&key=key_0"),
    ("pro", f"{BILLING}/usage/calls/{{call}}"),
    ("pro", f"{BILLING}/invoices"),
    ("new", f"{BILLING}/invoices"),
    ("pro", f"{BILLING}/pricing"),
    ("member", f"{BILLING}/pricing"),
    ("spent", f"{BILLING}/pricing/starter"),
    ("pro", f"{BILLING}/pricing/free"),
    ("pro", f"{BILLING}/payment-methods"),
    ("pro", f"{BILLING}/payment-methods/add"),
    ("pro", f"{BILLING}/details"),
    ("member", f"{BILLING}/details"),
    ("pro", f"{BILLING}/keys"),
    ("member", f"{BILLING}/keys"),
    ("pro", f"{BILLING}/keys/new"),
    ("pro", f"{BILLING}/keys/{{key}}/rotate"),
    ("pro", f"{BILLING}/keys/{{key}}/revoke"),
    ("pro", f"{BILLING}/limits"),
    ("member", f"{BILLING}/limits"),
    ("pro", f"{BILLING}/limits/budgets/{{project}}"),
    ("pro", f"{BILLING}/limits/budgets/{{project}}/remove"),
    ("pro", f"{BILLING}/webhooks"),
    ("new", f"{BILLING}/webhooks"),
    ("member", f"{BILLING}/webhooks"),
    ("pro", f"{BILLING}/webhooks/new"),
    ("pro", f"{BILLING}/webhooks/{{webhook}}"),
    ("pro", f"{BILLING}/webhooks/{{webhook}}?status=waiting"),
    ("pro", f"{BILLING}/webhooks/{{off}}"),
    ("pro", f"{BILLING}/webhooks/{{webhook}}/edit"),
    ("pro", f"{BILLING}/webhooks/{{webhook}}/rotate"),
    ("pro", f"{BILLING}/webhooks/{{webhook}}/remove"),
    ("pro", f"{BILLING}/webhooks/{{webhook}}/deliveries/{{delivery}}"),
]
OPERATORS_PAGES = [
    "/admin",
    "/admin/find?q=nobody",
    "/admin/find?q=Cobalt",
    "/admin/accounts",
    "/admin/accounts?name=nobody",
    "/admin/accounts/new",
    "/admin/accounts/{pro}",
    "/admin/accounts/{big}",
    "/admin/accounts/{pro}/adjust",
    "/admin/accounts/{pro}/plan?plan=starter&when=now",
    "/admin/accounts/{pro}/raise",
    "/admin/accounts/{pro}/end-raise",
    "/admin/accounts/{pro}/issue",
    "/admin/accounts/{pro}/close",
    "/admin/accounts/{pro}/keys/{pro_key}/revoke",
    "/admin/accounts/{pro}/contract",
    "/admin/accounts/{big}/contract",
    "/admin/accounts/{big}/contract/agree",
    "/admin/accounts/{big}/contract/end",
    "/admin/accounts/{pro}/audit",
    "/admin/accounts/{pro}/as-owner",
    "/admin/accounts/{pro}/as-owner/usage",
    "/admin/invoices",
    "/admin/invoices?status=void",
    "/admin/invoices/{invoice}",
    "/admin/invoices/{invoice}/pay",
    "/admin/invoices/{invoice}/void",
    "/admin/invoices/{invoice}/uncollectible",
    "/admin/invoices/{invoice}/credit",
    "/admin/audit",
    "/admin/calls/{call}",
]


@pytest.mark.parametrize(("who", "path"), PAGES)
async def test_a_page_is_accessible_and_fits_and_breaks_no_policy(
    served: Served, scripted: Tab, who: str, path: str
) -> None:
    await served.enter(scripted, who)
    await scripted.open(path.format_map(served.ids))
    await scripted.faultless()


@pytest.mark.parametrize("path", OPERATORS_PAGES)
async def test_an_operator_s_page_is_accessible_and_fits_and_breaks_no_policy(
    operations: Operations, scripted: Tab, path: str
) -> None:
    await operations.operate(scripted)
    await scripted.open(path.format_map(operations.ids))
    await scripted.faultless()


async def test_every_page_is_whole_without_javascript(
    served: Served, operations: Operations, windows: dict[bool, Tab]
) -> None:
    plain = windows[False]
    await served.enter(plain, "pro")
    for path in [path for who, path in PAGES if who == "pro"]:
        await whole(plain, path.format_map(served.ids), "Billing")
    await operations.operate(plain)
    for path in OPERATORS_PAGES:
        navigation = "Billing" if "as-owner" in path else "Operations"
        await whole(plain, path.format_map(operations.ids), navigation)
    assert not await plain.trouble()


async def whole(tab: Tab, path: str, navigation: str) -> None:
    """What a page is for, and the way to the others."""
    await tab.page.goto(tab.base + path, wait_until="domcontentloaded")
    assert await tab.page.get_by_role("heading", level=1).count() == 1, path
    assert await tab.page.get_by_role("navigation", name=navigation).is_visible(), path


async def test_the_first_tab_skips_to_the_content(served: Served, scripted: Tab) -> None:
    await served.enter(scripted, "pro")
    await scripted.open(BILLING)
    await scripted.page.keyboard.press("Tab")
    assert await scripted.page.locator(":focus").inner_text() == "Skip to the content"
    await scripted.page.keyboard.press("Enter")
    assert await scripted.page.evaluate("document.activeElement.id") == "content"


LOOK_AGAIN = "htmx.ajax('GET', location.pathname, {select: '#credits', target: '#credits', swap: 'outerHTML'})"


async def test_the_credits_are_looked_at_again_while_the_page_is_open(served: Served, scripted: Tab) -> None:
    watching = await served.running.someone("free", "Watching")
    await served.enter(scripted, watching)
    await scripted.open(BILLING)
    await served.running.used(watching, 123)
    await scripted.page.evaluate(LOOK_AGAIN)
    await scripted.says("9,877")


async def test_a_look_that_fails_leaves_what_is_shown(
    served: Served, scripted: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    await served.enter(scripted, "pro")
    await scripted.open(BILLING)
    with monkeypatch.context() as patched:
        patched.setattr(Accounts, "show", away)
        await scripted.page.evaluate(LOOK_AGAIN)
    assert await scripted.page.locator("#credits").is_visible()
    await scripted.was_refused(503)


async def test_a_page_left_open_past_its_session_goes_to_the_way_in(served: Served, scripted: Tab) -> None:
    await served.enter(scripted, "pro")
    await scripted.open(BILLING)
    await scripted.page.context.clear_cookies()
    async with scripted.page.expect_navigation(url="**/settings/sign-in?next=*"):
        # Not its promise: the page it would be kept on is left.
        await scripted.page.evaluate(f"void {LOOK_AGAIN}")
    assert await scripted.page.get_by_label("API key").is_visible()


async def test_upgrade_now_stands_in_the_bottom_left_corner(served: Served, scripted: Tab) -> None:
    await served.enter(scripted, "new")
    await scripted.open(BILLING)
    box = await scripted.page.get_by_role("link", name="Upgrade now").bounding_box()
    assert box is not None
    assert box["x"] < 40
    assert WIDE[1] - 40 < box["y"] + box["height"] <= WIDE[1]
