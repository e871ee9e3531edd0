"""What an operator does, by hand: every change with its reason, refused where it is wrong, and what the books say."""

from datetime import timedelta

from gateway.domain.terms import AccountStatus
from tests.edges.dashboard.conftest import Someone
from tests.edges.dashboard.in_browser.conftest import Operations
from tests.edges.dashboard.in_browser.driven import drives
from tests.edges.dashboard.in_browser.tab import Tab

ONE = "/admin/accounts/{account_id}"
INVOICE = "/admin/invoices/{invoice_id}"


def both(*paths: str) -> list[str]:
    """Each page and the form on it."""
    return [f"{method} {path}" for path in paths for method in ("GET", "POST")]


async def last_of_audit(operations: Operations, one: Someone) -> tuple[str, str]:
    """The newest entry: what, and why."""
    entries, _ = await operations.running.desk.audit.page(one.id, before=None, size=1)
    (_, entry) = entries[0]
    return entry.action, str(entry.detail.get("reason", ""))


@drives("GET /admin/find", f"GET {ONE}", *both(f"{ONE}/adjust"))
async def test_credits_are_given_to_an_account_that_was_searched_for(operations: Operations, tab: Tab) -> None:
    one = await operations.running.someone("starter", "Lost & Found")
    await operations.operate(tab)
    await tab.open("/admin")
    await tab.page.get_by_label("Find by id, number or name").fill("Lost & Fo")
    await tab.page.keyboard.press("Enter")
    await tab.page.get_by_role("link", name="Lost & Found").last.click()
    await tab.follow("Adjust credits")
    await tab.type("Credits", "a few")
    await tab.type("Reason", "an outage")
    await tab.press("Book it")
    await tab.says("Nothing was changed.")
    await tab.was_refused(422)
    await tab.faultless()
    await tab.type("Credits", "2,500")
    await tab.press("Book it")
    await tab.says("Booked 2,500 credits.")
    await tab.faultless()
    report = await operations.running.desk.reports.of_account(one.id, operations.running.clock())
    assert report.credits.included_millicredits == 42_500_000
    assert (await last_of_audit(operations, one))[1] == "an outage"


@drives(*both("/admin/accounts/new"), "GET /admin/accounts")
async def test_an_account_is_opened_and_found_in_the_list(operations: Operations, tab: Tab) -> None:
    name = f"Opened {'with' if tab.scripted else 'without'} scripts"
    await operations.operate(tab)
    await tab.open("/admin/accounts")
    await tab.follow("Open an account")
    await tab.type("Name", name)
    await tab.page.get_by_label("Plan", exact=True).select_option("starter")
    await tab.press("Open the account")
    await tab.says(f"{name} is open, on Starter.")
    await tab.open("/admin/accounts")
    await tab.type("Name or id", name)
    await tab.press("Show")
    await tab.page.get_by_role("link", name=name).wait_for()
    (found,), _ = await operations.running.desk.accounts.page(name=name, size=2)
    assert found.plan_id == "starter"


@drives(*both(f"{ONE}/plan"))
async def test_a_plan_is_changed_with_a_reason(operations: Operations, tab: Tab) -> None:
    one = await operations.running.someone("pro", "Changing")
    await operations.operate(tab)
    await tab.open(f"/admin/accounts/{one.id}")
    await tab.follow("Change the plan")
    await tab.page.get_by_label("Plan", exact=True).select_option("starter")
    await tab.press("Show what it means")
    await tab.faultless()
    await tab.type("Reason", "asked by phone")
    await tab.press("Change to Starter")
    await tab.says("The change to Starter waits for")
    await tab.faultless()
    assert (await operations.running.desk.accounts.show(one.id)).pending_plan_id == "starter"
    assert (await last_of_audit(operations, one))[1] == "asked by phone"


