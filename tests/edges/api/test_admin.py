"""What an operator sees and changes through the admin API."""

from typing import Any

import httpx
import pytest

from gateway.domain.plan import Plan
from gateway.edges.api.admin import admin_api
from tests.edges.api.conftest import ADMIN_TOKEN, Running
from tests.made_up import PLANS

ACCOUNTS = "/admin/v1/accounts"


async def opened(operator: httpx.AsyncClient, name: str = "Acme", plan: str = "starter") -> dict[str, Any]:
    answer = await operator.post(ACCOUNTS, json={"name": name, "plan": plan})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {ADMIN_TOKEN}x"},
        {"authorization": f"Basic {ADMIN_TOKEN}"},
    ],
)
async def test_every_operation_is_closed_to_whoever_has_no_token(running: Running, headers: dict[str, str]) -> None:
    async with running.operator("") as operator:
        document = (await operator.get("/admin/v1/openapi.json")).json()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if operation["security"]:
                    running.clock.forward(minutes=1)  # who guesses faster must wait
                    answer = await operator.request(method, path.replace("{", "").replace("}", ""), headers=headers)
                    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_admin_token"), path
                    assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_accounts_key_does_not_open_the_admin_api(running: Running) -> None:
    _, secret = await running.open_account()
    async with running.operator(secret) as caller:
        assert (await caller.get(ACCOUNTS)).status_code == 401


