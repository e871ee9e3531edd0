"""An account sees its own usage, exact, and nobody else's."""

from decimal import Decimal

import httpx
import orjson
import pytest

from gateway.books import usage
from gateway.books.faults import BooksUnavailable
from gateway.domain.instant import epoch_ms
from gateway.flows.terms import current_terms
from tests.edges.api.conftest import Running
from tests.flows.calls import call, hold
from tests.made_up import CREDIT, PLANS, event


async def use(running: Running, account_id: str) -> None:
    """Two calls of 20 credits, and one that still holds 100."""
    terms = await current_terms(running.books, PLANS, account_id, running.clock())
    assert terms is not None
    await call(running.ledger, terms, 1)
    await call(running.ledger, terms, 2)
    await hold(running.ledger, terms, 3)


def opened_ms(running: Running) -> int:
    """An account's first period begins when it is opened, and the clock stands still."""
    return epoch_ms(running.clock())


async def test_an_account_sees_what_it_used_and_what_is_left(running: Running) -> None:
    opened, secret = await running.open_account()
    await use(running, opened.id)
    async with running.caller(secret) as caller:
        reply = await caller.get(f"/api/v1/organizations/{opened.id}/usage")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-request-id"].startswith("req_")
    said = reply.json()
    assert said["account_id"] == opened.id
    assert said["credits"] == {"included": 40_000, "used": 40, "held": 100, "remaining": 39_860, "pay_as_you_go": 0}
    assert said["buckets"] == [{"product": "parse", "mode": "agentic", "calls": 2, "units": 4, "credits": 40}]
    assert said["live"] is True


async def test_the_fields_of_the_vendors_usage_and_plan_are_there(running: Running) -> None:
    opened, secret = await running.open_account()
    await use(running, opened.id)
    async with running.caller(secret) as caller:
        said = (await caller.get(f"/api/v1/organizations/{opened.id}/usage")).json()
    plan, used, period = said["plan"], said["usage"], said["period"]
    assert (plan["id"], plan["name"], plan["plan_frequency"]) == ("starter", "Starter", "MONTHLY")
    assert plan["limits"] == {
        "allow_pay_as_you_go": True,
        "subscription_cost_usd": 50,
        "max_monthly_invoice_total_usd": 500,
        "max_concurrent_parse_jobs_other": None,
        "mfa_enabled": False,
        "sso_enabled": False,
    }
    assert plan["recurring_credits"][0]["credit_amount"] == 40_000
    assert plan["current_billing_period"] == {"start_date": period["start"], "end_date": period["end"]}
    assert plan["is_payment_failed"] is False
    granted = used["active_free_credits_usage"][0]
    assert (granted["starting_balance"], granted["remaining_balance"]) == (40_000, 39_860)
    assert used["active_alerts"] == []


async def test_amounts_are_exact_decimal_numbers(running: Running) -> None:
    opened, secret = await running.open_account()
    terms = await current_terms(running.books, PLANS, opened.id, running.clock())
    assert terms is not None
    await call(running.ledger, terms, 1, cost=1)
    await call(running.ledger, terms, 2, cost=40_000 * CREDIT + 299)
    async with running.caller(secret) as caller:
        body = (await caller.get(f"/api/v1/organizations/{opened.id}/usage")).text
    assert '"used":40000.3,"held":0,"remaining":0,"pay_as_you_go":0.3' in body
    assert orjson.loads(body)["usage"]["active_alerts"] == ["free_credits_exhausted"]


async def test_a_project_sees_its_own_part_of_the_accounts_usage(running: Running) -> None:
    opened, secret = await running.open_account()
    await use(running, opened.id)
    booked = event(opened.id, 9, project_id=opened.project_id, period_start_ms=opened_ms(running))
    async with running.books.begin() as conn:
        await usage.book(conn, [booked])
    async with running.caller(secret) as caller:
        said = (await caller.get(f"/api/v1/projects/{opened.project_id}/usage")).json()
    # Two of the three calls were booked under another project of the account.
    assert said["project"] == {"id": opened.project_id, "used": 20}
    assert said["buckets"] == [{"product": "parse", "mode": "agentic", "calls": 1, "units": 2, "credits": 20}]
    assert said["credits"]["used"] == 60


