"""What an account sees and changes of its billing through the API."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.domain.plan import RateLimit
from gateway.flows.terms import current_terms
from tests.edges.api.conftest import Running
from tests.flows.calls import call
from tests.made_up import CREDIT, PLANS

SUBSCRIPTION = "/api/v1/billing/subscription"
INVOICES = "/api/v1/billing/invoices"


async def issued(caller: httpx.AsyncClient) -> dict[str, Any]:
    found = (await caller.get(INVOICES, params={"status": "issued"})).json()["items"]
    return dict(found[0])


async def test_plans_tell_prices_limits_and_which_one_is_the_accounts(running: Running) -> None:
    _, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        told = (await caller.get("/api/v1/billing/plans")).json()
    plans = {plan["id"]: plan for plan in told["plans"]}
    assert list(plans) == list(PLANS)
    assert [plan["id"] for plan in told["plans"] if plan["current"]] == ["starter"]
    assert plans["starter"]["price_cents"] == 5_000
    assert plans["starter"]["included_credits"] == 40_000
    assert plans["starter"]["pay_as_you_go"] == {
        "usd_per_1000_credits": 1.25,
        "tiers": [],
        "max_cents_per_period": 50_000,
    }
    rates = {rates["product"]: rates for rates in told["rate_card"]["products"]}
    assert {mode["mode"]: mode["credits_per_unit"] for mode in rates["parse"]["modes"]}["agentic"] == 10


async def test_an_upgrade_is_invoiced_as_its_preview_said(running: Running) -> None:
    _, secret = await running.open_account("starter")
    running.clock.forward(milliseconds=1)
    async with running.caller(secret) as caller:
        preview = (await caller.post(f"{SUBSCRIPTION}/preview", json={"plan": "pro"})).json()
        changed = await caller.put(SUBSCRIPTION, json={"plan": "pro"})
        now = (await caller.get(SUBSCRIPTION)).json()
    assert preview["takes_effect"] == changed.json()["change"]["takes_effect"] == "now"
    assert preview["price"]["total_cents"] == 50_000 - 5_000  # nothing was used of what was paid for
    assert changed.json()["invoice"]["total_cents"] == preview["price"]["total_cents"]
    assert [line["amount_cents"] for line in changed.json()["invoice"]["lines"]] == [
        line["amount_cents"] for line in preview["price"]["lines"]
    ]
    assert changed.json()["subscription"] == now
    assert now["plan"]["id"] == "pro"


async def test_a_downgrade_waits_for_the_period_and_can_be_taken_back(running: Running) -> None:
    _, secret = await running.open_account("pro")
    async with running.caller(secret) as caller:
        before = (await caller.get(SUBSCRIPTION)).json()
        down = (await caller.put(SUBSCRIPTION, json={"plan": "free"})).json()
        back = (await caller.put(SUBSCRIPTION, json={"plan": "pro"})).json()
    assert (down["change"]["takes_effect"], down["invoice"]) == ("period_end", None)
    assert down["subscription"]["pending"]["plan"]["id"] == "free"
    assert down["subscription"]["pending"]["starts_at"] == before["period"]["end"]
    assert back["change"]["takes_effect"] == "stays"
    assert back["subscription"] == before


async def test_an_owner_may_not_leave_a_paid_period_before_its_end(running: Running) -> None:
    _, secret = await running.open_account("pro")
    async with running.caller(secret) as caller:
        before = (await caller.get(SUBSCRIPTION)).json()
        for path in (SUBSCRIPTION, f"{SUBSCRIPTION}/preview"):
            refused = await caller.request(
                "PUT" if path == SUBSCRIPTION else "POST", path, json={"plan": "free", "when": "now"}
            )
            assert (refused.status_code, refused.json()["code"]) == (409, "not_possible")
        assert (await caller.get(SUBSCRIPTION)).json() == before


async def test_every_mistake_in_a_body_is_told_at_once_with_the_nearest_name(running: Running) -> None:
    _, secret = await running.open_account()
    async with running.caller(secret) as caller:
        wrong = (await caller.put(SUBSCRIPTION, json={"plan": 7, "wen": "now", "when": "soon"})).json()
        unknown = (await caller.put(SUBSCRIPTION, json={"plan": "strater"})).json()
    assert wrong["code"] == "invalid_body"
    told = {tuple(one["loc"]): one["msg"] for one in wrong["detail"]}
    assert set(told) == {("body", "plan"), ("body", "wen"), ("body", "when")}
    assert told["body", "wen"] == "is not known, did you mean 'when'?"
    assert unknown["detail"][0]["msg"] == "is no plan, did you mean 'starter'?"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"plan": "pro", "plan": "free"}', 422, "is there twice"),
        (b"", 422, "is missing"),
        (b"{", 422, "is not valid JSON"),
        (b'{"plan": NaN}', 422, "is not valid JSON"),
        (b"[" * 60_000, 422, "is not valid JSON"),
        (b'{"plan": ' + b"[" * 40 + b"]" * 40 + b"}", 422, "has more than 32 levels"),
        (b'{"plan": "' + b"p" * 70_000 + b'"}', 413, "larger than 65536 bytes"),
    ],
)
async def test_a_body_that_means_nothing_or_too_much_changes_nothing(
    running: Running, body: bytes, status: int, said: str
) -> None:
    _, secret = await running.open_account()
    async with running.caller(secret) as caller:
        before = (await caller.get(SUBSCRIPTION)).json()
        answer = await caller.put(SUBSCRIPTION, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == status
        assert said in answer.text
        assert (await caller.get(SUBSCRIPTION)).json() == before


async def test_a_body_of_another_type_is_refused(running: Running) -> None:
    _, secret = await running.open_account()
    async with running.caller(secret) as caller:
        answer = await caller.put(SUBSCRIPTION, data={"plan": "pro"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_repeat_with_the_same_key_is_one_change_and_gets_the_first_answer(running: Running) -> None:
    _, secret = await running.open_account("starter")
    key = {"idempotency-key": "upgrade-1"}
    async with running.caller(secret) as caller:
        answers = await asyncio.gather(*(caller.put(SUBSCRIPTION, json={"plan": "pro"}, headers=key) for _ in range(4)))
        first = next(answer for answer in answers if answer.status_code == 200)
        assert {answer.status_code for answer in answers} <= {200, 409}
        again = await caller.put(SUBSCRIPTION, json={"plan": "pro"}, headers=key)
        other = await caller.put(SUBSCRIPTION, json={"plan": "free"}, headers=key)
        numbers = [one["number"] for one in (await caller.get(INVOICES, params={"status": "issued"})).json()["items"]]
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(numbers) == 2  # the first fee, and one upgrade


async def test_a_key_that_was_made_once_tells_its_secret_again_to_the_same_request_only(running: Running) -> None:
    _, secret = await running.open_account()
    _, stranger = await running.open_account()
    key = {"idempotency-key": "one"}
    async with running.caller(secret) as caller, running.caller(stranger) as other:
        made = (await caller.post("/api/v1/keys", json={"name": "ci"}, headers=key)).json()
        again = (await caller.post("/api/v1/keys", json={"name": "ci"}, headers=key)).json()
        theirs = (await other.post("/api/v1/keys", json={"name": "ci"}, headers=key)).json()
        assert len((await caller.get("/api/v1/keys")).json()["items"]) == 2
    assert again == made
    assert theirs["secret"] != made["secret"]
    async with running.caller(made["secret"]) as new:
        assert (await new.get(SUBSCRIPTION)).status_code == 200


@pytest.mark.parametrize(
    ("path", "first", "second"),
    [
        (SUBSCRIPTION, {"plan": "free"}, {"plan": "pro"}),
        ("/api/v1/billing/details", {"name": "Acme Ltd"}, {"name": "Other"}),
        ("/api/v1/billing/limits", {"max_cents": 100}, {"max_cents": 200}),
    ],
)
async def test_a_change_of_what_somebody_else_has_changed_is_not_made(
    running: Running, path: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    _, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        etag = {"if-match": (await caller.get(path)).headers["etag"]}
        made = await caller.put(path, json=first, headers=etag)
        stale = await caller.put(path, json=second, headers=etag)
        read = await caller.get(path)
        assert (made.status_code, stale.status_code) == (200, 412)
        assert stale.json()["code"] == "stale_edit"
        assert made.headers["etag"] == read.headers["etag"] != etag["if-match"]
        fresh = await caller.put(path, json=second, headers={"if-match": f'"nonsense", {read.headers["etag"]}'})
        assert fresh.status_code == 200


async def test_of_two_who_edit_the_same_version_at_once_one_succeeds(running: Running) -> None:
    _, secret = await running.open_account("starter")
    path = "/api/v1/billing/details"
    async with running.caller(secret) as caller:
        etag = {"if-match": (await caller.get(path)).headers["etag"]}
        answers = await asyncio.gather(*(caller.put(path, json={"name": f"Acme {n}"}, headers=etag) for n in range(6)))
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412, 412]
        winner = next(answer for answer in answers if answer.status_code == 200)
        assert (await caller.get(path)).json() == winner.json()


async def test_invoices_come_in_pages_that_miss_and_repeat_nothing(running: Running) -> None:
    _, secret = await running.open_account("free")
    async with running.caller(secret) as caller:
        for plan in ("starter", "pro"):
            running.clock.forward(milliseconds=1)
            await caller.put(SUBSCRIPTION, json={"plan": plan})
        seen: list[str] = []
        query: dict[str, Any] = {"page_size": 1}
        while True:
            page = (await caller.get(INVOICES, params=query)).json()
            seen += [one["id"] for one in page["items"]]
            if page["next_page_token"] is None:
                break
            query["page_token"] = page["next_page_token"]
        whole = [one["id"] for one in (await caller.get(INVOICES)).json()["items"]]
        assert seen == whole
        assert [one.startswith("draft_") for one in seen] == [True, False, False]
        other_list = await caller.get(INVOICES, params={**query, "status": "paid"})
        assert (other_list.status_code, other_list.json()["detail"][0]["loc"]) == (422, ["query", "page_token"])


async def test_an_issued_invoice_can_be_had_as_pdf_csv_and_json(running: Running) -> None:
    _, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        invoice = await issued(caller)
        path = f"{INVOICES}/{invoice['id']}"
        whole = (await caller.get(path)).json()
        pdf, csv, exported = [await caller.get(f"{path}.{kind}") for kind in ("pdf", "csv", "json")]
    assert {name: whole[name] for name in invoice} == invoice
    assert sum(line["amount_cents"] for line in whole["lines"]) == whole["total_cents"] == 5_000
    assert pdf.content.startswith(b"%PDF-1.7")
    assert pdf.headers["content-disposition"] == f'attachment; filename="invoice-{invoice["number"]}.pdf"'
    assert csv.text.startswith("event_id,request_id,")
    assert exported.json()["content_hash"] == whole["content_hash"]


async def test_a_draft_is_shown_and_has_no_file(running: Running) -> None:
    _, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        (draft,) = (await caller.get(INVOICES, params={"status": "draft"})).json()["items"]
        assert (await caller.get(f"{INVOICES}/{draft['id']}")).json()["status"] == "draft"
        for kind in ("pdf", "csv", "json"):
            assert (await caller.get(f"{INVOICES}/{draft['id']}.{kind}")).status_code == 400


async def test_nothing_of_another_account_is_there(running: Running) -> None:
    (theirs, their_secret), (_, secret) = await running.open_account("starter"), await running.open_account("starter")
    async with running.caller(their_secret) as other:
        invoice = await issued(other)
        (draft,) = (await other.get(INVOICES, params={"status": "draft"})).json()["items"]
        key = (await other.get("/api/v1/keys")).json()["items"][0]["id"]
        hook = (await other.post("/api/v1/billing/webhooks", json={"url": "https://example.com/hook"})).json()["id"]
    tried = [
        *(("GET", f"{INVOICES}/{name}{end}", None) for name in (invoice["id"], invoice["number"], draft["id"])
          for end in ("", ".pdf", ".csv", ".json")),
        ("POST", f"{INVOICES}/{invoice['id']}/pay-now", {}),
        ("POST", f"/api/v1/keys/{key}/rotate", {}),
        ("POST", f"/api/v1/keys/{key}/revoke", None),
        ("POST", "/api/v1/keys", {"project_id": theirs.project_id}),
        ("GET", f"/api/v1/billing/webhooks/{hook}", None),
        ("PUT", f"/api/v1/billing/webhooks/{hook}", {"url": "https://example.org"}),
        ("DELETE", f"/api/v1/billing/webhooks/{hook}", None),
        ("POST", f"/api/v1/billing/webhooks/{hook}/test", None),
        ("GET", f"/api/v1/billing/webhooks/{hook}/deliveries", None),
        ("PUT", f"/api/v1/billing/limits/budgets/{key}", {"credits": 1}),
        ("PUT", f"/api/v1/billing/limits/budgets/{theirs.project_id}", {"credits": 1}),
    ]  # fmt: skip
    async with running.caller(secret) as caller:
        for method, path, body in tried:
            answer = await caller.request(method, path, json=body)
            assert answer.status_code == 404, (method, path, answer.text)
    async with running.caller(their_secret) as other:
        assert (await other.get(f"/api/v1/billing/webhooks/{hook}")).json()["url"] == "https://example.com/hook"


async def test_a_key_for_some_products_looks_at_billing_and_changes_nothing(running: Running) -> None:
    opened, _ = await running.open_account("starter")
    restricted = (await running.keys.create(opened.id, products=frozenset({"parse"}))).secret
    async with running.caller(restricted) as caller:
        for path in (SUBSCRIPTION, INVOICES, "/api/v1/billing/limits", "/api/v1/billing/plans"):
            assert (await caller.get(path)).status_code == 200
        for method, path, body in (
            ("PUT", SUBSCRIPTION, {"plan": "free"}),
            ("PUT", "/api/v1/billing/limits", {"max_cents": 1}),
            ("PUT", "/api/v1/billing/details", {"name": "X"}),
            ("POST", "/api/v1/billing/webhooks", {"url": "https://example.com"}),
            ("POST", "/api/v1/billing/payment-methods", {}),
            ("GET", "/api/v1/keys", None),
            ("POST", "/api/v1/keys", {}),
        ):
            answer = await caller.request(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "key_not_allowed"), path


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "2200-01-01T00:00:00Z", "2027-01-01"]
)
async def test_a_key_does_not_expire_at_an_instant_that_nobody_could_show(running: Running, at: str) -> None:
    _, secret = await running.open_account()
    async with running.caller(secret) as caller:
        answer = await caller.post("/api/v1/keys", json={"expires_at": at})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "expires_at"])
        assert len((await caller.get("/api/v1/keys")).json()["items"]) == 1


async def test_a_revoked_key_is_out_at_its_next_request(running: Running) -> None:
    opened, secret = await running.open_account()
    async with running.caller(secret) as caller:
        key_id = (await caller.get("/api/v1/keys")).json()["items"][0]["id"]
        assert (await caller.post(f"/api/v1/keys/{key_id}/revoke")).json()["usable"] is False
        assert (await caller.get(SUBSCRIPTION)).status_code == 401
    assert (await running.keys.of_account(opened.id))[0].revoked_ms is not None


async def test_the_plans_limit_of_reads_holds_for_the_api_too(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"reads": RateLimit("reads", 3, 60_000), "requests": None}
    for name, plan in PLANS.items():
        changed = type(plan)(plan.id, plan.name, plan.price_cents, plan.granted_millicredits, limits)
        monkeypatch.setitem(PLANS, name, changed)
    _, secret = await running.open_account("free")
    async with running.caller(secret) as caller:
        answers = [await caller.get("/api/v1/billing/plans") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers[:3]] == ["r=2", "r=1", "r=0"]
    assert answers[3].json()["code"] == "rate_limited"
    assert 1 <= int(answers[3].headers["retry-after"]) <= 60


async def test_a_spend_limit_and_a_budget_are_told_as_they_were_set(running: Running) -> None:
    opened, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        path = "/api/v1/billing/limits"
        set_ = (await caller.put(path, json={"max_cents": 1_000, "alert_percent": [90, 50]})).json()
        budget = (await caller.put(f"{path}/budgets/{opened.project_id}", json={"credits": 12.5})).json()
        gone = (await caller.delete(f"{path}/budgets/{opened.project_id}")).json()
        off = (await caller.put(path, json={"pay_as_you_go": False})).json()
    assert (set_["max_cents"], set_["alert_percent"]) == (1_000, [50, 90])
    assert set_["ceiling"] == {"credits": 8_000, "limit": "account"}
    assert budget["budgets"] == [
        {"project_id": opened.project_id, "credits": 12.5, "used": 0, "held": 0, "remaining": 12.5}
    ]
    assert gone["budgets"] == []
    assert (off["ceiling"]["limit"], off["max_cents"]) == ("pay_as_you_go_off", None)


async def test_the_current_invoices_total_is_told_where_it_is_asked_for(running: Running) -> None:
    opened, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        path = f"/api/v1/organizations/{opened.id}/usage"
        told = (await caller.get(path, params={"get_current_invoice_total": "true"})).json()
        untold = (await caller.get(path)).json()
    assert told["usage"]["current_invoice_total_usd_cents"] == 5_000  # the next period's fee
    assert "current_invoice_total_usd_cents" not in untold["usage"]


async def test_every_change_is_in_the_audit_log_under_the_key_that_made_it(running: Running) -> None:
    opened, secret = await running.open_account("starter")
    async with running.caller(secret) as caller:
        key_id = (await caller.get("/api/v1/keys")).json()["items"][0]["id"]
        await caller.put(SUBSCRIPTION, json={"plan": "pro"})
        await caller.put("/api/v1/billing/details", json={"name": "Acme Ltd"})
        await caller.put("/api/v1/billing/limits", json={"max_cents": 1_000})
        await caller.post("/api/v1/keys", json={"name": "ci", "products": ["parse"]})
    entries, _ = await running.parts.desk.audit.page(opened.id, before=None, size=50)
    noted = {entry.action: entry for _, entry in entries if entry.actor == key_id}
    assert set(noted) == {"account.plan", "billing.details", "account.limits", "key.create"}
    assert noted["billing.details"].detail["after"]["name"] == "Acme Ltd"
    assert noted["billing.details"].detail["before"]["name"] == ""
    assert noted["key.create"].detail == {"name": "ci", "products": ["parse"], "project": opened.project_id}


async def test_a_key_that_may_not_change_the_plan_leaves_the_price_an_owner_was_told(running: Running) -> None:
    opened, secret = await running.open_account("starter")
    restricted = (await running.keys.create(opened.id, products=frozenset({"parse"}))).secret
    running.clock.forward(minutes=1)
    path = f"{SUBSCRIPTION}/preview"
    async with running.caller(secret) as owner, running.caller(restricted) as member:
        told = (await owner.post(path, json={"plan": "pro"})).json()["price"]
        # What is used since would make another price.
        terms = await current_terms(running.books, PLANS, opened.id, running.clock())
        assert terms is not None
        await call(running.ledger, terms, 1, cost=10_000 * CREDIT)
        looked = (await member.post(path, json={"plan": "pro"})).json()["price"]
        changed = (await owner.put(SUBSCRIPTION, json={"plan": "pro"})).json()
    assert looked["total_cents"] > told["total_cents"]
    assert looked["honoured_until"] is None
    assert changed["invoice"]["total_cents"] == told["total_cents"]
