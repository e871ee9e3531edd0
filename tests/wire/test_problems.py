from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from gateway.domain.admission import LimitState, RefusalCode, Refused
from gateway.domain.quote import UnknownMode
from gateway.wire.problems import PROBLEMS, Fault, ProblemReply, problem, refusal, unknown_mode, unreadable
from gateway.wire.unreadable import Unreadable

PAGES = Path(__file__).parents[2] / "docs" / "problems"
CODES: list[RefusalCode | Fault] = [*RefusalCode, *Fault]
LIMIT = LimitState("requests", 20, 60_000, 0, 11_001)


def document(reply: ProblemReply) -> dict:
    return orjson.loads(reply.body)


def refused(code: RefusalCode, **more: object) -> ProblemReply:
    return refusal(Refused(code, **more), request_id="req_1", upgrade_url="/settings/billing")  # type: ignore[arg-type]


def test_refusals_faults_table_and_pages_name_the_same_codes() -> None:
    assert {str(code) for code in PROBLEMS} == {str(code) for code in CODES}
    assert {page.stem for page in PAGES.glob("*.md")} == {str(code) for code in CODES}


@pytest.mark.parametrize("code", CODES)
def test_each_page_says_what_the_table_says(code: RefusalCode | Fault) -> None:
    kind = PROBLEMS[code]
    page = (PAGES / f"{code}.md").read_text()
    assert page.startswith(f"# {code}: {kind.title}\n")
    assert f"Status {kind.status} · retryable: {'yes' if kind.retryable else 'no'}\n" in page
    assert "## What to do\n" in page


@pytest.mark.parametrize("code", CODES)
def test_every_problem_tells_a_program_what_it_needs(code: RefusalCode | Fault) -> None:
    kind = PROBLEMS[code]
    reply = problem(code, request_id="req_1", extra={"limit": "requests"})
    told = document(reply)
    headers = dict(reply.headers)
    assert {key: told[key] for key in ("type", "title", "status", "code", "retryable", "request_id", "limit")} == {
        "type": f"/problems/{code}",
        "title": kind.title,
        "status": reply.status,
        "code": str(code),
        "retryable": kind.retryable,
        "request_id": "req_1",
        "limit": "requests",
    }
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"x-request-id"] == b"req_1"
    assert int(headers[b"content-length"]) == len(reply.body)
    assert isinstance(told["detail"], list) == (reply.status == 422)
    assert len(headers) == len(reply.headers)


def test_a_bad_key_is_told_nothing_but_that() -> None:
    reply = problem(Fault.INVALID_API_KEY, request_id="req_1")
    assert reply.status == 401
    assert document(reply)["detail"] == "Invalid API Key"
    assert (b"www-authenticate", b"Bearer") in reply.headers


def test_running_out_of_credits_is_said_in_the_words_clients_look_for() -> None:
    reply = refused(
        RefusalCode.CREDITS_EXHAUSTED,
        required_millicredits=12_500,
        available_millicredits=-3000,
        resets_at_ms=1_798_761_600_001,
        retry_in_ms=86_400_000,
    )
    told = document(reply)
    assert reply.status == 402
    assert told["detail"] == "You've exceeded the maximum number of credits for your plan"
    assert told["required_credits"] == 12.5
    assert told["available_credits"] == 0
    assert told["resets_at"] == "2027-01-01T00:00:00.001Z"
    assert told["upgrade_url"] == "/settings/billing"
    headers = dict(reply.headers)
    assert headers[b"x-should-retry"] == b"false"
    assert b"retry-after" not in headers


def test_credits_are_written_exactly() -> None:
    reply = refused(RefusalCode.CREDITS_EXHAUSTED, required_millicredits=9_007_199_254_740_991)
    assert b'"required_credits":9007199254740.991' in reply.body


def test_held_credits_come_back_so_the_call_may() -> None:
    reply = refused(RefusalCode.CREDITS_HELD, retry_in_ms=5000, available_millicredits=1000)
    headers = dict(reply.headers)
    assert (reply.status, document(reply)["retryable"]) == (402, True)
    assert (headers[b"retry-after"], headers[b"x-should-retry"]) == (b"5", b"true")