async def test_without_a_token_the_admin_api_is_off_and_says_so(running: Running) -> None:
    parts = running.admin_parts
    off = type(parts)(
        readiness=parts.readiness,
        registry=parts.registry,
        desk=parts.desk,
        token=None,
        reconcile=parts.reconcile,
        lag=parts.lag,
        open_holds=parts.open_holds,
    )
    transport = httpx.ASGITransport(app=admin_api(off))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as operator:
        for token in ("", ADMIN_TOKEN):
            answer = await operator.get(ACCOUNTS, headers={"authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.json()["code"]) == (404, "admin_api_off")
        assert (await operator.get("/healthz")).status_code == 200
        assert (await operator.get("/metrics")).status_code == 200


async def test_accounts_are_found_by_name_id_plan_and_status_page_by_page(running: Running) -> None:
    async with running.operator() as operator:
        made = [await opened(operator, name, plan) for name, plan in (("Anvil & 50% Co", "free"), ("Anchor", "pro"))]
        made += [await opened(operator, f"Bolt {number}", "starter") for number in range(3)]
        await operator.post(f"{ACCOUNTS}/{made[4]['id']}/close", json={"reason": "asked to"})

        async def found(**query: Any) -> list[str]:
            ids: list[str] = []
            while True:
                answer = (await operator.get(ACCOUNTS, params=query)).json()
                ids += [one["id"] for one in answer["items"]]
                if answer["next_page_token"] is None:
                    return ids
                query["page_token"] = answer["next_page_token"]

        ids = [one["id"] for one in made]
        assert await found() == await found(page_size=2) == ids
        assert await found(name="an", page_size=1) == ids[:2]
        assert await found(name="50%") == ids[:1]
        assert await found(name=ids[2]) == [ids[2]]
        assert await found(plan="starter") == ids[2:4]
        assert await found(status="closed") == [ids[4]]
        assert await found(name="nobody") == []
        foreign = (await operator.get(ACCOUNTS, params={"page_size": 2})).json()["next_page_token"]
        assert (await operator.get("/admin/v1/invoices", params={"page_token": foreign})).status_code == 422


async def test_an_account_is_opened_changed_corrected_and_closed(running: Running) -> None:
    async with running.operator() as operator:
        account = await opened(operator)
        path = f"{ACCOUNTS}/{account['id']}"
        project = (await operator.post(f"{path}/projects", json={"name": "scans"})).json()
        adjusted = (await operator.post(f"{path}/adjust", json={"credits": -0.5, "reason": "a slip"})).json()
        shown = (await operator.get(path)).json()
        assert adjusted["granted_credits"] == 39_999.5
        assert shown["credits"]["included"] == 39_999.5
        assert [one["name"] for one in shown["projects"]] == ["default", "scans"]
        assert project in shown["projects"]
        # What an owner would have to wait for, an operator may do at once.
        down = await operator.put(f"{path}/subscription", json={"plan": "free", "when": "now", "reason": "agreed"})
        assert down.json()["change"]["takes_effect"] == "now"
        closed = await operator.post(f"{path}/close", json={"reason": "moved away"})
        assert closed.json() == {"id": account["id"], "status": "closed"}
        assert (await operator.post(f"{path}/projects", json={"name": "late"})).status_code == 409


async def test_a_key_works_at_once_until_it_is_revoked(running: Running) -> None:
    async with running.operator() as operator:
        account = await opened(operator)
        path = f"{ACCOUNTS}/{account['id']}/keys"
        key = (await operator.post(path, json={"name": "first", "products": ["parse"]})).json()
        assert (await operator.get(path)).json()["items"][0]["products"] == ["parse"]
        async with running.caller(key["secret"]) as caller:
            assert (await caller.get("/api/v1/billing/subscription")).status_code == 200
            new = (await operator.post(f"{path}/{key['id']}/rotate", json={"overlap_s": 60})).json()
            await operator.post(f"{path}/{key['id']}/revoke")
            assert (await caller.get("/api/v1/billing/subscription")).status_code == 401
        async with running.caller(new["secret"]) as caller:
            assert (await caller.get("/api/v1/billing/subscription")).status_code == 200


async def test_an_invoice_is_credited_paid_and_then_can_not_be_void(running: Running) -> None:
    async with running.operator() as operator:
        account = await opened(operator)
        (invoice,) = (await operator.get("/admin/v1/invoices")).json()["items"]
        path = f"/admin/v1/invoices/{invoice['number']}"
        credited = (await operator.post(f"{path}/credit", json={"amount_cents": 1_000, "reason": "goodwill"})).json()
        paid = (await operator.post(f"{path}/pay", json={"reason": "by transfer"})).json()
        void = await operator.post(f"{path}/void", json={"reason": "a mistake"})
        by_account = (await operator.get(f"{ACCOUNTS}/{account['id']}/invoices", params={"status": "paid"})).json()
        assert credited["credit_note"]["amount_cents"] == 1_000
        assert (paid["status"], paid["paid_cents"], paid["due_cents"]) == ("paid", 4_000, 0)
        assert (void.status_code, void.json()["code"]) == (409, "not_possible")
        assert [one["id"] for one in by_account["items"]] == [invoice["id"]]
        assert (await operator.get(f"{path}.pdf")).content.startswith(b"%PDF")


async def test_who_did_what_stands_in_the_audit_log_newest_first(running: Running) -> None:
    async with running.operator() as operator:
        account, other = await opened(operator), await opened(operator, "Other")
        path = f"{ACCOUNTS}/{account['id']}"
        await operator.post(
            f"{path}/adjust", json={"credits": 5, "reason": "sorry"}, headers={"x-actor": "eve@example.com"}
        )
        query: dict[str, Any] = {"account_id": account["id"], "page_size": 1}
        first = (await operator.get("/admin/v1/audit", params=query)).json()
        second = (
            await operator.get("/admin/v1/audit", params={**query, "page_token": first["next_page_token"]})
        ).json()
        assert [(one["action"], one["actor"]) for one in first["items"]] == [
            ("account.adjust", "admin:eve@example.com")
        ]
        assert first["items"][0]["detail"]["reason"] == "sorry"
        assert [(one["action"], one["actor"]) for one in second["items"]] == [("account.create", "admin")]
        everything = (await operator.get("/admin/v1/audit")).json()["items"]
        assert {one["account_id"] for one in everything} == {account["id"], other["id"]}
        assert (await operator.get("/admin/v1/audit", params={"account_id": "acc_none"})).status_code == 404


@pytest.mark.parametrize("actor", ["", "x" * 65, "eve\x7f", "a b", "é"])
async def test_a_name_that_is_none_is_refused_before_anything_is_done(running: Running, actor: str) -> None:
    async with running.operator() as operator:
        answer = await operator.post(
            ACCOUNTS, json={"name": "Acme", "plan": "free"}, headers=[(b"x-actor", actor.encode())]
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        assert (await operator.get(ACCOUNTS)).json()["items"] == []


async def test_an_operators_repeat_opens_one_account(running: Running) -> None:
    async with running.operator() as operator:
        wish = {"name": "Acme", "plan": "free"}
        answers = [await operator.post(ACCOUNTS, json=wish, headers={"idempotency-key": "import-7"}) for _ in range(2)]
        assert answers[0].json() == answers[1].json()
        assert len((await operator.get(ACCOUNTS)).json()["items"]) == 1


async def test_books_and_redis_agree_and_the_state_tells_what_is_sold(running: Running) -> None:
    await running.open_account()
    async with running.operator() as operator:
        for _ in range(2):
            await opened(operator)
        page = (await operator.get("/admin/v1/reconcile", params={"page_size": 2})).json()
        rest = (
            await operator.get("/admin/v1/reconcile", params={"page_size": 2, "page_token": page["next_page_token"]})
        ).json()
        assert [(one["ok"], one["accounts"]) for one in (page, rest)] == [(True, 2), (True, 1)]
        assert rest["next_page_token"] is None
        assert (await operator.get("/admin/v1/reconcile", params={"account_id": "acc_none"})).status_code == 404
        state = (await operator.get("/admin/v1/state")).json()
    assert state["plans"] == list(PLANS)
    assert state["lag"]["records"] == 0


async def test_the_tax_is_the_operators_to_set_and_the_owners_to_see(running: Running) -> None:
    account, secret = await running.open_account()
    async with running.operator() as operator, running.caller(secret) as caller:
        wish = {"name": "Acme GmbH", "tax_name": "VAT", "tax_parts_per_million": 190_000}
        put = await operator.put(f"{ACCOUNTS}/{account.id}/details", json=wish)
        refused = await caller.put("/api/v1/billing/details", json={"name": "Acme", "tax_parts_per_million": 0})
        kept = (await caller.put("/api/v1/billing/details", json={"name": "Acme SE"})).json()
        nameless = await operator.put(f"{ACCOUNTS}/{account.id}/details", json={"tax_parts_per_million": 190_000})
    assert put.status_code == 200
    assert refused.status_code == 422
    assert (kept["name"], kept["tax_name"], kept["tax_parts_per_million"]) == ("Acme SE", "VAT", 190_000)
    assert (nameless.status_code, nameless.json()["code"]) == (409, "not_possible")


async def test_a_contracts_mistakes_are_told_as_those_of_its_file(running: Running) -> None:
    account, _ = await running.open_account()
    async with running.operator() as operator:
        terms = {"price_usd": 10.001, "committed_credits": 5, "overage": {"mode": "refuse"}, "perod": "annual"}
        first = await operator.post(f"{ACCOUNTS}/{account.id}/contract", json={"terms": terms, "reason": "signed"})
        priced = {"price_usd": 10, "committed_credits": 5, "overage": {"usd_per_1000_credits": 1.1}}
        second = await operator.post(f"{ACCOUNTS}/{account.id}/contract", json={"terms": priced, "reason": "signed"})
    told = {tuple(one["loc"]): one["msg"] for one in first.json()["detail"]}
    assert told["body", "terms", "perod"] == "is not known, did you mean 'period'?"
    assert set(told) == {("body", "terms", "price_usd"), ("body", "terms", "perod")}
    assert [tuple(one["loc"]) for one in second.json()["detail"]] == [
        ("body", "terms", "overage", "usd_per_1000_credits")
    ]


async def test_a_contract_is_agreed_amended_and_ended(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    enterprise = Plan("enterprise", "Enterprise", 0, 0, contract=True)
    monkeypatch.setitem(PLANS, "enterprise", enterprise)
    account, secret = await running.open_account("free")
    path = f"{ACCOUNTS}/{account.id}/contract"
    terms = {"price_usd": 999.5, "committed_credits": 1_000_000, "rollover": 0.5, "net_days": 30}
    async with running.operator() as operator:
        agreed = await operator.post(path, json={"terms": terms, "reason": "signed"})
        assert agreed.status_code == 201, agreed.text
        assert agreed.json()["invoice"]["total_cents"] == 99_950
        assert agreed.json()["versions"][0]["terms"]["committed_credits"] == 1_000_000
        amended = (await operator.post(path, json={"terms": {**terms, "price_usd": 1_100}, "reason": "more"})).json()
        assert [one["state"] for one in amended["versions"]] == ["planned", "in_force"]
        ended = (await operator.post(f"{path}/end", json={"reason": "left"})).json()
        assert ended["versions"][0]["agreed_by"] == "admin"
        async with running.caller(secret) as caller:
            refused = await caller.put("/api/v1/billing/subscription", json={"plan": "free"})
            assert (refused.status_code, refused.json()["code"]) == (409, "not_possible")


async def test_a_sandbox_is_walked_on_by_its_clock_and_a_real_account_is_not(running: Running) -> None:
    async with running.operator() as operator:
        answer = await operator.post(ACCOUNTS, json={"name": "Months", "plan": "starter", "sandbox": True})
        sandbox, real = f"{ACCOUNTS}/{answer.json()['id']}", f"{ACCOUNTS}/{(await opened(operator))['id']}"
        before = (await operator.get(f"{sandbox}/clock")).json()
        assert (before["sandbox"], before["ahead_s"], before["issued"]) == (True, 0, [])
        there = (await operator.post(f"{sandbox}/clock", json={"advance_s": 40 * 86_400})).json()
        assert (there["ahead_s"], len(there["issued"])) == (40 * 86_400, 1)
        shown = (await operator.get(sandbox)).json()
        assert shown["sandbox"] is True
        assert shown["period"]["start"] < there["now"] < shown["period"]["end"]
        on = await operator.post(f"{sandbox}/clock", json={"to": shown["period"]["end"]})
        assert on.json()["now"] == shown["period"]["end"]
        entries = (await operator.get("/admin/v1/audit", params={"account_id": answer.json()["id"]})).json()
        assert "account.clock" in {one["action"] for one in entries["items"]}
        for wrong in ({}, {"advance_s": 1, "to": there["now"]}, {"advance_s": 0}, {"to": "2027-01-01T00:00:00"}):
            assert (await operator.post(f"{sandbox}/clock", json=wrong)).status_code == 422, wrong
        refused = await operator.post(f"{real}/clock", json={"advance_s": 1})
        assert (refused.status_code, refused.json()["code"]) == (409, "not_possible")
        assert "is a real one" in refused.json()["detail"]
