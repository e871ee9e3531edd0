from tests.edges.dashboard.conftest import BILLING, Running


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
