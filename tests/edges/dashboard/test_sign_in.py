from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response

from gateway.books import audit, sessions
from gateway.edges.dashboard.app import behind_door, dashboard, front_page
from gateway.edges.dashboard.browser import own_path
from gateway.edges.dashboard.door import ACCOUNT_DOOR, ADMIN_DOOR, Door
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.flows.sign_in import IDLE_MS, LONGEST_MS, RENEW_AFTER_MS
from gateway.ledger.faults import StoreUnavailable
from tests.edges.dashboard.conftest import BILLING, PEPPER, Running
from tests.edges.dashboard.forms import form, text

SIGN_IN = "/settings/sign-in"
HOUR_MS = 3_600_000


async def test_who_is_not_signed_in_is_led_to_the_way_in_and_back(running: Running) -> None:
    one = await running.someone()
    async with running.browser() as client:
        sent_away = await client.get(f"{BILLING}/pricing?from=mail")
        way_in = sent_away.headers["location"]
        page = await client.get(way_in)
        fields = form(page.text, SIGN_IN)
        looked_up = await client.head(f"{BILLING}/pricing?from=mail")
        back = await client.post(SIGN_IN, data={**fields, "key": one.key})
    assert sent_away.status_code == 303
    assert (looked_up.status_code, looked_up.headers["location"]) == (303, way_in)
    assert "set-cookie" not in looked_up.headers
    assert back.headers["location"] == f"{BILLING}/pricing?from=mail"


@pytest.mark.parametrize(
    "wished",
    [
        "https://evil.example/settings",
        "//evil.example",
        "/settings//evil.example",
        "/settings/../admin",
        "/settings\\evil",
        "/settingsx",
        "javascript:alert(1)",
        "/settings/\r\nset-cookie: a=b",
        "/settings/" + "a" * 3000,
        "",
    ],
)
def test_signing_in_leads_to_own_pages_only(wished: str) -> None:
    assert own_path(wished, below="/settings", otherwise=BILLING) == BILLING


