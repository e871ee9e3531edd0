"""Pay-as-you-go, its ceiling, budgets and alerts: typed, refused where they are wrong, and in the books."""

from gateway.flows.limits import LimitsView
from tests.edges.dashboard.conftest import BILLING, Someone
from tests.edges.dashboard.in_browser.conftest import Served
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab, pattern
from tests.made_up import CREDIT

LIMITS = f"{BILLING}/limits"
BUDGET = f"{LIMITS}/budgets/{{subject_id}}"


async def limits_of(served: Served, one: Someone) -> LimitsView:
    """As the gateway has them now."""
    return await served.running.desk.limits.get(one.id)


@drives(f"GET {LIMITS}", f"POST {LIMITS}/spend")
async def test_pay_as_you_go_gets_a_ceiling_and_is_switched_off(served: Served, tab: Tab) -> None:
    one = await served.running.someone("pro")
    await served.enter(tab, one)
    await tab.open(LIMITS)
    await tab.type("Your own ceiling, in dollars a period", "as much as it takes")
    await tab.press("Save")
    await tab.says("Nothing was changed.")
    await tab.was_refused(422)
    await tab.faultless()
    await tab.type("Your own ceiling, in dollars a period", "$1,250.50")
    await tab.press("Save")
    await tab.says("Saved. It counts from the next call on.")
    assert (await limits_of(served, one)).own.max_cents == 125_050
    assert (await limits_of(served, one)).ceiling.by == "account"
    await tab.tick("Go on beyond the included credits", off=True)
    await tab.press("Save")
    await tab.says("Pay-as-you-go is switched off.")
    await tab.faultless()
    assert (await limits_of(served, one)).ceiling.by == "pay_as_you_go_off"
    await tab.open(BILLING)
    await tab.says("Pay-as-you-go is switched off: calls are refused")


@drives(f"POST {LIMITS}/budgets", f"GET {BUDGET}", f"POST {BUDGET}", f"GET {BUDGET}/remove", f"POST {BUDGET}/remove")
async def test_a_budget_is_set_changed_and_removed(served: Served, tab: Tab) -> None:
    one = await served.running.someone("pro")
    worker = await served.running.desk.keys.create(one.id, name="Worker")
    await served.enter(tab, one)
    await tab.open(LIMITS)
    await tab.press("Set budget")
    await tab.says("Choose a project or a key.")
    await tab.was_refused(422)
    await tab.faultless()
    await tab.page.get_by_label("Project or key").select_option(worker.id)
    await tab.type("Credits a period", "2,500.5")
    await tab.press("Set budget")
    await tab.says("The budget is 2,500.5 credits a billing period")
    (budget,) = (await limits_of(served, one)).budgets
    assert (budget.of_key, budget.limit_millicredits) == (True, 2_500_500)
    await tab.page.get_by_role("link", name=pattern("Change the budget of Worker")).click()
    await tab.type("Credits a billing period", "-1")
    await tab.press("Save")
    await tab.page.get_by_role("alert").wait_for()
    await tab.was_refused(422)
    await tab.faultless()
    await tab.type("Credits a billing period", "10")
    await tab.press("Save")
    await tab.says("is 10 credits now.")
    assert (await limits_of(served, one)).budgets[0].limit_millicredits == 10 * CREDIT
    await tab.page.get_by_role("link", name=pattern("Remove the budget of Worker")).click()
    await tab.press("Remove the budget")
    await tab.says("There is no budget for it any more.")
    assert (await limits_of(served, one)).budgets == ()


async def test_a_project_gets_a_budget_too(served: Served, tab: Tab) -> None:
    one = await served.running.someone("pro")
    await served.enter(tab, one)
    await tab.open(LIMITS)
    await tab.page.get_by_label("Project or key").select_option(one.account.project_id)
    await tab.type("Credits a period", "7")
    await tab.press("Set budget")
    await tab.says("The budget is 7 credits a billing period")
    await tab.faultless()
    (budget,) = (await limits_of(served, one)).budgets
    assert budget.subject_id == one.account.project_id


@drives(f"POST {LIMITS}/alerts")
async def test_alerts_are_chosen_and_added(served: Served, tab: Tab) -> None:
    one = await served.running.someone("pro")
    await served.enter(tab, one)
    await tab.open(LIMITS)
    await tab.type("Another percentage", "plenty")
    await tab.press("Save alerts")
    await tab.says("Write a whole number of percent")
    await tab.was_refused(422)
    await tab.faultless()
    wrong = tab.page.get_by_label("Another percentage")
    assert await wrong.input_value() == "plenty"
    assert await wrong.get_attribute("aria-invalid") == "true"
    await tab.type("Another percentage", "33")
    await tab.type("Another cost, in dollars", "12.50")
    await tab.press("Save alerts")
    await tab.says("Saved. You hear of what is crossed from now on.")
    own = (await limits_of(served, one)).own
    assert 33 in own.alert_percents
    assert own.alert_cents == (1_250,)
    await tab.tick("33%", off=True)
    await tab.press("Save alerts")
    await tab.says("Saved. You hear of what is crossed from now on.")
    assert 33 not in (await limits_of(served, one)).own.alert_percents


async def test_an_operator_s_raise_is_told_to_the_owner(served: Served, scripted: Tab) -> None:
    await served.enter(scripted, "pro")
    await scripted.open(LIMITS)
    await scripted.says("Raised for a while.")
