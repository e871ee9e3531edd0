"""An account gets the receipt of each of its calls, and of nobody else's."""

from dataclasses import replace

import pytest

from gateway.books import refusals
from gateway.domain.terms import Terms
from gateway.domain.usage import Settlement
from gateway.flows.relay import Relay
from gateway.flows.terms import current_terms
from gateway.ledger.outbox import Outbox
from gateway.wire.call_facts import settlement_json
from tests.edges.api.conftest import Running
from tests.flows.calls import call, hold
from tests.flows.test_explain import REFUSAL, request_id
from tests.made_up import CREDIT, PLANS

PATH = "/api/v1/usage/events/"


async def terms_of(running: Running, account_id: str) -> Terms:
    terms = await current_terms(running.books, PLANS, account_id, running.clock())
    assert terms is not None
    return terms


async def relay(running: Running) -> None:
    await Relay(outbox=Outbox(running.store), books=running.books, consumer="one", block_ms=0).drain_once()


async def test_a_receipt_names_quote_hold_evidence_versions_capture_and_booking(running: Running) -> None:
    opened, secret = await running.open_account()
    terms = await terms_of(running, opened.id)
    hold_id = await hold(running.ledger, terms, 1)
    async with running.caller(secret) as caller:
        pending = (await caller.get(PATH + hold_id)).json()
        evidence = settlement_json(Settlement(2, "poll: credits reported at /job/usage/credits"))
        await running.ledger.capture(hold_id, opened.id, cost_millicredits=20_500, cap=False, settlement=evidence)
        settled = (await caller.get(PATH + hold_id)).json()
        await relay(running)
        reply = await caller.get(PATH + hold_id)
    booked = reply.json()
    assert [one["state"] for one in (pending, settled, booked)] == ["pending", "settled", "booked"]
    assert (pending["capture"], pending["booking"], pending["credits_charged"]) == (None, None, None)
    assert pending["hold"]["expires_at"] is not None
    assert reply.headers["cache-control"] == "no-store"
    assert booked["quote"] == {
        "product": "parse",
        "mode": "agentic",
        "unit": "page",
        "expected_units": 10,
        "credits_per_unit": 10,
        "credits": 100,
        "parts": None,
    }
    assert (booked["rate_card_version"], booked["plan"]) == ("2026-11", "free")
    assert (booked["hold"]["credits"], booked["hold"]["expires_at"]) == (100, None)
    assert booked["evidence"] == {
        "source": "poll",
        "field": "/job/usage/credits",
        "text": "poll: credits reported at /job/usage/credits",
    }
    capture = booked["capture"]
    assert (capture["ending"], capture["units"], capture["credits"]) == ("captured", 2, 20.5)
    assert capture["credits_returned"] == 79.5
    assert booked["booking"]["event_id"] == booked["booking"]["ledger_transaction"] == f"{hold_id}.captured"
    assert settled | {"state": "booked", "booking": booked["booking"], "endings": booked["endings"]} == booked


async def test_a_refused_call_has_a_receipt_too(running: Running) -> None:
    opened, secret = await running.open_account()
    async with running.books.begin() as conn:
        await refusals.add(conn, [replace(REFUSAL, account_id=opened.id)])
    async with running.caller(secret) as caller:
        said = (await caller.get(PATH + REFUSAL.request_id)).json()
    assert (said["state"], said["status"], said["code"]) == ("refused", 402, "credits_exhausted")
    assert (said["quote"]["credits"], said["required_credits"], said["available_credits"]) == (100, 10, 3)


async def test_another_accounts_call_is_not_told_apart_from_none(running: Running) -> None:
    owner, _ = await running.open_account()
    _, secret = await running.open_account()
    await call(running.ledger, await terms_of(running, owner.id), 1)
    await relay(running)
    await call(running.ledger, await terms_of(running, owner.id), 2)
    same = ("type", "title", "status", "detail", "code", "retryable")
    told = []
    async with running.caller(secret) as caller:
        for path in (request_id(1), request_id(2), request_id(3), "nonsense"):
            reply = await caller.get(PATH + path)
            assert reply.status_code == 404
            told.append([reply.json()[name] for name in same])
    assert told == [told[0]] * 4
    assert told[0][4] == "no_such_call"


async def test_with_redis_away_an_unknown_call_is_a_retryable_503(running: Running) -> None:
    _, secret = await running.open_account()
    async with running.caller(secret) as caller:
        await caller.get("/api/v1/projects/x/usage")
        await running.store.close()
        reply = await caller.get(PATH + request_id(1))
    assert (reply.status_code, reply.json()["code"]) == (503, "credit_store_unavailable")


@pytest.mark.parametrize(
    ("evidence", "source", "field"),
    [
        ("follower: units counted at /result/segments/*/pages/*", "follower", "/result/segments/*/pages/*"),
        ("status 200, exact quote", "reply", None),
        ("a complete reply without a readable job id: the quote", "reply", None),
        ("the upstream never told the cost: the quote", "gateway", None),
    ],
)
async def test_evidence_says_who_saw_it_and_where(running: Running, evidence: str, source: str, field: str) -> None:
    opened, secret = await running.open_account()
    hold_id = await hold(running.ledger, await terms_of(running, opened.id), 1)
    settlement = settlement_json(Settlement(1, evidence))
    await running.ledger.capture(hold_id, opened.id, cost_millicredits=CREDIT, cap=False, settlement=settlement)
    async with running.caller(secret) as caller:
        said = (await caller.get(PATH + hold_id)).json()
    assert said["evidence"] == {"source": source, "field": field, "text": evidence}
