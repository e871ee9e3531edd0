"""Cards and what they pay: added, made the default, removed, and an invoice paid on the spot; who is invoiced."""

from tests.edges.dashboard.conftest import BILLING, Someone
from tests.edges.dashboard.in_browser.conftest import Served
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab, pattern

CARDS = f"{BILLING}/payment-methods"
INVOICES = f"{BILLING}/invoices"


async def cards_of(served: Served, one: Someone) -> list[str | None]:
    """Their last digits, the default's first."""
    return [method.last4 for method in await served.running.desk.payment_methods.of_account(one.id)]


@drives(
    f"GET {CARDS}",
    f"GET {CARDS}/add",
    f"POST {CARDS}/add",
    f"POST {CARDS}/{{method_id}}/default",
    f"GET {CARDS}/{{method_id}}/remove",
    f"POST {CARDS}/{{method_id}}/remove",
)
async def test_cards_are_added_one_is_the_default_and_one_goes(charging: Served, tab: Tab) -> None:
    one = await charging.running.someone("free")
    await charging.enter(tab, one)
    await tab.open(INVOICES)
    await tab.follow("Payment methods")
    await tab.faultless()
    for card in ("A card that pays", "A card without funds"):
        await tab.follow("Add a payment method", first=True)
        await tab.tick(card)
        await tab.press("Add this card")
        await tab.says("was added and is charged from now on.")
    assert await cards_of(charging, one) == ["9995", "4242"]
    await tab.page.get_by_role("button", name=pattern("Make default")).click()
    await tab.says("Visa ending in 4242 is charged from now on.")
    await tab.faultless()
    assert await cards_of(charging, one) == ["4242", "9995"]
    await tab.follow("Remove Visa ending in 9995")
    await tab.faultless()
    await tab.press("Remove it")
    await tab.says("Visa ending in 9995 was removed.")
    assert await cards_of(charging, one) == ["4242"]


async def test_a_card_is_added_without_a_mouse(charging: Served, scripted: Tab) -> None:
    one = await charging.running.someone("free")
    await charging.enter(scripted, one)
    await scripted.open(CARDS)
    await scripted.tab_to("Add a payment method")
    await scripted.page.keyboard.press("Enter")
    await scripted.page.wait_for_url(f"**{CARDS}/add")
    await scripted.faultless()
    await scripted.page.locator("input[value=fake_ok]").focus()
    await scripted.page.keyboard.press("ArrowDown")
    await scripted.tab_to("Add this card")
    await scripted.page.keyboard.press("Enter")
    await scripted.says("Visa ending in 0002 was added")
    assert await cards_of(charging, one) == ["0002"]


async def test_the_last_card_of_a_paid_plan_stays(charging: Served, tab: Tab) -> None:
    one = await charging.running.someone("starter")
    await charging.running.desk.payment_methods.add_fake(one.id, "fake_expired", actor="test")
    await charging.enter(tab, one)
    await tab.open(CARDS)
    await tab.follow("Remove Visa ending in 0069")
    await tab.press("Remove it")
    await tab.says("Nothing was removed: plan Starter is paid by this")
    await tab.faultless()
    assert await cards_of(charging, one) == ["0069"]


@drives(f"POST {INVOICES}/{{invoice_id}}/pay")
async def test_an_invoice_is_paid_once_a_card_has_the_money(charging: Served, tab: Tab) -> None:
    one, desk = await charging.running.someone("starter"), charging.running.desk
    await charging.enter(tab, one)
    await tab.open(INVOICES)
    await tab.says("There is no payment method yet.")
    await tab.faultless()
    await desk.payment_methods.add_fake(one.id, "fake_no_funds", actor="test")
    await tab.page.reload()
    await tab.press("Pay now")
    await tab.says("The payment failed (insufficient_funds).")
    await tab.faultless()
    await desk.payment_methods.add_fake(one.id, "fake_ok", actor="test")
    (invoice,) = [view for view in await desk.invoices.of_account(one.id) if view.status != "draft"]
    if invoice.status == "issued":
        await tab.open(f"{INVOICES}/{invoice.id}")
        await tab.press("Pay now")
        await tab.says("is paid. Thank you.")
    else:
        await tab.open(f"{INVOICES}/{invoice.id}")
    await tab.faultless()
    paid = await desk.invoices.find(invoice.id)
    assert (paid.status, paid.due_cents) == ("paid", 0)


async def test_an_invoice_is_confirmed_at_the_bank_and_paid(charging: Served, tab: Tab) -> None:
    one, desk = await charging.running.someone("starter"), charging.running.desk
    (invoice,) = [view for view in await desk.invoices.of_account(one.id) if view.status != "draft"]
    await desk.payment_methods.add_fake(one.id, "fake_3ds", actor="test")
    await charging.enter(tab, one)
    await tab.open(f"{INVOICES}/{invoice.id}")
    await tab.press("Pay now")
    await tab.says("Your bank wants you to confirm")
    await tab.faultless()
    await tab.follow("Confirm the payment")
    await tab.says("Do you want to pay $50.00")
    await tab.press("Confirm")
    await tab.page.wait_for_url(f"**{INVOICES}/{invoice.id}")
    assert (await desk.invoices.find(invoice.id)).status == "paid"
    await tab.says("Succeeded")


@drives(f"GET {BILLING}/details", f"POST {BILLING}/details")
async def test_billing_details_are_refused_where_wrong_and_stand_on_the_next_invoice(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    await served.enter(tab, one)
    await tab.open(f"{BILLING}/details")
    await tab.type("Name", "Ada & Sons <Ltd>")
    await tab.type("Address", "1 Mill Lane\nCambridge\nUK")
    await tab.type("Email for invoices", "nobody")
    await tab.press("Save")
    await tab.says("Nothing was saved.")
    await tab.was_refused(422)
    await tab.faultless()
    await tab.type("Email for invoices", "billing@ada.example")
    await tab.type("Tax id", "GB123")
    await tab.press("Save")
    await tab.says("Saved. Invoices bear this from now on")
    await tab.faultless()
    found = await served.running.desk.invoices.details(one.id)
    assert (found.name, found.address) == ("Ada & Sons <Ltd>", "1 Mill Lane\nCambridge\nUK")
    assert (found.email, found.tax_id) == ("billing@ada.example", "GB123")
    await tab.open(f"{BILLING}/pricing/starter")
    await tab.press("Upgrade for $50.00")
    await tab.open(INVOICES)
    await tab.page.get_by_role("row").get_by_role("link").first.click()
    await tab.says("Ada & Sons <Ltd>")