@pytest.mark.parametrize(("door", "home"), [(ACCOUNT_DOOR, "/settings/billing"), (ADMIN_DOOR, "/admin")])
async def test_a_browser_at_the_bare_address_is_led_to_the_pages_and_a_program_told_nothing(
    door: Door, home: str
) -> None:
    transport = httpx.ASGITransport(Starlette(routes=[front_page(door)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://bare.example") as client:
        browser = await client.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        program = await client.get("/")
    assert (browser.status_code, browser.headers["location"]) == (303, home)
    assert program.status_code == 404


async def test_every_wrong_key_gets_the_same_answer(running: Running) -> None:
    one = await running.someone()
    revoked = await running.desk.keys.create(one.id)
    await running.desk.keys.revoke(revoked.id)
    answers = set()
    async with running.browser() as client:
        mistyped = one.key[:-1] + ("a" if one.key[-1] != "a" else "b")
        for key in (revoked.secret, mistyped, "cgw_live_" + "0" * 38, "no key at all"):
            reply = await client.post(SIGN_IN, data={"key": key, "next": BILLING})
            assert reply.status_code == 401
            assert key not in reply.text
            answers.add(text(reply.text))
    assert len(answers) == 1


async def test_attempts_to_guess_are_counted_and_paused(running: Running) -> None:
    one = await running.someone()
    async with running.browser() as client:
        for _ in range(10):
            assert (await client.post(SIGN_IN, data={"key": "guess"})).status_code == 401
        paused = await client.post(SIGN_IN, data={"key": one.key})
        assert paused.status_code == 429
        running.clock.forward(seconds=int(paused.headers["retry-after"]) + 1)
        assert (await client.post(SIGN_IN, data={"key": one.key})).status_code == 303


async def test_the_books_never_see_what_the_browser_holds(running: Running) -> None:
    one = await running.someone()
    async with running.signed_in(one) as client:
        held = client.cookies["session"]
        async with running.books.read() as conn:
            assert await sessions.find(conn, held.encode()) is None
            assert await sessions.count(conn, one.id) == 1
            (entry,) = [each for each in await audit.of_account(conn, one.id) if each.action == "session.begin"]
        assert entry.actor == f"dashboard:{one.key_id}"


async def test_a_revoked_key_ends_its_sessions_at_once(running: Running) -> None:
    one = await running.someone()
    async with running.signed_in(one) as client:
        assert (await client.get(BILLING)).status_code == 200
        await running.desk.keys.revoke(one.key_id)
        assert (await client.get(BILLING)).status_code == 303


async def test_a_session_ends_unused_or_after_a_week(running: Running) -> None:
    one = await running.someone("free")
    async with running.signed_in(one) as client:
        running.clock.forward(milliseconds=IDLE_MS)
        assert (await client.get(BILLING)).status_code == 303
    async with running.signed_in(one) as client:
        for _ in range(LONGEST_MS // (IDLE_MS - HOUR_MS)):
            running.clock.forward(milliseconds=IDLE_MS - HOUR_MS)
            assert (await client.get(SIGN_IN)).status_code == 303, "still signed in"
        running.clock.forward(milliseconds=IDLE_MS - HOUR_MS)
        assert (await client.get(BILLING)).headers["location"].startswith(SIGN_IN)


async def test_what_the_browser_holds_changes_while_it_is_used(running: Running) -> None:
    one = await running.someone()
    async with running.signed_in(one) as client:
        first = client.cookies["session"]
        running.clock.forward(milliseconds=RENEW_AFTER_MS)
        await client.get(BILLING)
        second = client.cookies["session"]
        assert second != first
        async with running.browser() as late:
            late.cookies["session"] = first
            assert (await late.get(BILLING)).status_code == 200, "a page's other requests are still under way"
            running.clock.forward(minutes=2)
            assert (await late.get(BILLING)).status_code == 303
        assert (await client.get(BILLING)).status_code == 200


async def test_signing_out_ends_the_session_and_everywhere_ends_all(running: Running) -> None:
    one = await running.someone()
    async with running.signed_in(one) as here, running.signed_in(one) as there, running.signed_in(one) as elsewhere:
        page = (await here.get(BILLING)).text
        held = here.cookies["session"]
        left = await here.post("/settings/sign-out", data=form(page, "/settings/sign-out"))
        assert left.headers["location"] == SIGN_IN
        assert "session" not in here.cookies
        here.cookies["session"] = held
        assert (await here.get(BILLING)).status_code == 303
        page = (await there.get(BILLING)).text
        await there.post("/settings/sign-out-everywhere", data=form(page, "/settings/sign-out-everywhere"))
        assert (await elsewhere.get(BILLING)).status_code == 303


async def test_a_form_of_another_site_or_without_its_token_changes_nothing(running: Running) -> None:
    one = await running.someone()
    async with running.signed_in(one) as client:
        fields = form((await client.get(BILLING)).text, "/settings/sign-out")
        path = "/settings/sign-out"
        foreign = [
            {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
            {"origin": "http://gateway", "sec-fetch-site": "same-site"},
            {"origin": "null", "sec-fetch-site": "same-origin"},
        ]
        for headers in foreign:
            assert (await client.post(path, data=fields, headers=headers)).status_code == 403
        assert (await client.post(path, data={"sure": "yes"})).status_code == 403
        assert (await client.post(path, data={"form_token": "é"})).status_code == 403
        async with running.signed_in(await running.someone()) as other:
            theirs = form((await other.get(BILLING)).text, path)
        assert (await client.post(path, data=theirs)).status_code == 403
        del client.headers["origin"], client.headers["sec-fetch-site"]
        assert (await client.post(path, data=fields)).status_code == 403
        assert (await client.get(BILLING)).status_code == 200, "still signed in"


async def test_behind_https_the_cookie_is_kept_to_this_very_host(running: Running) -> None:
    one = await running.someone()
    app = dashboard(replace(running.parts, public_url="https://billing.example"))
    async with running.browser(app, "https://billing.example") as client:
        cookie = (await client.post(SIGN_IN, data={"key": one.key})).headers["set-cookie"]
    assert cookie.startswith("__Host-session=")
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "domain" not in cookie.lower()


async def test_a_trusted_proxy_signs_people_in_and_nobody_else_does(running: Running) -> None:
    one = await running.someone(name="By proxy")
    vouched = {"x-forwarded-account": one.id}
    believing = replace(running.parts, trusted=lambda peer: peer == "127.0.0.1", trusted_header="X-Forwarded-Account")
    async with running.browser(dashboard(believing)) as client:
        page = await client.get(BILLING, headers=vouched)
        assert "By proxy" in page.text
        assert (await client.get(BILLING, headers={"x-forwarded-account": "acc_unknown"})).status_code == 303
        assert (await client.get(BILLING, headers=[("x-forwarded-account", one.id)] * 2)).status_code == 303
    doubting = replace(believing, trusted=lambda _: False)
    async with running.browser(dashboard(doubting)) as client:
        assert (await client.get(BILLING, headers=vouched)).status_code == 303


async def test_a_key_for_some_products_may_look_and_change_nothing(running: Running) -> None:
    one = await running.someone("starter", products=frozenset({"parse"}))
    async with running.signed_in(one) as client:
        page = await client.get(BILLING)
        assert "Read only" in page.text
        token = form(page.text, "/settings/sign-out")["form_token"]
        refused = await client.post(f"{BILLING}/pricing/pro", data={"form_token": token, "plan": "starter"})
    assert refused.status_code == 403
    assert "limited to some products" in refused.text


async def test_an_admin_token_is_no_way_into_an_account_and_a_key_none_into_operations(running: Running) -> None:
    one = await running.someone()
    sign_ins = running.parts.sign_ins
    assert await sign_ins.with_admin_token(one.key) is None
    admin = await sign_ins.with_admin_token("an admin token for tests")
    assert admin is not None
    assert admin.secret is not None
    async with running.browser() as client:
        client.cookies["session"] = admin.secret
        assert (await client.get(BILLING)).status_code == 303
    other = type(sign_ins)(books=running.books, pepper=PEPPER, clock=running.clock, admin_token="another")
    assert await other.find(admin.secret) is None, "another token ends the sessions of the one before"


async def test_operators_have_a_door_of_their_own(running: Running) -> None:
    pages = Pages(running.parts, ADMIN_DOOR)

    async def look(visit: Visit) -> Response:
        return visit.page("fault.html", title="Accounts", what="", todo=visit.visitor.actor, number=200)

    app = behind_door(pages, [pages.get("/admin", look)])
    one = await running.someone()
    async with running.browser(app) as client:
        assert (await client.get("/admin")).headers["location"] == "/admin/sign-in?next=%2Fadmin"
        assert (await client.post("/admin/sign-in", data={"key": one.key})).status_code == 401
    async with running.operator(app) as client:
        page = await client.get("/admin")
        assert "dashboard:admin" in page.text
        assert set(client.cookies) == {"admin-session"}
        gone = await client.post("/admin/sign-out", data=form(page.text, "/admin/sign-out"))
        assert gone.headers["location"] == "/admin/sign-in"
        assert (await client.get("/admin")).status_code == 303


async def test_a_page_while_the_stores_are_away_says_so(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await running.someone()

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    async with running.signed_in(one) as client:
        monkeypatch.setattr(type(running.desk.accounts), "show", away)
        page = await client.get(BILLING)
    assert page.status_code == 503
    assert "Nothing is lost" in page.text


async def test_a_broken_page_names_its_request_and_hides_the_reason(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await running.someone()

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret detail")

    async with running.signed_in(one) as client:
        monkeypatch.setattr(type(running.desk.accounts), "show", broken)
        page = await client.get(BILLING)
    assert page.status_code == 500
    assert "req_" in page.text
    assert "secret detail" not in page.text


async def test_every_answer_holds_the_browser_to_our_pages(running: Running) -> None:
    one = await running.someone()
    async with running.signed_in(one) as client:
        pages = [await client.get(path) for path in (BILLING, "/settings", SIGN_IN, "/settings/nothing", "/settings/")]
        style = (await client.get(BILLING)).text.split('rel="stylesheet" href="')[1].split('"')[0]
        asset = await client.get(style)
    for reply in (*pages, asset):
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert {reply.headers["cache-control"] for reply in pages} == {"no-store"}
    assert "immutable" in asset.headers["cache-control"]