@drives(*both(f"{ONE}/raise", f"{ONE}/end-raise"))
async def test_a_ceiling_is_raised_for_a_while_and_lowered_again(operations: Operations, tab: Tab) -> None:
    one, limits = await operations.running.someone("pro", "Busy"), operations.running.desk.limits
    await operations.operate(tab)
    await tab.open(f"/admin/accounts/{one.id}")
    await tab.follow("Raise the ceiling")
    await tab.type("Ceiling in dollars a period", "9,000")
    await tab.type("Until the end of (UTC)", "2020-01-01")
    await tab.type("Reason", "a big month")
    await tab.press("Raise it")
    await tab.says("Nothing was changed.")
    await tab.was_refused(422)
    await tab.faultless()
    await tab.type("Until the end of (UTC)", f"{operations.running.clock() + timedelta(days=5):%Y-%m-%d}")
    await tab.press("Raise it")
    await tab.says("The ceiling is $9,000.00 until")
    raised = (await limits.get(one.id)).raised
    assert raised is not None
    assert raised.max_cents == 900_000
    await tab.follow("End the raise")
    await tab.type("Reason", "it is over")
    await tab.press("End it now")
    await tab.says("The plan's ceiling counts again.")
    assert (await limits.get(one.id)).raised is None


@drives(f"GET {ONE}/contract", *both(f"{ONE}/contract/agree", f"{ONE}/contract/end"))
async def test_a_contract_is_agreed_and_ended(operations: Operations, tab: Tab) -> None:
    one, contracts = await operations.running.someone("starter", "Signing"), operations.running.desk.contracts
    await operations.operate(tab)
    await tab.open(f"/admin/accounts/{one.id}/contract")
    await tab.follow("Agree a contract")
    terms = tab.page.get_by_label("Terms, as in a contract's file")
    right = await terms.input_value()
    await terms.fill(right.replace("monthly", "weekly"))
    await tab.type("Reason", "MSA-7")
    await tab.press("Agree it")
    await tab.says("Line 1")
    await tab.was_refused(422)
    await tab.faultless()
    await terms.fill(right)
    await tab.press("Agree it")
    await tab.says("Version 1 is agreed, from")
    await tab.faultless()
    agreed = (await contracts.show(one.id)).in_force
    assert agreed is not None
    assert agreed.reason == "MSA-7"
    await tab.follow("End it")
    await tab.type("Reason", "bought by another")
    await tab.press("End the contract")
    await tab.says("The contract ends on")
    assert [version.version for version, _ in (await contracts.show(one.id)).versions] == [2, 1]


@drives(*both(f"{ONE}/issue"))
async def test_due_invoices_are_issued(operations: Operations, tab: Tab) -> None:
    one, invoices = (
        await operations.running.someone("starter", "Overtaken", days_ago=40),
        operations.running.desk.invoices,
    )
    await operations.operate(tab)
    await tab.open(f"/admin/accounts/{one.id}")
    await tab.follow("Issue due invoices")
    await tab.press("Issue them now")
    await tab.says("Issued 2")
    issued = [view for view in await invoices.of_account(one.id) if view.status == "issued"]
    assert len(issued) == 2, "the opening's and the second period's"


@drives(*both(f"{ONE}/keys/{{key_id}}/revoke", f"{ONE}/close"))
async def test_a_key_is_revoked_and_an_account_closed(operations: Operations, tab: Tab) -> None:
    one, running = await operations.running.someone("starter", "Leaving"), operations.running
    await operations.operate(tab)
    await tab.open(f"/admin/accounts/{one.id}")
    await tab.follow(f"Revoke {one.key_id}")
    await tab.press("Revoke it now")
    await tab.says("The key is revoked.")
    assert await running.parts.sign_ins.with_key(one.key) is None
    await tab.follow("Close the account")
    await tab.type("Reason", "asked for")
    await tab.press("Close the account for good")
    await tab.says("The account is closed.")
    await tab.faultless()
    assert (await running.desk.accounts.show(one.id)).account.status is AccountStatus.CLOSED


