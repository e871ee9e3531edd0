"""How a call may end, and what it costs then: callers leave, services fail, stores are away, gateways stop."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import httpx
import pytest

from gateway.flows.settle import ACKNOWLEDGE_WITHIN_S
from tests.journeys.gateway_process import Account, Gateway, Launcher, Place, eventually
from tests.journeys.odd_upstream import OddUpstream
from tests.journeys.raw_caller import RawCaller, raw_caller
from tests.journeys.stand_ins import StandIns
from tests.ports import free_port

RETRIEVE: Final = "/api/v1/retrieval/retrieve"
CHAT: Final = "/api/v1/chat/cht-1/messages/stream"
QUERY: Final = {"index_id": "idx-demo", "query": "Where?"}
FOUND: Final = b'{"results":[]}'
EVENTS: Final = b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked"
DRAIN_S: Final = 2


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def further_routes(document: dict[str, Any]) -> None:
    """Calls at one credit to services that are impatiently waited for, or are nowhere, or may be left for free."""
    priced = {"product": "index", "mode": {"fixed": "retrieval"}, "units": {"expected": 1, "at_least": 1}}
    document["routes"] |= {
        "POST /test/impatient": {"upstream": "classify", **priced},
        "POST /test/nowhere": {"upstream": "split", **priced},
        "POST /test/left_for_free": {"upstream": "index", **priced, "on_disconnect": "free"},
    }


def impatience(document: dict[str, Any]) -> None:
    document["upstreams"]["classify"]["timeouts"] = {"first_byte_s": 0.4, "idle_s": 0.4}
    document["drain_s"] = DRAIN_S


class Rough:
    """A gateway in front of services that do as a test says."""

    def __init__(self, place: Place, upstream: OddUpstream) -> None:
        self.place = place
        self.upstream = upstream
        self.gateway = place.serve()

    @contextlib.contextmanager
    def calling(self, account: Account, path: str = RETRIEVE, gateway: Gateway | None = None) -> Iterator[RawCaller]:
        """A caller who has sent its request."""
        with raw_caller(gateway or self.gateway) as caller:
            caller.send(account, path, QUERY)
            yield caller

    def used(self, account: Account) -> int:
        """Credits, once nothing is held."""
        return int(self.place.settled(account).credits["used"])

    def sees_redis(self) -> bool:
        """Whether the gateway says that it reaches it."""
        told: dict[str, Any] = httpx.get(f"{self.gateway.url}/readyz").json()
        return told["parts"]["redis"] == "ok"

    def noticed(self) -> None:
        """Returns when the gateway has read whatever its callers did before."""
        assert httpx.get(f"{self.gateway.url}/healthz").is_success

    @contextlib.contextmanager
    def frozen_redis(self) -> Iterator[None]:
        """Redis says nothing meanwhile, although its connections stand. Afterwards the gateway has found it again."""
        pid = self.place.valkey_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            eventually(self.sees_redis)


@pytest.fixture(scope="module")
def _rough(launcher: Launcher, _stand_ins: StandIns) -> Iterator[Rough]:
    with closing(OddUpstream()) as odd:
        urls = {"INDEX_URL": odd.url, "CLASSIFY_URL": odd.url, "SPLIT_URL": f"http://127.0.0.1:{free_port()}"}
        place = Place(launcher, _stand_ins.url, environment=urls, edit=impatience, routes=further_routes)
        with closing(place):
            yield Rough(place, odd)


@pytest.fixture
def rough(_rough: Rough, stand_ins: StandIns) -> Rough:
    assert _rough.upstream.idle(), "a test left a call behind"
    return _rough


@pytest.fixture
def account(rough: Rough) -> Account:
    return rough.place.account("purse")


# Callers who leave


def test_a_caller_who_hangs_up_is_followed_to_the_end_and_charged(rough: Rough, account: Account) -> None:
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        caller.leave()
        rough.noticed()
        assert rough.place.usage(account).credits["held"] == 1
        call.answer(FOUND)
    assert rough.used(account) == 1


def test_a_caller_who_hangs_up_within_the_reply_is_charged(rough: Rough, account: Account) -> None:
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        call.begin(b"Content-Length: 1000000", b"x" * 1000)
        caller.hear(b"x")
        caller.leave()
        rough.noticed()
        call.say(b"x" * 999_000)
    assert rough.used(account) == 1


def test_a_caller_who_hangs_up_does_not_parse_for_free(rough: Rough, account: Account, stand_ins: StandIns) -> None:
    stand_ins.behave(reply_delay_seconds=0.3)
    with raw_caller(rough.gateway) as caller:
        caller.send(account, "/api/v2/parse", {"source_url": "https://x.org/a", "tier": "agentic", "version": "latest"})
        eventually(lambda: stand_ins.arrived(account.id))
        caller.leave()
    eventually(lambda: rough.used(account) == 10)


def test_a_caller_who_leaves_a_chat_stops_it_and_pays_for_the_turn(rough: Rough) -> None:
    account = rough.place.account("pro")
    with rough.calling(account, CHAT) as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: one\n\n"))
        caller.hear(b"data: one")
        caller.leave()
        assert call.left(), "the turn goes on although nobody listens"
    assert rough.place.settled(account).charged == {("index", "chat"): 100}


def test_a_route_may_let_its_callers_leave_for_free(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/left_for_free") as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: one\n\n"))
        caller.hear(b"data: one")
        caller.leave()
        assert call.left()
    assert rough.used(account) == 0


def test_a_caller_who_leaves_before_a_chat_began_stops_it_for_free(rough: Rough) -> None:
    account = rough.place.account("pro")
    with rough.calling(account, CHAT) as caller:
        call = rough.upstream.call()
        caller.leave()
        assert call.left()
    assert rough.used(account) == 0


def test_an_upload_that_breaks_off_starts_no_job_and_costs_nothing(
    rough: Rough, account: Account, stand_ins: StandIns
) -> None:
    with raw_caller(rough.gateway) as caller:
        caller.say(
            b"POST /api/v2/parse/upload HTTP/1.1\r\nHost: gateway\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 1000000\r\nAuthorization: Bearer " + account.key.encode() + b"\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="configuration"\r\n\r\n{"tier": "fast"}\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + b"x" * 200_000
        )
        eventually(lambda: stand_ins.arrived(account.id))
        caller.leave()
    assert rough.used(account) == 0
    with rough.gateway.caller(account) as again:
        assert again.get("/api/v2/parse").json()["items"] == []


# Services that fail


def test_an_answer_with_an_error_is_passed_on_unchanged_and_free(rough: Rough, account: Account) -> None:
    for status in (b"400 Bad Request", b"402 Payment Required", b"429 Too Many Requests", b"500 Oh", b"503 No"):
        with rough.calling(account) as caller:
            body = b'{"detail": "the service says %b"}' % status
            rough.upstream.call().answer(body, status=status, headers=b"Retry-After: 7\r\nX-Own: yes\r\n")
            caller.hear(b"says")
            caller.document()
            assert caller.status == int(status[:3])
            assert caller.body == body
            assert caller.headers["content-type"] == "application/json"
            assert caller.headers["retry-after"] == "7"
            assert caller.headers["x-own"] == "yes"
            assert caller.headers["x-credits-remaining"] == "50"
            assert "x-credits-charged" not in caller.headers or caller.headers["x-credits-charged"] == "0"
    used = rough.place.settled(account)
    assert used.credits["used"] == used.calls == 0


def test_a_service_that_cannot_be_reached_costs_nothing(rough: Rough, account: Account) -> None:
    with rough.gateway.caller(account) as caller:
        reply = caller.post("/test/nowhere", json=QUERY)
    assert (reply.status_code, reply.json()["code"]) == (502, "upstream_unreachable")
    assert reply.json()["retryable"] is True
    assert "127.0.0.1" not in reply.text
    assert rough.used(account) == 0


def test_a_call_that_was_counted_says_so_also_where_the_service_failed_it(rough: Rough) -> None:
    with rough.gateway.caller(rough.place.account("free")) as caller:
        reply = caller.post("/test/nowhere", json=QUERY)
    assert reply.status_code == 502
    assert reply.headers["ratelimit-policy"] == '"requests";q=20;w=60'
    assert reply.headers["ratelimit"] == '"requests";r=19;t=60'


def test_a_service_that_does_not_answer_in_time_costs_nothing(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/impatient") as caller:
        call = rough.upstream.call()
        caller.hear(b"\r\n\r\n")
        assert (caller.status, caller.document()["code"]) == (504, "upstream_timeout")
        assert call.left()
    assert rough.used(account) == 0


def test_a_service_that_stops_within_its_answer_cuts_the_callers_too(rough: Rough, account: Account) -> None:
    with rough.calling(account, "/test/impatient") as caller:
        rough.upstream.call().begin(b"Content-Length: 100", b"half")
        assert caller.rest().endswith(b"half")
        assert caller.status == 200
    assert rough.used(account) == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"",
    ],
)
def test_a_garbled_answer_is_a_502_and_costs_nothing(rough: Rough, account: Account, garbage: bytes) -> None:
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        call.say(garbage)
        call.cut()
        caller.hear(b"\r\n\r\n")
        assert (caller.status, caller.document()["code"]) == (502, "upstream_broken")
    assert rough.used(account) == 0


@pytest.mark.parametrize(
    "beginning",
    [(b"Content-Length: 100", b"half"), (EVENTS, chunk(b"half"))],
    ids=["counted", "chunked"],
)
def test_an_answer_that_is_cut_never_looks_whole_and_costs_nothing(
    rough: Rough, account: Account, beginning: tuple[bytes, bytes]
) -> None:
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        call.begin(*beginning)
        caller.hear(b"half")
        call.cut()
        assert not caller.rest().endswith(b"0\r\n\r\n")
        assert caller.status == 200
    assert rough.used(account) == 0


# Stores that are away


def test_a_reply_is_held_back_until_its_charge_is_acknowledged(rough: Rough, account: Account) -> None:
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        with rough.frozen_redis():
            call.answer(FOUND)
            assert caller.listen(for_s=0.5) == b""
        caller.hear(FOUND)
        assert caller.status == 200
    assert rough.used(account) == 1


@pytest.mark.parametrize(
    ("headers", "parts", "end"),
    [
        (b"Content-Length: 200000", [b"x" * 100_000, b"x" * 99_999 + b"!"], b"x!"),
        (EVENTS, [chunk(b"data: one\n\n"), b"0\r\n\r\n"], b"0\r\n\r\n"),
    ],
    ids=["counted", "chunked"],
)
def test_the_end_of_a_stream_is_held_back_until_its_charge_is_acknowledged(
    rough: Rough, account: Account, headers: bytes, parts: list[bytes], end: bytes
) -> None:
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        call.begin(headers, parts[0])
        caller.hear(b"\r\n\r\n")
        with rough.frozen_redis():
            call.say(parts[1])
            assert not caller.listen(for_s=0.5).endswith(end)
        caller.hear(end)
    assert rough.used(account) == 1


def test_a_reply_whose_charge_cannot_be_recorded_is_withheld_and_charged_later(rough: Rough, account: Account) -> None:
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        with rough.frozen_redis():
            call.answer(FOUND)
            caller.hear(b"\r\n\r\n")
            problem = caller.document()
            assert (caller.status, problem["code"]) == (503, "charge_unconfirmed")
            assert (problem["retryable"], caller.headers["x-should-retry"]) == (False, "false")
            assert FOUND not in caller.heard
    assert rough.used(account) == 1


def test_an_error_is_told_soon_though_its_hold_cannot_be_given_back_yet(rough: Rough, account: Account) -> None:
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        with rough.frozen_redis():
            began_s = time.monotonic()
            call.cut()
            caller.hear(b"\r\n\r\n")
            assert (caller.status, caller.document()["code"]) == (502, "upstream_broken")
            # Waiting for an acknowledgement would take all of that; a release is given a twentieth of a second.
            assert time.monotonic() - began_s < ACKNOWLEDGE_WITHIN_S - 0.5
    assert rough.used(account) == 0


def test_without_redis_nothing_is_admitted_and_callers_are_told_fast(rough: Rough, account: Account) -> None:
    with rough.gateway.caller(account) as caller:
        took_s = []
        with rough.frozen_redis():
            for _ in range(4):
                began_s = time.monotonic()
                reply = caller.post(RETRIEVE, json=QUERY)
                took_s.append(time.monotonic() - began_s)
                assert (reply.status_code, reply.json()["code"]) == (503, "credit_store_unavailable")
                assert int(reply.headers["retry-after"]) >= 1
        # The tests of the ledger count the quarter of a second without the pauses of the machine.
        assert max(took_s) < 2.5
        assert min(took_s) < 0.2  # once it is known to be away, nobody waits to find out again
        assert rough.upstream.idle()
        assert caller.get(f"/api/v1/projects/{account.project_id}/usage").json()["live"]
    with rough.calling(account) as once_more:
        rough.upstream.call().answer(FOUND)
        once_more.hear(FOUND)
    assert rough.used(account) == 1


def test_a_redis_that_was_killed_comes_back_with_all_it_had(rough: Rough, account: Account) -> None:
    with rough.calling(account) as caller:
        rough.upstream.call().answer(FOUND)
        caller.hear(FOUND)
    with rough.calling(account) as caller:
        call = rough.upstream.call()
        os.kill(rough.place.valkey_pid, signal.SIGKILL)
        call.answer(FOUND)
        caller.hear(FOUND)
        assert caller.headers["x-credits-remaining"] == "48"
    assert rough.used(account) == 2
    assert rough.place.reconciled(account)


# Shutdowns


def listening(gateway: Gateway) -> bool:
    """Whether the process takes connections."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", gateway.port), timeout=1):
        return True
    return False


