from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette

from gateway.books import audit
from gateway.edges.api.json_reply import no_such_route
from gateway.edges.dashboard.operator.app import admin_dashboard, admin_dashboard_routes
from gateway.flows.look_in import NOTE_EVERY_MS
from gateway.flows.sign_in import IDLE_MS
from tests.edges.dashboard.conftest import BILLING, Someone
from tests.edges.dashboard.forms import form, text
from tests.edges.dashboard.operator.conftest import Operating

OWNERS = ("", "/usage", "/usage/calls", "/pricing", "/invoices", "/keys", "/limits", "/webhooks", "/details")
PATHS = ("/admin", "/admin/accounts", "/admin/invoices", "/admin/audit", "/admin/find?q=x", "/admin/nothing")


async def test_nobody_comes_in_without_the_admin_token(operating: Operating, acme: Someone) -> None:
    running = operating.running
    owner = await running.parts.sign_ins.with_key(acme.key)
    assert owner is not None
    assert owner.secret is not None
    account = f"/admin/accounts/{acme.id}"
    async with running.browser(operating.app) as client:
        for wrong in ("", "an admin token for test", acme.key):
            assert (await client.post("/admin/sign-in", data={"key": wrong})).status_code in {400, 401}
        # An owner's session is none of this door's, under whichever name its cookie comes.
        for name in ("", "session", "admin-session"):
            client.cookies.clear()
            if name:
                client.cookies[name] = owner.secret
            for path in (*PATHS, account, f"{account}/as-owner", f"{account}/as-owner/usage", "/admin/calls/req_1"):
                reply = await client.get(path)
                assert reply.status_code == 303, path
                assert reply.headers["location"].startswith("/admin/sign-in"), path
            for path in ("/admin/reconcile", f"{account}/adjust", f"{account}/close", "/admin/accounts/new"):
                assert (await client.post(path, data={})).headers["location"] == "/admin/sign-in", path


async def test_an_operator_s_session_is_none_of_an_account(operating: Operating) -> None:
    async with operating.running.browser() as client:
        client.cookies["session"] = operating.client.cookies["admin-session"]
        assert (await client.get(BILLING)).headers["location"].startswith("/settings/sign-in")
    operating.running.clock.forward(milliseconds=IDLE_MS)
    assert (await operating.client.get("/admin")).status_code == 303, "and it ends"


async def test_without_a_token_the_pages_say_how_to_turn_them_on(operating: Operating) -> None:
    off = admin_dashboard(replace(operating.parts, on=False))
    async with operating.running.browser(off) as client:
        for path in (*PATHS, "/admin/sign-in"):
            reply = await client.get(path)
            assert reply.status_code == 403
            assert "GATEWAY_ADMIN_TOKEN" in reply.text
            assert "content-security-policy" in reply.headers
        assert (await client.post("/admin/sign-in", data={"key": ""})).status_code == 405


async def test_the_api_s_addresses_stay_the_api_s(operating: Operating) -> None:
    app = Starlette(routes=admin_dashboard_routes(operating.parts), exception_handlers={404: no_such_route})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway") as client:
        for path in ("/admin/v1", "/admin/v1/nothing"):
            assert (await client.get(path)).headers["content-type"] == "application/problem+json"
        assert (await client.get("/admin/v10")).status_code == 303


async def test_an_account_is_seen_as_its_owner_sees_it_and_cannot_be_changed_there(
    operating: Operating, acme: Someone
) -> None:
    home = f"/admin/accounts/{acme.id}/as-owner"
    async with operating.running.signed_in(acme) as owner:
        for path in (
            "",
            "/usage",
            "/usage/calls",
            "/pricing",
            "/invoices",
            "/keys",
            "/limits",
            "/webhooks",
            "/details",
        ):
            theirs, ours = await owner.get(f"{BILLING}{path}"), await operating.client.get(f"{home}{path}")
            assert theirs.status_code == ours.status_code == 200, path
            assert "You see this account as its owner does" in ours.text
            assert BILLING not in ours.text, "every link stays on the operator's side"
            assert 'method="post"' not in ours.text, path
            assert theirs.text.partition("<h1>")[2][:20] == ours.text.partition("<h1>")[2][:20]
    fresh = await operating.running.someone("free", "Fresh")
    first_call = await operating.page(f"/admin/accounts/{fresh.id}/as-owner")
    assert "https://api.example/api/" in first_call, "owners call where callers do"
    token = form(await operating.page("/admin/accounts/new"), "/admin/accounts/new")["form_token"]
    for path in ("/pricing/pro", "/keys", "/limits", "/webhooks", "/details", "/payment-methods", "/pricing/undo"):
        refused = await operating.client.post(f"{home}{path}", data={"form_token": token, "plan": "starter"})
        assert refused.status_code in {404, 405}, path
    assert (await operating.running.desk.accounts.show(acme.id)).plan_id == "starter"
    for nobody in ("acc_nobody", "nobody", "%7Bx%7D", "acc_" + "0" * 400):
        assert (await operating.client.get(f"/admin/accounts/{nobody}/as-owner")).status_code == 404


async def test_looking_at_an_account_is_noted_once_an_hour(operating: Operating, acme: Someone) -> None:
    async def looks() -> list[audit.AuditEntry]:
        async with operating.running.books.read() as conn:
            return [one for one in await audit.of_account(conn, acme.id) if one.action == "account.looked_at"]

    home = f"/admin/accounts/{acme.id}/as-owner"
    for path in (home, f"{home}/usage", f"{home}/nothing-there"):
        await operating.client.get(path)
    assert [one.actor for one in await looks()] == ["dashboard:admin"]
    operating.running.clock.forward(milliseconds=NOTE_EVERY_MS)
    await operating.client.get(home)
    assert len(await looks()) == 2


async def test_a_call_is_explained_whosever_it_is(operating: Operating, acme: Someone) -> None:
    called = await operating.running.used(acme, 5)
    page = text(await operating.page(f"/admin/calls/{called.facts.request_id}"))
    assert "Captured 5 credits" in page
    assert "Booked at" in page
    for nobody in ("req_" + "0" * 32, "req_1", "x"):
        assert "There is no call of this name" in await operating.page(f"/admin/calls/{nobody}", 404)


@pytest.mark.parametrize("path", ["/admin/accounts/", "/admin/"])
async def test_a_slash_too_many_leads_to_the_page(operating: Operating, path: str) -> None:
    reply = await operating.client.get(path)
    assert (reply.status_code, reply.headers["location"]) == (303, path.rstrip("/"))
