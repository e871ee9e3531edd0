"""Calls with an Idempotency-Key: charged once, answered with the first reply, over two gateway processes."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Final

import httpx

from gateway.edges.demo.services import sample_pdf
from tests.journeys.conftest import Town
from tests.journeys.stand_ins import StandIns

RETRIEVE: Final = "/api/v1/retrieval/retrieve"
QUERY: Final = {"index_id": "idx-demo", "query": "Where?"}
UPLOAD: Final = "/api/v2/parse/upload"
CONFIGURATION: Final = {"configuration": '{"tier": "agentic", "version": "latest"}'}


def retrieve(caller: httpx.Client, key: str, **body: str) -> httpx.Response:
    return caller.post(RETRIEVE, json={**QUERY, **body}, headers={"Idempotency-Key": key})


def test_a_repeated_call_gets_the_first_reply_and_is_charged_once(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("pro")
    with town.first.caller(account) as first, town.second.caller(account) as second:
        one, again = retrieve(first, "a"), retrieve(second, "a")
    assert (one.status_code, again.status_code) == (200, 200)
    assert again.content == one.content
    assert again.headers["x-request-id"] == one.headers["x-request-id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in one.headers
    assert len(stand_ins.arrived(account.id)) == 1
    assert town.place.settled(account).credits["used"] == Decimal(1)


def test_an_upload_sent_twice_opens_one_job_though_its_boundary_differs(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("pro")
    with town.first.caller(account) as caller:
        replies = [
            caller.post(
                UPLOAD, data=CONFIGURATION, files={"file": sample_pdf(2)}, headers={"Idempotency-Key": "upload"}
            )
            for _ in range(2)
        ]
    assert replies[0].json()["id"] == replies[1].json()["id"]
    assert town.place.settled(account).credits["used"] == Decimal(20)


def test_of_many_at_once_one_runs(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("pro")
    with town.first.caller(account) as first, town.second.caller(account) as second, ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda turn: retrieve((first, second)[turn % 2], "crowd"), range(50)))
    codes = {reply.status_code for reply in replies}
    assert codes <= {200, 409}
    assert {reply.json()["code"] for reply in replies if reply.status_code == 409} <= {"idempotency_in_progress"}
    assert len(stand_ins.arrived(account.id)) == 1
    assert town.place.settled(account).credits["used"] == Decimal(1)


def test_another_body_under_the_same_key_is_refused(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("pro")
    with town.first.caller(account) as caller:
        retrieve(caller, "b")
        other = retrieve(caller, "b", query="Something else?")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(stand_ins.arrived(account.id)) == 1


def test_a_key_of_one_account_says_nothing_to_another(town: Town, stand_ins: StandIns) -> None:
    one, other = town.place.account("pro"), town.place.account("pro")
    with town.first.caller(one) as mine, town.first.caller(other) as theirs:
        first, second = retrieve(mine, "shared"), retrieve(theirs, "shared")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert "idempotency-replayed" not in second.headers


def test_a_call_that_failed_or_was_refused_may_be_sent_again(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("pro")
    with town.first.caller(account) as caller:
        failed = retrieve(caller, "c", index_id="nowhere")
        again = retrieve(caller, "c")
        unreadable = caller.post(RETRIEVE, content=b"{", headers={"Idempotency-Key": "d"})
        after = retrieve(caller, "d")
    assert (failed.status_code, again.status_code) == (404, 200)
    assert (unreadable.status_code < 500, after.status_code) == (True, 200)
    assert town.place.settled(account).credits["used"] == Decimal(2)


def test_a_malformed_key_is_told_what_it_may_be(town: Town) -> None:
    with town.first.caller(town.anybody) as caller:
        reply = retrieve(caller, "x" * 256)
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
    assert "Idempotency-Key" in reply.json()["detail"]
