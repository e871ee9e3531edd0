"""Answers that are charged while they flow: whoever stops them, whatever breaks, what was delivered is what is paid."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

import pytest

from tests.journeys.gateway_process import Account, Launcher, Place, eventually
from tests.journeys.odd_upstream import OddUpstream
from tests.journeys.stand_ins import StandIns
from tests.journeys.test_endings import EVENTS, Rough, chunk

CHAT: Final = "/api/v1/chat/{session_id}/messages/stream"
WORDS: Final = {"json": "/usage/words"}
# What the stand-in answers to "Where?", one event a word.
ANSWER_WORDS: Final = 10


def stream(on_disconnect: str, units: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "upstream": "index",
        "product": "index",
        "mode": {"fixed": "retrieval"},
        "units": {"expected": 3, "at_least": 1},
        "stream": {"units": units, "top_up": 2, **more},
        "on_disconnect": on_disconnect,
    }


def streaming(document: dict[str, Any]) -> None:
    """YAML alone makes chat cost by the word, and lets made-up routes do what a test wants of them."""
    routes = document["routes"]
    routes[f"POST {CHAT}"] = {**stream("delivered", WORDS), "upstream": "parse"}
    routes["POST /api/v1/chat"]["upstream"] = "parse"
    for policy in ("follow", "delivered", "free"):
        routes[f"POST /test/{policy}"] = stream(policy, {"events": True})
    routes["POST /test/cut"] = stream("follow", {"events": True}, at_end="cut")
    routes["POST /test/bytes"] = stream("follow", {"bytes": 1000})


@pytest.fixture(scope="module")
def _rough(launcher: Launcher, _stand_ins: StandIns) -> Iterator[Rough]:
    with (
        closing(OddUpstream()) as odd,
        closing(Place(launcher, _stand_ins.url, environment={"INDEX_URL": odd.url}, routes=streaming)) as place,
    ):
        yield Rough(place, odd)


@pytest.fixture
def rough(_rough: Rough, stand_ins: StandIns) -> Rough:
    assert _rough.upstream.idle(), "a test left a call behind"
    return _rough


@pytest.fixture
def account(rough: Rough) -> Account:
    return rough.place.account("purse")


REFUSED = "refused"


def talk(rough: Rough, account: Account) -> str:
    """The text of one turn of a chat; REFUSED where no credit was left to begin it with."""
    with rough.gateway.caller(account) as caller:
        session = caller.post("/api/v1/chat", json={}).json()["session_id"]
        turn = {"index_ids": ["idx-demo"], "prompt": "Where?"}
        reply = caller.post(CHAT.format(session_id=session), json=turn)
    if reply.status_code == 402:
        return REFUSED
    assert reply.headers["x-credits-held"] in {"1", "2", "3"}
    return reply.text


def test_a_chat_costs_what_it_says_by_yaml_alone(rough: Rough, account: Account, stand_ins: StandIns) -> None:
    stand_ins.behave(metered_chat=True)
    text = talk(rough, account)
    assert text.count("text_delta") == ANSWER_WORDS
    assert "event: error" not in text
    assert rough.place.settled(account).charged == {("index", "retrieval"): ANSWER_WORDS}
    assert rough.place.reconciled(account)


def test_a_chat_ends_with_the_credits_and_the_service_is_stopped(rough: Rough, stand_ins: StandIns) -> None:
    stand_ins.behave(metered_chat=True)
    account = rough.place.account("free", credits_=6)
    text = talk(rough, account)
    assert text.count("text_delta") == 6
    problem = json.loads(text.partition("event: error\ndata: ")[2])
    assert (problem["status"], problem["code"], problem["required_credits"]) == (402, "credits_exhausted", 1)
    assert "resets_at" in problem
    assert rough.place.settled(account).credits["remaining"] == 0
    assert rough.place.reconciled(account)


def test_streams_at_once_never_overspend(rough: Rough, stand_ins: StandIns) -> None:
    stand_ins.behave(metered_chat=True, chunk_delay_seconds=0.002)
    account = rough.place.account("purse")
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: talk(rough, account), range(8)))
    delivered = sum(text.count("text_delta") for text in texts)
    assert delivered <= 50
    # Who began late may have found nothing left.
    assert any("event: error" in text or text == REFUSED for text in texts)
    assert rough.used(account) == delivered
    assert rough.place.reconciled(account)


def test_a_stream_that_breaks_is_paid_for_what_it_delivered(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/follow") as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: 1\n\ndata: 2\n\ndata: half"))
        caller.hear(b"data: 2")
        call.cut()
        heard = caller.rest()
    assert b"half" not in heard
    assert not heard.endswith(b"0\r\n\r\n")
    assert rough.used(account) == 2


@pytest.mark.parametrize(("policy", "expected"), [("delivered", 4), ("free", 0)])
def test_a_caller_who_leaves_stops_the_service_and_pays_by_the_policy(
    rough: Rough, account: Account, policy: str, expected: int
) -> None:
    with rough.calling(account, f"/test/{policy}") as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: x\n\n" * 4))
        caller.hear(b"data: x\n\n" * 4)
        caller.leave()
        assert call.left()
    assert rough.used(account) == expected


def test_a_caller_who_leaves_a_followed_stream_pays_for_all_of_it(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/follow") as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: 1\n\n"))
        caller.hear(b"data: 1")
        caller.leave()
        rough.noticed()
        call.say(chunk(b"data: x\n\n" * 6) + b"0\r\n\r\n")
    assert rough.used(account) == 7


def test_a_stream_that_nobody_listens_to_ends_with_the_credits_too(rough: Rough) -> None:
    account = rough.place.account("free", credits_=3)
    with rough.calling(account, "/test/follow") as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: 1\n\n"))
        caller.hear(b"data: 1")
        caller.leave()
        call.say(chunk(b"data: x\n\n" * 6))
        assert call.left()
    assert rough.used(account) == 3


def test_an_answer_that_cannot_say_so_is_cut_where_the_credits_end(rough: Rough) -> None:
    for path, headers, body, expected in (
        ("/test/cut", EVENTS, chunk(b"data: x\n\n" * 9), b"data: x\n\n" * 4),
        ("/test/bytes", b"Content-Length: 100000", b"x" * 9000, b"x" * 4000),
    ):
        account = rough.place.account("free", credits_=4)
        with rough.calling(account, path) as caller:
            call = rough.upstream.call()
            call.begin(headers, body)
            heard = caller.rest()
            assert call.left()
        assert expected in heard
        assert heard.count(b"x") - expected.count(b"x") <= heard.partition(b"\r\n\r\n")[0].count(b"x")
        assert not heard.endswith(b"0\r\n\r\n")
        assert rough.used(account) == 4


def test_a_long_answer_is_charged_by_its_bytes(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/bytes") as caller:
        rough.upstream.call().answer(b"x" * 8_001)
        caller.hear(b"x" * 8_001)
    assert rough.used(account) == 9


def test_what_is_no_stream_costs_the_quote(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/follow") as caller:
        rough.upstream.call().answer(b'{"detail": "not today"}')
        caller.hear(b"not today")
        assert caller.headers["x-credits-charged"] == "3"
    assert rough.used(account) == 3


def test_an_error_costs_nothing(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/follow") as caller:
        rough.upstream.call().answer(b"data: 1\n\n", status=b"500 Oh")
        caller.hear(b"data: 1")
    assert rough.used(account) == 0


def test_a_stream_does_not_go_on_unpaid_while_redis_is_away(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/follow") as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: x\n\n" * 3))
        caller.hear(b"data: x\n\n" * 3)
        with rough.frozen_redis():
            call.say(chunk(b"data: y\n\n"))
            # Asked behind it on the same connection: what was to pay for it has then been given up too.
            eventually(lambda: not rough.sees_redis())
            assert b"data: y" not in caller.listen(for_s=0.1)
        caller.hear(b"0\r\n\r\n")
        assert b"event: error" in caller.heard
        assert b"credit_store_unavailable" in caller.heard
    assert rough.used(account) == 3


def test_a_hold_that_has_grown_is_seen_while_the_stream_runs(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/follow") as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: x\n\n" * 4))
        caller.hear(b"data: x\n\n" * 4)
        eventually(lambda: rough.place.usage(account).credits["held"] == 5)
        assert rough.place.reconciled(account)
        call.say(b"0\r\n\r\n")
    assert rough.used(account) == 4
