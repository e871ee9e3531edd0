"""Webhook endpoints, from the first to the last thing done to one, and what was sent to it."""

from gateway.books.webhook_endpoints import Endpoint
from gateway.domain.webhook import DeliveryStatus
from tests.edges.dashboard.conftest import BILLING, Someone
from tests.edges.dashboard.in_browser.conftest import Served
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab

HOOKS = f"{BILLING}/webhooks"
ONE = f"{HOOKS}/{{endpoint_id}}"
URL = "https://hooks.example/in"


async def only(served: Served, one: Someone) -> Endpoint:
    """The account's one endpoint."""
    (found,) = await served.running.desk.webhooks.of_account(one.id)
    return found


@drives(f"GET {HOOKS}", f"GET {HOOKS}/new", f"POST {HOOKS}", f"GET {ONE}/edit", f"POST {ONE}/edit")
async def test_an_endpoint_is_made_and_changed(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    await served.enter(tab, one)
    await tab.open(HOOKS)
    await tab.follow("New endpoint", first=True)
    await tab.type("Address", "http://127.0.0.1/in")
    await tab.tick("Only what is ticked")
    await tab.press("Make endpoint")
    await tab.says("Nothing was changed.")
    await tab.was_refused(422)
    await tab.faultless()
    await tab.type("Address", URL)
    await tab.tick("An invoice got its number")
    await tab.press("Make endpoint")
    await tab.says("Copy it now.")
    assert (await tab.page.locator(".secret code").inner_text()).startswith("whsec_")
    await tab.faultless()
    assert (await only(served, one)).event_types == frozenset({"invoice.issued"})
    await tab.follow("I have copied it")
    await tab.follow(URL)
    await tab.follow("Edit")
    await tab.type("Description", "Our ledger")
    await tab.tick("Everything, also what later versions add")
    await tab.press("Save")
    await tab.says("Saved. What happens from now on goes there.")
    await tab.faultless()
    changed = await only(served, one)
    assert (changed.description, changed.event_types) == ("Our ledger", None)


@drives(
    f"GET {ONE}",
    f"POST {ONE}/disable",
    f"POST {ONE}/enable",
    f"GET {ONE}/rotate",
    f"POST {ONE}/rotate",
    f"GET {ONE}/remove",
    f"POST {ONE}/remove",
)
async def test_an_endpoint_goes_off_and_on_gets_a_new_secret_and_ends(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    made = await served.running.desk.webhooks.create(one.id, URL)
    await served.enter(tab, one)
    await tab.open(f"{HOOKS}/{made.endpoint.id}")
    await tab.press("Switch off")
    await tab.says("It is off: nothing is sent to it.")
    await tab.faultless()
    assert (await only(served, one)).disabled_ms is not None
    await tab.press("Switch on")
    await tab.says("It is on.")
    assert (await only(served, one)).disabled_ms is None
    await tab.follow("Rotate secret")
    await tab.tick("1 hour")
    await tab.press("Make the new secret")
    await tab.says("The old one signs too for 1 hour.")
    assert await tab.page.locator(".secret code").inner_text() != made.secret
    assert (await only(served, one)).previous_until_ms is not None
    await tab.follow("I have copied it")
    await tab.says("Old secret signs too")
    await tab.faultless()
    await tab.follow("Remove")
    await tab.press("Remove it")
    await tab.says("was removed.")
    await tab.faultless()
    assert await served.running.desk.webhooks.of_account(one.id) == []


@drives(f"POST {ONE}/test", f"GET {ONE}/deliveries/{{delivery_id}}", f"POST {ONE}/deliveries/{{delivery_id}}/replay")
async def test_a_test_event_is_sent_looked_into_and_sent_again(served: Served, tab: Tab) -> None:
    one = await served.running.someone("free")
    made = await served.running.desk.webhooks.create(one.id, URL)
    await served.enter(tab, one)
    await tab.open(f"{HOOKS}/{made.endpoint.id}")
    await tab.press("Send a test event")
    await tab.says("A test event is on its way.")
    await served.running.deliver_webhooks(503, b"busy")
    await tab.page.get_by_role("row").get_by_role("link").first.click()
    await tab.says("Answered 503")
    await tab.press("Send again")
    await tab.says("It is sent again: same id, same bytes.")
    await tab.faultless()
    (delivery,) = await served.running.desk.webhooks.deliveries(made.endpoint.id, account_id=one.id)
    assert delivery.status is DeliveryStatus.WAITING
    await served.running.deliver_webhooks(200)
    await tab.page.reload()
    await tab.says("Answered 200")


@drives(f"POST {ONE}/replay")
async def test_what_failed_is_found_and_sent_again_together(served: Served, tab: Tab) -> None:
    one, webhooks = await served.running.someone("free"), served.running.desk.webhooks
    made = await webhooks.create(one.id, URL)
    await webhooks.send_test(made.endpoint.id)
    for _ in range(20):
        await served.running.deliver_webhooks(500)
        served.running.clock.forward(hours=6)
        (failed,) = await webhooks.deliveries(made.endpoint.id, account_id=one.id)
        if failed.status is DeliveryStatus.FAILED:
            break
    await served.enter(tab, one)
    await tab.open(f"{HOOKS}/{made.endpoint.id}")
    await tab.follow("Delivered")
    await tab.says("None of these")
    await tab.follow("Failed")
    await tab.page.get_by_label("Send again what failed").select_option("30d")
    await tab.press("Send again")
    await tab.says("1 delivery is sent again.")
    await tab.faultless()
    (again,) = await webhooks.deliveries(made.endpoint.id, account_id=one.id)
    assert again.status is DeliveryStatus.WAITING