async def test_usage_is_told_apart_as_asked(running: Running) -> None:
    opened, secret = await running.open_account()
    await use(running, opened.id)
    path = f"/api/v1/organizations/{opened.id}/usage"
    async with running.caller(secret) as caller:
        said = (await caller.get(path, params={"by": "project,day"})).json()
        wrong = await caller.get(path, params={"by": "colour"})
    (bucket,) = said["buckets"]
    assert list(bucket) == ["project", "day", "calls", "units", "credits"]
    assert bucket["day"] == running.clock().date().isoformat()
    assert sum(Decimal(one["credits"]) for one in said["buckets"]) == said["credits"]["used"]
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_request")
    assert "'colour' is none of them" in wrong.json()["detail"]


@pytest.mark.parametrize("kind", ["organizations", "projects"])
async def test_other_accounts_ids_are_not_there(running: Running, kind: str) -> None:
    _, secret = await running.open_account()
    other, _ = await running.open_account()
    async with running.caller(secret) as caller:
        theirs = await caller.get(f"/api/v1/{kind}/{other.id if kind == 'organizations' else other.project_id}/usage")
        nobodys = await caller.get(f"/api/v1/{kind}/made_up/usage")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.headers["content-type"] == "application/problem+json"
    same = ("type", "title", "status", "detail", "code", "retryable")
    assert [theirs.json()[name] for name in same] == [nobodys.json()[name] for name in same]


async def test_another_organization_in_the_query_is_not_there(running: Running) -> None:
    opened, secret = await running.open_account()
    path = f"/api/v1/projects/{opened.project_id}/usage"
    async with running.caller(secret) as caller:
        own = await caller.get(path, params={"organization_id": opened.id, "get_current_invoice_total": "true"})
        other = await caller.get(path, params={"organization_id": "acc_other"})
    assert (own.status_code, other.status_code) == (200, 404)


@pytest.mark.parametrize("sent", [{}, {"authorization": "Bearer nonsense"}, {"authorization": "Basic QTpC"}])
async def test_without_a_good_key_nothing_is_told(running: Running, sent: dict[str, str]) -> None:
    opened, _ = await running.open_account()
    async with running.caller() as caller:
        reply = await caller.get(f"/api/v1/organizations/{opened.id}/usage", headers=sent)
    assert (reply.status_code, reply.json()["code"]) == (401, "invalid_api_key")
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_of_two_keys_none_is_picked(running: Running) -> None:
    opened, secret = await running.open_account()
    twice = httpx.Headers([("authorization", f"Bearer {secret}"), ("authorization", f"Bearer {secret}")])
    async with running.caller() as caller:
        reply = await caller.get(f"/api/v1/organizations/{opened.id}/usage", headers=twice)
    assert reply.status_code == 401


async def test_a_method_that_is_not_there_is_a_problem_document(running: Running) -> None:
    opened, secret = await running.open_account()
    async with running.caller(secret) as caller:
        reply = await caller.post(f"/api/v1/organizations/{opened.id}/usage")
    assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")
    assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD"}


async def test_with_the_books_away_the_answer_is_a_retryable_503(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, secret = await running.open_account()

    async def away(*_: object, **__: object) -> None:
        raise BooksUnavailable("they have gone")

    monkeypatch.setattr("gateway.books.reports.usage_of_period", away)
    async with running.caller(secret) as caller:
        reply = await caller.get(f"/api/v1/organizations/{opened.id}/usage")
    assert (reply.status_code, reply.json()["code"], reply.json()["retryable"]) == (503, "books_unavailable", True)
    assert "gone" not in reply.text


async def test_with_redis_away_the_booked_usage_is_told_as_not_live(running: Running) -> None:
    opened, secret = await running.open_account()
    await running.store.close()
    async with running.caller(secret) as caller:
        reply = await caller.get(f"/api/v1/organizations/{opened.id}/usage")
    assert (reply.status_code, reply.json()["live"]) == (200, False)


async def test_a_failure_of_ours_tells_the_caller_no_more_than_its_request_id(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, secret = await running.open_account()

    async def breaks(*_: object, **__: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr("gateway.books.reports.usage_of_period", breaks)
    async with running.caller(secret) as caller:
        reply = await caller.get(f"/api/v1/organizations/{opened.id}/usage")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert "secret detail" not in reply.text