def test_a_gateway_told_to_stop_takes_no_calls_and_finishes_those_it_has(rough: Rough, account: Account) -> None:
    leaving = rough.place.serve()
    with contextlib.ExitStack() as stack:
        caller = stack.enter_context(rough.calling(account, gateway=leaving))
        first = rough.upstream.call()
        streaming = stack.enter_context(rough.calling(account, gateway=leaving))
        second = rough.upstream.call()
        second.begin(EVENTS, chunk(b"data: one\n\n"))
        streaming.hear(b"data: one")
        leaving.process.signal(signal.SIGTERM)
        eventually(lambda: not listening(leaving))
        assert leaving.process.alive()
        first.answer(FOUND)
        second.say(chunk(b"data: two\n\n") + b"0\r\n\r\n")
        assert caller.rest().endswith(FOUND)
        assert streaming.rest().endswith(b"0\r\n\r\n")
    assert leaving.process.ended() == 0
    assert rough.used(account) == 2


def test_a_call_that_outlasts_the_drain_is_cut_and_settled(rough: Rough, account: Account) -> None:
    leaving = rough.place.serve()
    with rough.calling(account, gateway=leaving) as caller:
        call = rough.upstream.call()
        call.begin(EVENTS, chunk(b"data: one\n\n"))
        caller.hear(b"data: one")
        leaving.process.signal(signal.SIGTERM)
        assert not caller.rest(within_s=DRAIN_S + 5).endswith(b"0\r\n\r\n")
    assert leaving.process.ended() == 0
    assert rough.used(account) == 0


def test_a_gateway_that_dies_takes_its_calls_along_and_leaves_their_holds_to_expire(
    rough: Rough, account: Account
) -> None:
    dying = rough.place.serve()
    with rough.calling(account, gateway=dying) as caller:
        rough.upstream.call()
        dying.process.kill()
        assert caller.rest() == b""
    assert [rough.place.usage(account).credits[name] for name in ("used", "held", "remaining")] == [0, 1, 49]
    assert rough.place.reconciled(account)
