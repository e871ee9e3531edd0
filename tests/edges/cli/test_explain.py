"""`gateway explain`: every call of every account, in sentences that a person can check."""

from dataclasses import replace

from gateway.books import refusals
from gateway.domain.usage import Settlement
from gateway.flows.relay import Relay
from gateway.stores import Stores
from gateway.wire.call_facts import settlement_json
from tests.edges.cli.conftest import Terminal
from tests.flows.calls import hold
from tests.flows.test_explain import REFUSAL, request_id


def test_a_charge_is_explained_step_by_step_before_and_after_it_is_booked(terminal: Terminal) -> None:
    account_id = terminal.account()

    async def charged(stores: Stores) -> None:
        terms = await stores.billing.terms_of(account_id, stores.clock())
        assert terms is not None
        await stores.rebuild(account_id)
        hold_id = await hold(stores.ledger, terms, 1)
        evidence = settlement_json(Settlement(2, "poll: credits reported at /job/usage/credits"))
        await stores.ledger.capture(hold_id, account_id, cost_millicredits=20_500, cap=False, settlement=evidence)

    async def booked(stores: Stores) -> None:
        await Relay(outbox=stores.outbox, books=stores.books, consumer="one", block_ms=0).drain_once()

    terminal.beside(charged)
    waiting = terminal("explain", request_id(1))
    assert f"Event {request_id(1)}.captured is in the outbox and not booked yet." in waiting.out
    terminal.beside(booked)
    said = terminal("explain", request_id(1))
    lines = said.out.splitlines()
    assert said.code == 0
    assert lines[0] == (
        f"1. {account_id} called parse.upload of parse with key key_1 of project prj_1, on plan free, priced by rate "
        "card 2026-11."
    )
    assert lines[1] == "2. Quote: 10 pages of parse agentic expected, at 10 credits a page: 100 credits."
    assert lines[2].startswith("3. Hold: 100 credits at 20")
    assert lines[3].startswith("4. Captured 20.5 credits at 20")
    assert lines[3].endswith(
        "(2 pages at 10 would be 20; evidence: poll: credits reported at /job/usage/credits); 79.5 of the hold went "
        "back."
    )
    assert lines[4].endswith(f"as event {request_id(1)}.captured; ledger transaction {request_id(1)}.captured.")
    document = terminal("explain", request_id(1), "--json").json
    assert (document["state"], document["account_id"], document["credits_charged"]) == ("booked", account_id, 20.5)


def test_a_refusal_is_explained_with_its_numbers(terminal: Terminal) -> None:
    account_id = terminal.account()
    limited = replace(REFUSAL, request_id=request_id(78), status=429, code="rate_limited", limit_name="requests")
    limited = replace(limited, retry_in_ms=11_500, required_millicredits=None, available_millicredits=None)

    async def refused(stores: Stores) -> None:
        async with stores.books.begin() as conn:
            await refusals.add(conn, [replace(one, account_id=account_id) for one in (REFUSAL, limited)])

    terminal.beside(refused)
    out_of_credits = terminal("explain", REFUSAL.request_id).out
    assert "Refused with 402 credits_exhausted: Credits exhausted. See docs/problems/credits_exhausted.md." in (
        out_of_credits
    )
    assert "At least 10 credits had to be available; 3 were. The period ends at 2026-11-23T12:00:00.001Z." in (
        out_of_credits
    )
    assert out_of_credits.endswith("Nothing was held, counted or charged.\n")
    assert "The limit 'requests' was reached; it opened 11.5 s later." in terminal("explain", request_id(78)).out
    assert terminal("explain", REFUSAL.request_id, "--json").json["state"] == "refused"


def test_an_unknown_call_says_where_ids_come_from(terminal: Terminal) -> None:
    said = terminal("explain", request_id(9))
    assert (said.code, said.out) == (1, "")
    assert "take the id from the call's X-Request-Id" in said.err
