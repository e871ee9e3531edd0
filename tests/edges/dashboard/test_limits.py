"""The page of limits: each form changes its own part, says which field is wrong, and acts on the visitor's account."""

from datetime import timedelta

import httpx

from gateway.domain.instant import epoch_ms
from gateway.domain.limits import ALERT_PERCENTS, SpendLimits
from gateway.flows.alerts import AlertWatch
from tests.edges.dashboard.conftest import BILLING, Running, Someone
from tests.edges.dashboard.forms import form, text

LIMITS = f"{BILLING}/limits"
SPEND = f"{LIMITS}/spend"
ALERTS = f"{LIMITS}/alerts"
BUDGETS = f"{LIMITS}/budgets"


async def token_of(client: httpx.AsyncClient) -> dict[str, str]:
    page = (await client.get(LIMITS)).text
    return {"form_token": form(page, "/settings/sign-out")["form_token"]}


async def own(running: Running, one: Someone) -> SpendLimits:
    return (await running.desk.limits.get(one.id)).own


async def test_pay_as_you_go_has_a_ceiling_of_ones_own_and_is_switched_off(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    await running.used(one, 48_000)
    async with running.signed_in(one) as client:
        page = text((await client.get(LIMITS)).text)
        assert "$10.00 of $500.00" in page.replace("&#36;", "$")
        token = await token_of(client)
        sent = {**token, "pay_as_you_go": "on", "max_dollars": "1,20.5"}
        wrong = await client.post(SPEND, data=sent)
        assert wrong.status_code == 422
        assert "Write an amount in dollars" in wrong.text
        assert 'value="1,20.5"' in wrong.text
        assert "At most $10,000,000" in (await client.post(SPEND, data={**sent, "max_dollars": "99999999"})).text
        for _ in range(2):
            assert (await client.post(SPEND, data={**sent, "max_dollars": "$120.50"})).headers["location"] == LIMITS
        page = (await client.get(LIMITS)).text
        assert "Your own ceiling counts. The plan&#39;s is $500.00." in page or "The plan's is $500.00" in page
        assert 'value="120.50"' in page
        await client.post(SPEND, data={**token, "max_dollars": ""})
        assert "Switched off: calls are refused" in (await client.get(LIMITS)).text
    assert await own(running, one) == SpendLimits(pay_as_you_go=False)


async def test_alerts_are_ticked_and_added_and_leave_the_ceiling_alone(running: Running) -> None:
    one = await running.someone("starter")
    await running.desk.limits.change(one.id, lambda _: SpendLimits(max_cents=7_000, alert_cents=(500,)))
    async with running.signed_in(one) as client:
        token = await token_of(client)
        more = {**token, "percent": ["50", "100"], "dollars": ["5"], "more_percent": "75 %", "more_dollars": "12.50"}
        await client.post(ALERTS, data=more)
        assert await own(running, one) == SpendLimits(
            max_cents=7_000, alert_percents=(50, 75, 100), alert_cents=(500, 1_250)
        )
        for field, typed, says in (
            ("more_percent", "0", "From 1 to 1000 percent."),
            ("more_percent", "many", "Write a whole number of percent"),
            ("more_dollars", "0", "From $0.01 to $10,000,000."),
            ("percent", "9999", "From 1 to 1000 percent."),
        ):
            reply = await client.post(ALERTS, data={**more, field: typed})
            assert reply.status_code == 422
            assert says in reply.text
            assert 'value="12.50"' in reply.text
        many = [str(one) for one in range(1, 22)]
        assert "At most 20 of them" in (await client.post(ALERTS, data={**more, "percent": many})).text
        await client.post(ALERTS, data={**token, "more_percent": "", "more_dollars": ""})
    assert await own(running, one) == SpendLimits(max_cents=7_000, alert_percents=(), alert_cents=())


async def test_a_budget_is_set_changed_and_removed_and_shows_what_was_used(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    await running.used(one, 800)
    key_budget = f"{BUDGETS}/{one.key_id}"
    async with running.signed_in(one) as client:
        token = await token_of(client)
        for subject, typed, says in (
            ("", "5", "Choose a project or a key."),
            ("prj_none", "5", "not there any more"),
            (one.key_id, "lots", "Write a number of credits"),
            (one.key_id, "9" * 15, "A budget is 0 credits or more"),
        ):
            reply = await client.post(BUDGETS, data={**token, "subject": subject, "credits": typed})
            assert reply.status_code == 422
            assert says in reply.text
            assert f'value="{typed}"' in reply.text
        for _ in range(2):
            await client.post(BUDGETS, data={**token, "subject": one.key_id, "credits": "1,000.5"})
        page = text((await client.get(LIMITS)).text)
        assert "800 of 1,000.5 credits used" in page
        assert "200.5 left" in page
        edit = (await client.get(key_budget)).text
        assert 'value="1000.5"' in edit
        assert (await client.post(key_budget, data={**token, "credits": "x"})).status_code == 422
        await client.post(key_budget, data=form(edit, key_budget) | {"credits": "800"})
        assert "Used up" in (await client.get(LIMITS)).text
        asked = (await client.get(f"{key_budget}/remove")).text
        for _ in range(2):
            await client.post(f"{key_budget}/remove", data=form(asked, f"{key_budget}/remove"))
        assert (await client.get(key_budget)).status_code == 404
    assert (await running.desk.limits.get(one.id)).budgets == ()


async def test_a_raise_in_force_and_the_alerts_of_this_period_are_shown(running: Running) -> None:
    one = await running.someone("starter", days_ago=3)
    await running.used(one, 41_000)
    start_ms = (await running.desk.limits.get(one.id)).period.start_ms
    await AlertWatch(books=running.books, clock=running.clock)([(one.id, start_ms)])
    until_ms = epoch_ms(running.clock() + timedelta(days=2))
    await running.desk.limits.raise_ceiling(one.id, until_ms=until_ms, reason="a big month", max_cents=90_000)
    async with running.signed_in(one) as client:
        page = text((await client.get(LIMITS)).text)
    assert "Raised for a while." in page
    assert "$900.00" in page
    assert "All included credits were used" in page
    assert "80% of the included credits were used" in page
    assert "600 a minute" in page


async def test_a_plan_without_pay_as_you_go_says_so_and_a_contract_without_a_ceiling_too(running: Running) -> None:
    free, contract = await running.someone("free"), await running.someone("enterprise")
    async with running.signed_in(free) as client:
        page = (await client.get(LIMITS)).text
        assert "Not in your plan" in page
        assert SPEND not in page
    async with running.signed_in(contract) as client:
        assert (await client.get(LIMITS)).status_code == 200


async def test_the_subjects_of_others_are_not_there_and_members_only_look(running: Running) -> None:
    theirs, mine = await running.someone("starter"), await running.someone("starter")
    await running.desk.limits.set_budget(theirs.id, theirs.key_id, 5_000)
    async with running.signed_in(mine) as client:
        token = await token_of(client)
        for subject in (theirs.key_id, theirs.account.project_id):
            added = await client.post(BUDGETS, data={**token, "subject": subject, "credits": "1"})
            assert added.status_code == 422
            for path in (f"{BUDGETS}/{subject}", f"{BUDGETS}/{subject}/remove"):
                assert (await client.get(path)).status_code == 404
                assert (await client.post(path, data={**token, "credits": "1"})).status_code == 404
    assert len((await running.desk.limits.get(theirs.id)).budgets) == 1
    member = await running.someone("starter", products=frozenset({"parse"}))
    await running.desk.limits.set_budget(member.id, member.key_id, 5_000)
    async with running.signed_in(member) as client:
        page = (await client.get(LIMITS)).text
        assert "0 of 5 credits used" in text(page)
        assert "<form" not in page.partition("<main")[2]
        assert f"{BUDGETS}/" not in page
        token = await token_of(client)
        one = f"{BUDGETS}/{member.key_id}"
        for path in (SPEND, ALERTS, BUDGETS, one, f"{one}/remove"):
            assert (await client.post(path, data=token)).status_code == 403
        assert (await client.get(one)).status_code == 403
    assert (await own(running, member)).alert_percents == ALERT_PERCENTS
