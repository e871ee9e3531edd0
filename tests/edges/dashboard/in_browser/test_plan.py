"""Another plan, from the preview to the books: dearer at once, cheaper at the end of the period, and taken back."""

from gateway.domain.instant import epoch_ms
from gateway.domain.payment import AttemptState
from tests.edges.dashboard.conftest import BILLING
from tests.edges.dashboard.in_browser.conftest import Served
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab, pattern

PRICING = f"{BILLING}/pricing"
CHANGE = f"POST {PRICING}/{{plan_id}}"
CARDS = f"{BILLING}/payment-methods"


async def issued(served: Served, account_id: str) -> list[tuple[str, int]]:
    """Status and total of every invoice, the newest first."""
    views = await served.running.desk.invoices.of_account(account_id)
    return [(one.status.value, one.document["total_cents"]) for one in views if one.status != "draft"]


@drives(f"GET {PRICING}", f"GET {PRICING}/{{plan_id}}", CHANGE)
async def test_an_upgrade_is_shown_to_the_cent_and_then_invoiced(served: Served, tab: Tab) -> None:
    one = await served.running.someone("starter", days_ago=3)
    await served.running.used(one, 15_000, days_ago=1)
    await served.enter(tab, one)
    await tab.open(BILLING)
    await tab.follow("Upgrade now")
    await tab.follow("Upgrade to Pro")
    await tab.says("This price is honoured until")
    await tab.press("Upgrade for $468.75")
    await tab.says("is of $468.75.")
    await tab.faultless()
    assert (await served.running.desk.accounts.show(one.id)).plan_id == "pro"
    assert (await issued(served, one.id))[0] == ("issued", 46_875)
    terms = await served.running.desk.reports.of_account(one.id, served.running.clock())
    assert terms.credits.included_millicredits == 400_000_000, "Redis and books say so from the next call on"


@drives(CHANGE, f"POST {PRICING}/undo")
async def test_a_downgrade_waits_and_is_taken_back(served: Served, tab: Tab) -> None:
    one = await served.running.someone("pro", days_ago=3)
    show = served.running.desk.accounts.show
    await served.enter(tab, one)
    await tab.open(PRICING)
    await tab.follow("Downgrade to Starter")
    await tab.page.get_by_role("button", name=pattern("Change on ")).click()
    await tab.says("Your change to Starter waits for")
    await tab.faultless()
    account = await show(one.id)
    assert (account.plan_id, account.pending_plan_id) == ("pro", "starter")
    await tab.press("Stay on Pro")
    await tab.says("You stay on Pro.")
    assert (await show(one.id)).pending_plan_id is None


@drives(CHANGE, f"POST {PRICING}/undo")
async def test_a_plan_is_cancelled_and_kept_after_all_from_the_pricing_page(served: Served, tab: Tab) -> None:
    one = await served.running.someone("starter", days_ago=3)
    show = served.running.desk.accounts.show
    await served.enter(tab, one)
    await tab.open(PRICING)
    await tab.follow("Cancel, go to Free")
    await tab.page.get_by_role("button", name=pattern("Cancel on ")).click()
    await tab.says("Your change to Free waits for")
    assert (await show(one.id)).pending_plan_id == "free"
    await tab.open(PRICING)
    await tab.faultless()
    await tab.press("Take it back")
    await tab.says("You stay on Starter.")
    assert (await show(one.id)).pending_plan_id is None
    assert [total for _, total in await issued(served, one.id)] == [5_000], "nothing but the opening's"


async def test_a_preview_that_holds_no_more_is_shown_again_and_changes_nothing(served: Served, tab: Tab) -> None:
    one = await served.running.someone("starter", days_ago=3)
    await served.enter(tab, one)
    await tab.open(f"{PRICING}/pro")
    served.running.clock.forward(minutes=11)
    await tab.page.get_by_role("button", name=pattern("Upgrade for ")).click()
    await tab.says("The price you saw was honoured until")
    await tab.faultless()
    assert (await served.running.desk.accounts.show(one.id)).plan_id == "starter"


@drives(CHANGE, f"GET {CARDS}/add", f"POST {CARDS}/add")
async def test_an_upgrade_is_paid_with_a_card_that_is_added_on_the_way(charging: Served, tab: Tab) -> None:
    one = await charging.running.someone("free")
    await charging.enter(tab, one)
    await tab.open(f"{PRICING}/starter")
    await tab.says("Add a payment method first.")
    await tab.faultless()
    await tab.follow("Add a payment method")
    await tab.follow("Add a payment method", first=True)
    await tab.press("Add this card")
    await tab.says("Visa ending in 4242 was added")
    await tab.open(f"{PRICING}/starter")
    await tab.press("Pay $50.00 and upgrade")
    await tab.says("You are on Starter now.")
    assert await issued(charging, one.id) == [("paid", 5_000)]


async def test_a_declined_upgrade_says_so_and_changes_nothing(charging: Served, tab: Tab) -> None:
    one = await charging.running.someone("free")
    await charging.running.desk.payment_methods.add_fake(one.id, "fake_declined", actor="test")
    await charging.enter(tab, one)
    await tab.open(f"{PRICING}/starter")
    await tab.press("Pay $50.00 and upgrade")
    await tab.says("Nothing was changed.")
    await tab.was_refused(402)
    await tab.faultless()
    assert (await charging.running.desk.accounts.show(one.id)).plan_id == "free"
    assert await issued(charging, one.id) == []


async def test_an_upgrade_is_confirmed_at_the_bank(charging: Served, tab: Tab) -> None:
    one = await charging.running.someone("free")
    await charging.running.desk.payment_methods.add_fake(one.id, "fake_3ds", actor="test")
    await charging.enter(tab, one)
    await tab.open(f"{PRICING}/starter")
    await tab.press("Pay $50.00 and upgrade")
    await tab.says("Nothing was changed.")
    await tab.was_refused(402)
    await tab.faultless()
    await tab.follow("Confirm with your bank")
    await tab.says("Do you want to pay $50.00")
    await tab.press("Confirm")
    await tab.page.wait_for_url(f"**{BILLING}")
    (attempt,) = await charging.running.desk.payments.attempts(one.id)
    assert attempt.state is AttemptState.SUCCEEDED
    assert epoch_ms(charging.running.clock()) >= attempt.started_ms


async def test_an_upgrade_needs_no_mouse(served: Served, scripted: Tab) -> None:
    one = await served.running.someone("free", "Hands Free")
    await served.enter(scripted, None)
    await scripted.open(BILLING)
    await scripted.page.keyboard.press("Tab")
    await scripted.page.keyboard.press("Tab")
    await scripted.page.keyboard.type(one.key)
    await scripted.page.keyboard.press("Enter")
    await scripted.page.wait_for_url(f"**{BILLING}")
    for name, url in (
        ("Upgrade now", f"**{PRICING}"),
        ("Upgrade to Starter", f"**{PRICING}/starter"),
        ("Upgrade for $50.00", f"**{BILLING}"),
    ):
        await scripted.tab_to(name)
        await scripted.page.keyboard.press("Enter")
        await scripted.page.wait_for_url(url)
    await scripted.page.get_by_role("status").get_by_text("You are on Starter now.").wait_for()
    assert (await served.running.desk.accounts.show(one.id)).plan_id == "starter"
