from gateway.domain.instant import DAY_MS
from gateway.edges.dashboard.formats import lasting
from tests.edges.dashboard.conftest import BILLING, Running, Someone


async def test_the_landing_page_says_how_the_credits_stand(running: Running) -> None:
    one = await running.someone("starter", "Bright Invoices", days_ago=40)
    await running.used_often(one, [500] * 9)
    async with running.signed_in(one) as client:
        page = await client.get(BILLING)
    assert page.status_code == 200, page.text
    assert "Bright Invoices" in page.text
    assert "of 40,000 included credits left" in page.text
    assert "Upgrade now" in page.text


async def test_a_new_account_is_told_how_to_make_its_first_call(running: Running) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        page = await client.get(BILLING)
    assert "No calls yet" in page.text
    assert "curl http://gateway/api/v2/parse/upload" in page.text


async def test_a_sandbox_sees_the_month_that_its_own_clock_shows(running: Running) -> None:
    opened = await running.desk.accounts.create("Months", "starter", sandbox=True)
    await running.rebuild(opened.id)
    key = await running.desk.keys.create(opened.id)
    one = Someone(opened, key.id, key.secret)
    there = await running.desk.own_clocks.advance(opened.id, by_ms=40 * DAY_MS)
    period = (await running.desk.accounts.show(opened.id)).period
    async with running.signed_in(one) as client:
        plan = await client.get(BILLING)
        invoices = await client.get(f"{BILLING}/invoices")
        used = await client.get(f"{BILLING}/usage")
    left_ms = period.end_ms - there.now_ms
    assert 0 < left_ms < 31 * DAY_MS
    assert f"{lasting(left_ms)} left" in plan.text
    assert there.issued[0].number in invoices.text
    assert used.status_code == 200, used.text