@pytest.mark.parametrize("code", [RefusalCode.SPEND_LIMIT_REACHED, RefusalCode.PAYMENT_REQUIRED])
def test_other_money_matters_say_the_same_fields(code: RefusalCode) -> None:
    reply = refused(code, limit_name="account")
    assert reply.status == 402
    assert {"required_credits", "available_credits", "resets_at", "upgrade_url"} <= document(reply).keys()
    assert document(reply)["limit"] == "account"
    assert dict(reply.headers)[b"x-should-retry"] == b"false"


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        (RefusalCode.SPEND_LIMIT_REACHED, "prj_1", {"limit": "project_budget", "limit_of": "prj_1"}),
        (RefusalCode.SPEND_LIMIT_REACHED, "key_1", {"limit": "key_budget", "limit_of": "key_1"}),
        (RefusalCode.CREDITS_HELD, "prj_1", {"limit": "project_budget", "limit_of": "prj_1"}),
        (RefusalCode.SPEND_LIMIT_REACHED, "contract", {"limit": "contract"}),
        (RefusalCode.CREDITS_EXHAUSTED, "pay_as_you_go_off", {"limit": "pay_as_you_go_off"}),
    ],
)
def test_a_refusal_for_credits_says_which_limit_and_whose(code: RefusalCode, name: str, said: dict[str, str]) -> None:
    found = document(refused(code, limit_name=name))
    assert {key: found.get(key) for key in ("limit", "limit_of") if key in found} == said
    if code is RefusalCode.SPEND_LIMIT_REACHED and "limit_of" in said:
        assert (
            found["detail"] == f"The budget of {said['limit'].split('_')[0]} {name} is used up for this billing period."
        )


@pytest.mark.parametrize(("retry_in_ms", "seconds"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (11_001, 12), (60_000, 60)])
def test_a_rate_limit_says_which_and_when_it_opens(retry_in_ms: int, seconds: int) -> None:
    reply = refused(RefusalCode.RATE_LIMITED, limits=(LIMIT,), limit_name="requests", retry_in_ms=retry_in_ms)
    headers = dict(reply.headers)
    told = document(reply)
    assert reply.status == 429
    assert headers[b"retry-after"] == str(seconds).encode()
    assert headers[b"ratelimit"] == b'"requests";r=0;t=12'
    assert told["detail"] == f"Rate limit 'requests' of 20 per 60 s is reached. Try again in {seconds} s."
    assert (told["limit"], told["retry_after_s"]) == ("requests", seconds)


def test_too_many_calls_at_once_always_say_when_to_come_back() -> None:
    reply = refused(RefusalCode.TOO_MANY_CONCURRENT_CALLS)
    assert reply.status == 429
    assert dict(reply.headers)[b"retry-after"] == b"1"


def test_a_foreign_job_is_not_told_apart_from_none() -> None:
    reply = refused(RefusalCode.NO_SUCH_JOB, limits=(LIMIT,))
    assert (reply.status, document(reply)["detail"]) == (404, "Job not found")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: unreadable(Unreadable(("body", "tier"), "must be a text", "type_error.str"), request_id="r"),
            {"loc": ["body", "tier"], "msg": "must be a text", "type": "unreadable_mode"},
        ),
        (
            lambda: unknown_mode(UnknownMode("parse", "x" * 1000, ("fast", "agentic")), request_id="r"),
            {
                "loc": ["body"],
                "msg": f"{'x' * 64!r} is not a mode of parse. Known modes: fast, agentic.",
                "type": "unknown_mode",
            },
        ),
        (
            lambda: problem(Fault.IDEMPOTENCY_MISMATCH, request_id="r", loc=("header", "Idempotency-Key")),
            {
                "loc": ["header", "Idempotency-Key"],
                "msg": PROBLEMS[Fault.IDEMPOTENCY_MISMATCH].detail,
                "type": "idempotency_mismatch",
            },
        ),
    ],
)
def test_a_422_has_the_list_that_one_client_crashes_without(make: Callable[[], ProblemReply], expected: dict) -> None:
    reply = make()
    assert reply.status == 422
    assert document(reply)["detail"] == [expected]


def test_a_given_detail_and_wait_replace_the_tables() -> None:
    close = [(b"connection", b"close")]
    reply = problem(Fault.TOO_MANY_UPLOADS, request_id="r", detail="Full.", retry_after=0, headers=close)
    assert document(reply)["detail"] == "Full."
    assert (b"retry-after", b"1") in reply.headers
    assert reply.headers[-1] == (b"connection", b"close")