@drives("GET /admin/invoices", f"GET {INVOICE}", *both(f"{INVOICE}/credit", f"{INVOICE}/pay"))
async def test_an_invoice_is_credited_in_part_and_marked_as_paid(operations: Operations, tab: Tab) -> None:
    invoice_id = await its_invoice(operations)
    await operations.operate(tab)
    await tab.open("/admin/invoices")
    await tab.page.get_by_role("row").get_by_role("link").first.click()
    await tab.page.wait_for_url(f"**/admin/invoices/{invoice_id}")
    await tab.follow("Credit note")
    await tab.type("Amount in dollars", "1,000")
    await tab.type("Reason", "a bad day")
    await tab.press("Issue the credit note")
    await tab.says("Nothing was changed.")
    await tab.was_refused(422)
    await tab.faultless()
    await tab.type("Amount in dollars", "12.50")
    await tab.press("Issue the credit note")
    await tab.says("of $12.50 is issued.")
    await tab.faultless()
    await tab.follow("Mark as paid")
    await tab.type("Reason", "transfer 17")
    await tab.press("Mark as paid")
    await tab.says("is paid.")
    found = await operations.running.desk.invoices.find(invoice_id)
    assert (found.status, found.credited_cents, found.paid_cents) == ("paid", 1_250, 3_750)


@drives(*both(f"{INVOICE}/uncollectible"))
async def test_an_invoice_is_given_up_on(operations: Operations, tab: Tab) -> None:
    invoice_id = await its_invoice(operations)
    await operations.operate(tab)
    await tab.open(f"/admin/invoices/{invoice_id}")
    await tab.follow("Give up on it")
    await tab.type("Reason", "gone")
    await tab.press("Give up on the invoice")
    await tab.says("is uncollectible.")
    assert (await operations.running.desk.invoices.find(invoice_id)).status == "uncollectible"


@drives(*both(f"{INVOICE}/void"))
async def test_an_invoice_is_voided(operations: Operations, tab: Tab) -> None:
    invoice_id = await its_invoice(operations)
    await operations.operate(tab)
    await tab.open(f"/admin/invoices/{invoice_id}")
    await tab.follow("Void")
    await tab.type("Reason", "of nobody")
    await tab.press("Void the invoice")
    await tab.says("is void.")
    await tab.faultless()
    found = await operations.running.desk.invoices.find(invoice_id)
    assert (found.status, found.due_cents) == ("void", 0)


async def its_invoice(operations: Operations) -> str:
    """Of an account that was opened now."""
    one = await operations.running.someone("starter", "Invoiced")
    (found,) = [view for view in await operations.running.desk.invoices.of_account(one.id) if view.status != "draft"]
    return found.id


@drives(f"GET {ONE}/as-owner", f"GET {ONE}/as-owner/{{rest:path}}")
async def test_an_operator_sees_all_that_the_owner_does_and_changes_nothing(operations: Operations, tab: Tab) -> None:
    one = operations.people["billed"]
    await operations.operate(tab)
    await tab.open(f"/admin/accounts/{one.id}")
    await tab.follow("Open as its owner sees it")
    await tab.says("You see this account as its owner does")
    for section in ("Pricing", "Usage", "Invoices", "API keys", "Limits and alerts", "Webhooks"):
        await tab.page.get_by_role("navigation", name="Billing").get_by_role("link", name=section).click()
        await tab.page.get_by_role("heading", level=1, name=section).wait_for()
        assert await tab.page.locator("form[method=post]").count() == 0, section
    await tab.follow("Back to operations")
    await tab.page.wait_for_url(f"**/admin/accounts/{one.id}")
    entries, _ = await operations.running.desk.audit.page(one.id, before=None, size=20)
    assert any("look" in entry.action for _, entry in entries), "that they looked is in the audit log"


@drives("POST /admin/reconcile", "GET /admin/audit", f"GET {ONE}/audit")
async def test_books_and_redis_are_compared_and_the_audit_log_is_read(operations: Operations, tab: Tab) -> None:
    assert operations.parts is not None
    await operations.operate(tab)
    await tab.open("/admin")
    await tab.press("Compare now")
    await tab.says("Books and Redis are being compared.")
    await operations.parts.runs.turn()
    await tab.open("/admin")
    await tab.says("They agree")
    await tab.page.get_by_role("navigation", name="Operations").get_by_role("link", name="Audit log").click()
    await tab.page.get_by_role("heading", level=1, name="Audit log").wait_for()
    await tab.page.get_by_role("row").get_by_role("link").first.click()
    await tab.page.get_by_role("region", name="Latest entries of the audit log").wait_for()
    await tab.page.get_by_role("main").get_by_role("link", name="Audit log").click()
    await tab.says("of this account, the newest first")
