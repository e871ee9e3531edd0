"""What is refused, in which words, and that a refusal leaves no trace: not upstream, not in Redis, not in the books."""

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, Final

import httpx
import pytest
import redis

from gateway.configuration import load
from gateway.edges.demo.services import sample_pdf
from gateway.wire.route import JobUse, Route
from tests.journeys.conftest import Town
from tests.journeys.gateway_process import Account, Place, eventually
from tests.journeys.stand_ins import StandIns

RETRIEVE: Final = "/api/v1/retrieval/retrieve"
QUERY: Final = {"index_id": "idx-demo", "query": "Where?"}
PARSE: Final = "/api/v2/parse"
UPLOAD: Final = "/api/v2/parse/upload"
EXHAUSTED: Final = "You've exceeded the maximum number of credits for your plan"
AGENTIC: Final = '{"tier": "agentic", "version": "latest"}'
FormPart = tuple[str, tuple[str | None, bytes | str]]


def retrieve(caller: httpx.Client) -> httpx.Response:
    return caller.post(RETRIEVE, json=QUERY)


def in_redis(place: Place, account: Account) -> dict[bytes, object]:
    """All that Redis keeps of an account."""
    with redis.Redis(unix_socket_path=str(place.data / "valkey.sock")) as client:
        found: dict[bytes, object] = {}
        for key in sorted(client.scan_iter(match=f"*{account.id}*", count=10_000)):
            found[key] = client.hgetall(key) if client.type(key) == b"hash" else client.dump(key)
        return found


def problem(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = reply.json(parse_float=Decimal)
    assert (document["code"], document["status"]) == (code, status)
    assert document["request_id"] == reply.headers["x-request-id"]
    assert document["type"].endswith(code)
    return document


def field(reply: httpx.Response, name: str, limit: str) -> dict[str, int]:
    """The parameters of one limit in a RateLimit field: `"requests";r=0;t=60`."""
    for one in reply.headers[name].split(", "):
        if one.startswith(f'"{limit}"'):
            return {key: int(value) for key, value in (part.split("=") for part in one.split(";")[1:])}
    raise AssertionError(reply.headers[name])


# Rate limits


def test_the_21st_call_of_a_minute_is_told_when_it_may_come_back(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("free")
    with town.first.caller(account) as first, town.second.caller(account) as second:
        before_s = time.monotonic()
        reply = retrieve(second)
        after_s = time.monotonic()
        statuses, left = [reply.status_code], [field(reply, "ratelimit", "requests")["r"]]
        for turn in range(19):
            reply = retrieve((first, second)[turn % 2])
            statuses.append(reply.status_code)
            left.append(field(reply, "ratelimit", "requests")["r"])
        assert statuses == [200] * 20
        assert left == list(reversed(range(20)))
        asked_s = time.monotonic()
        kept = in_redis(town.place, account)
        refused = retrieve(first)
        answered_s = time.monotonic()
    document = problem(refused, 429, "rate_limited")
    wait_s = int(refused.headers["retry-after"])
    assert 1 <= math.ceil(60 - (answered_s - before_s)) <= wait_s <= math.ceil(60 - (asked_s - after_s)) <= 60
    assert document["retryable"] is True
    assert "20 per 60 s" in document["detail"]
    assert field(refused, "ratelimit-policy", "requests") == {"q": 20, "w": 60}
    assert field(refused, "ratelimit", "requests") == {"r": 0, "t": wait_s}
    assert in_redis(town.place, account) == kept
    assert len(stand_ins.arrived(account.id)) == 20
    assert town.place.settled(account).credits["used"] == 20


def test_who_comes_back_when_told_is_let_in(town: Town) -> None:
    account = town.place.account("blink")
    with town.first.caller(account) as caller, ThreadPoolExecutor(8) as crowd:
        refused: list[httpx.Response] = []
        while not refused:  # as many at once as even a slow machine makes within the second
            replies = list(crowd.map(lambda _: retrieve(caller), range(8)))
            assert {reply.status_code for reply in replies} <= {200, 429}
            refused = [reply for reply in replies if reply.status_code == 429]
        time.sleep(int(refused[-1].headers["retry-after"]))
        assert retrieve(caller).is_success


def test_waiting_for_a_job_does_not_use_up_the_calls_of_a_minute(town: Town, stand_ins: StandIns) -> None:
    stand_ins.behave(job_seconds=30)
    account = town.place.account("free")
    with town.first.caller(account) as caller:
        job = caller.post(PARSE, json={"source_url": "https://example.com/a.pdf", **json.loads(AGENTIC)})
        polls = [caller.get(f"{PARSE}/{job.json()['id']}") for _ in range(40)]
        assert {poll.status_code for poll in polls} == {200}
        assert field(polls[-1], "ratelimit", "reads")["r"] == 600 - 40
        assert field(retrieve(caller), "ratelimit", "requests")["r"] == 18
        assert caller.post(f"{PARSE}/{job.json()['id']}/cancel").is_success


# Credits


def test_a_free_account_stops_at_its_last_credit_and_is_told_why(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("free", credits_=2)
    with town.first.caller(account) as caller:
        replies = [retrieve(caller), retrieve(caller)]
        assert [reply.headers["x-credits-remaining"] for reply in replies] == ["1", "0"]
        kept = in_redis(town.place, account)
        refused = retrieve(caller)
    document = problem(refused, 402, "credits_exhausted")
    assert document["detail"] == EXHAUSTED
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert (document["required_credits"], document["available_credits"]) == (1, 0)
    assert document["upgrade_url"].endswith("/settings/billing")
    assert len(stand_ins.arrived(account.id)) == 2
    assert in_redis(town.place, account) == kept
    used = town.place.settled(account)
    assert document["resets_at"] == used.document["period"]["end"]
    assert [used.credits[name] for name in ("used", "remaining", "pay_as_you_go")] == [2, 0, 0]


def test_a_job_is_admitted_with_what_is_left_and_the_next_waits_for_it(town: Town, stand_ins: StandIns) -> None:
    stand_ins.behave(job_seconds=30)
    account = town.place.account("free", credits_=25)
    with town.first.caller(account) as caller:
        job = caller.post(PARSE, json={"source_url": "https://example.com/a.pdf", **json.loads(AGENTIC)})
        assert job.headers["x-credits-held"] == "25"
        refused = retrieve(caller)
        document = problem(refused, 402, "credits_held")
        assert document["retryable"] is True
        assert (document["required_credits"], document["available_credits"]) == (1, 0)
        assert int(refused.headers["retry-after"]) >= 1
        path = f"{PARSE}/{job.json()['id']}"
        assert caller.get(path).is_success  # whatever the balance, a poll is never refused for lack of credits
        assert caller.post(f"{path}/cancel").is_success
        town.place.settled(account)
        assert retrieve(caller).is_success


def test_less_than_a_page_costs_buys_no_page(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("free", credits_=9)
    with town.first.caller(account) as caller:
        refused = caller.post(PARSE, json={"source_url": "https://example.com/a.pdf", **json.loads(AGENTIC)})
    document = problem(refused, 402, "credits_exhausted")
    assert (document["required_credits"], document["available_credits"]) == (10, 9)
    assert stand_ins.arrived(account.id) == []


def test_starter_goes_on_as_pay_as_you_go(town: Town) -> None:
    account = town.place.account("starter", credits_=5)
    with town.first.caller(account) as caller:
        assert [retrieve(caller).status_code for _ in range(7)] == [200] * 7
    used = town.place.settled(account)
    assert [used.credits[name] for name in ("included", "used", "remaining", "pay_as_you_go")] == [5, 7, 0, 2]
    assert used.charged == {("index", "retrieval"): 7}


# Keys


def test_every_wrong_key_gets_the_same_answer(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("free")
    revoked = town.place.key(account)
    town.place.cli("key", "revoke", revoked["id"])
    expired = town.place.key(account, "--expires", "1s")
    swapped = account.key[:-1] + ("a" if account.key[-1] != "a" else "b")
    unknown = "cgw_live_00000000000000000000000000000000" + "000000"
    schemes = [{}, {"Authorization": ""}, {"Authorization": account.key}, {"Authorization": f"Basic {account.key}"}]
    keys = ["x", swapped, unknown, revoked["secret"], account.key + "x", "cgw_live_" + "z" * 10_000]
    variants = [*schemes, *({"Authorization": f"Bearer {key}"} for key in keys)]
    with httpx.Client(base_url=town.first.url) as nobody:
        as_expired = {"Authorization": f"Bearer {expired['secret']}"}
        eventually(lambda: nobody.post(RETRIEVE, json=QUERY, headers=as_expired).status_code == 401)
        stand_ins.settle()
        said = set()
        for headers in [*variants, as_expired]:
            refused = nobody.post(RETRIEVE, json=QUERY, headers=headers)
            document = problem(refused, 401, "invalid_api_key")
            assert document.pop("request_id")
            assert refused.headers["www-authenticate"] == "Bearer"
            said.add(json.dumps(document))
    assert len(said) == 1
    assert "Invalid API Key" in said.pop()
    assert stand_ins.arrived(account.id) == []


def test_a_key_works_only_for_its_products(town: Town, stand_ins: StandIns) -> None:
    account = town.place.account("free", products="parse,split")
    with town.first.caller(account) as caller:
        problem(retrieve(caller), 403, "key_not_allowed")
        assert stand_ins.arrived(account.id) == []
        assert caller.post(PARSE, json={"source_url": "https://x.org/a", **json.loads(AGENTIC)}).is_success


# Requests


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/api/v2/nothing"),
        ("DELETE", RETRIEVE),
        ("GET", "/__seen"),
        ("POST", f"{RETRIEVE}/"),
        ("POST", "/API/v1/retrieval/retrieve"),
        ("GET", "/api/v1/beta/nothing"),
        ("PATCH", PARSE),
    ],
)
def test_a_path_without_a_route_is_never_forwarded(town: Town, stand_ins: StandIns, method: str, path: str) -> None:
    with town.first.caller(town.anybody) as caller:
        problem(caller.request(method, path), 404, "no_such_route")
    assert stand_ins.arrived(town.anybody.id) == []


def test_a_path_that_two_readers_would_read_differently_is_refused(town: Town, stand_ins: StandIns) -> None:
    with town.first.caller(town.anybody) as caller:
        for path in (
            "/api/v1//retrieval/retrieve",
            "/api/v1/x/%2e%2e/retrieval/retrieve",
            "/api/v1/retrieval%2fretrieve",
        ):
            reply = caller.send(httpx.Request("POST", f"{town.first.url}{path}", headers=town.anybody.bearer))
            problem(reply, 400, "bad_path")
    assert stand_ins.arrived(town.anybody.id) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_routes_limit_is_refused_before_the_upstream_sees_its_end(
    town: Town, stand_ins: StandIns, chunked: bool
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"query": "'
        for _ in range(40):
            yield b"x" * 32_768

    content: Any = pieces() if chunked else b"x" * 1_300_000
    with town.first.caller(town.anybody) as caller:
        refused = caller.post(RETRIEVE, content=content, headers={"Content-Type": "application/json"})
        problem(refused, 413, "body_too_large")
    assert stand_ins.arrived(town.anybody.id) == []


def test_a_mode_that_is_unknown_or_unreadable_is_never_the_cheapest(town: Town, stand_ins: StandIns) -> None:
    url = {"source_url": "https://example.com/a.pdf", "version": "latest"}
    bodies: list[dict[str, Any]] = [
        {"json": {**url, "tier": "platinum"}},
        {"json": {**url, "tier": "Fast"}},
        {"json": {**url, "tier": ["fast"]}},
        {"json": {**url, "tier": 1}},
        {"json": ["fast"]},
        {"content": b'{"tier": "fast", "tier": "agentic"}'},
        {"content": b'{"tier": "fast"'},
        {"content": b""},
    ]
    forms: list[list[tuple[str, Any]]] = [
        [("configuration", (None, "tier=fast"))],
        [("configuration", (None, '{"tier": "platinum"}'))],
        [("configuration", ("configuration.json", AGENTIC))],
    ]
    account = town.place.account("free")
    with town.first.caller(account) as caller:
        assert caller.get(PARSE).is_success
        kept = in_redis(town.place, account)
        replies = [caller.post(PARSE, **body) for body in bodies]
        replies += [caller.post(UPLOAD, files=[*form, ("file", b"text")]) for form in forms]
        for turn, reply in enumerate(replies):
            assert reply.status_code == 422, (turn, reply.text)
            (said,) = reply.json()["detail"]
            assert set(said) == {"loc", "msg", "type"}, turn
            assert said["type"] in {"unknown_mode", "unreadable_mode"}
            assert said["loc"][0] in {"body", "header"}
    assert replies[0].json()["known"] == ["fast", "cost_effective", "agentic", "agentic_plus"]
    assert in_redis(town.place, account) == kept
    assert len(stand_ins.arrived(account.id)) == 1


def test_a_second_configuration_behind_the_file_stops_the_upload(town: Town) -> None:
    account = town.place.account("free")
    twice: Any = [("configuration", (None, AGENTIC)), ("file", b"x" * 300_000), ("configuration", (None, "{}"))]
    with town.first.caller(account) as caller:
        refused = caller.post(UPLOAD, files=twice)
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["msg"] == "was sent more than once"
        # Its call was admitted when its end was still to come, so it counts as one; it holds and costs nothing.
        used = town.place.settled(account)
        assert used.credits["used"] == used.calls == 0
        assert caller.get(PARSE).json()["items"] == []


# Isolation


@pytest.fixture(scope="module")
def _owners() -> dict[str, Any]:
    """Filled by the first test that needs two accounts."""
    return {}


class Owner:
    """An account that has one of everything the services keep."""

    def __init__(self, town: Town) -> None:
        self.account = town.place.account("pro")
        with town.first.caller(self.account) as caller:
            pdf = ("sample.pdf", sample_pdf(1), "application/pdf")
            self.file_id = self._id(caller.post("/api/v1/beta/files", files={"file": pdf}, data={"purpose": "parse"}))
            config = {"data_schema": {"type": "object"}}
            rules = {"rules": [{"type": "a", "description": "b"}]}
            parse = {"file_id": self.file_id, **json.loads(AGENTIC)}
            saved = {"product_type": "parse_v2", "tier": "fast", "version": "latest"}
            self.jobs = {
                "parse_v2": self._id(caller.post(PARSE, json=parse)),
                "extract_v2": self._id(caller.post("/api/v2/extract", json=self._on_file(config))),
                "classify_v2": self._id(caller.post("/api/v2/classify", json=self._on_file(rules))),
                "split": self._id(
                    caller.post("/api/v1/split/jobs", json=self._on_file({"categories": [{"name": "a"}]}))
                ),
            }
            beta = {
                "document_input": {"type": "file_id", "value": self.file_id},
                "configuration": {"categories": [{"name": "a"}]},
            }
            self.jobs["split_beta"] = self._id(caller.post("/api/v1/beta/split/jobs", json=beta))
            older = caller.post("/api/v1/parsing/upload", files={"file": pdf})
            self.jobs["parse_v1"] = self._id(older)
            self.session_id = caller.post("/api/v1/chat", json={"index_ids": ["idx-demo"]}).json()["session_id"]
            self.configuration_id = self._id(
                caller.post("/api/v1/beta/configurations", json={"name": "mine", "parameters": saved})
            )

            self.jobs |= self._older_jobs(caller)

    def _older_jobs(self, caller: httpx.Client) -> dict[str, str]:
        """Jobs of the services that older clients call, and a batch."""
        text = ("a.txt", b"text")
        parse = self._id(caller.post("/api/v1/parsing/upload", files={"file": text}))
        eventually(lambda: caller.get(f"/api/v1/parsing/job/{parse}").json()["status"] == "SUCCESS")
        schema = {"name": "mine", "data_schema": {"type": "object"}}
        agent = self._id(caller.post("/api/v1/extraction/extraction-agents", json=schema))
        run = {"extraction_agent_id": agent, "file_id": self.file_id}
        sorting = {"file_ids": [self.file_id], "rules": [{"type": "a", "description": "b"}]}
        directory = self._id(caller.post("/api/v1/beta/directories", json={"name": "mine"}))
        job = {"type": "parse_v2", "configuration_id": self.configuration_id}
        batch = {"config": {"job": job}, "source_directory_id": directory}
        return {
            "parse_v1": parse,
            "sheets": self._id(caller.post("/api/v1/beta/sheets/jobs", json={"file_id": self.file_id})),
            "extract_v1": self._id(caller.post("/api/v1/extraction/jobs", json=run)),
            "classify_v1": self._id(caller.post("/api/v1/classifier/jobs", json=sorting)),
            "batch_v2": self._id(caller.post("/api/v2/batches", json=batch)),
        }

    def path_of(self, route: Route) -> str:
        """The route's path, with what this account has in the place of its parameters."""
        job_id = "" if route.job is None else self.jobs.get(route.job.kind, self.jobs["parse_v2"])
        known = {
            "job_id": job_id,
            "file_id": self.file_id,
            "session_id": self.session_id,
            "configuration_id": self.configuration_id,
            "result...": "json",
            "region...": "r0/result/table",
        }
        path = route.pattern
        for part in route.pattern.split("/"):
            if part.startswith("{"):
                path = path.replace(part, known.get(part.strip("{}"), "idx-mine"))
        return path

    def _on_file(self, configuration: dict[str, Any]) -> dict[str, Any]:
        return {"file_input": self.file_id, "configuration": configuration}

    @staticmethod
    def _id(reply: httpx.Response) -> str:
        assert reply.is_success, reply.text
        found: str = reply.json()["id"]
        return found


@pytest.fixture
def owner(town: Town, _owners: dict[str, Any]) -> Owner:
    """Somebody with things of their own."""
    if "owner" not in _owners:
        _owners["owner"] = Owner(town)
    found: Owner = _owners["owner"]
    return found


def body_of(route: Route) -> dict[str, Any]:
    """A body that the route's pricing is content with."""
    if route.method in {"GET", "DELETE"}:
        return {}
    forms = {"/api/v1/beta/files", "/api/v1/files", "/api/v1/extraction/jobs/file"}
    if route.pattern.endswith("/upload") or route.pattern in forms:
        return {"files": {"configuration": (None, AGENTIC), "file": ("a.txt", b"text")}}
    return {"json": {"version": "latest"}}


def test_what_belongs_to_one_account_is_nowhere_for_another(town: Town, owner: Owner) -> None:
    stranger = town.place.account("pro")
    routes = load(town.place.config, town.place.environment).catalog.routes.routes
    seen = []
    with town.first.caller(stranger) as caller, town.first.caller(owner.account) as owning:
        for route in routes:
            if "{" not in route.pattern:
                continue
            path = owner.path_of(route)
            reply = caller.request(route.method, path, **body_of(route))
            answer = (route.name, reply.status_code)
            # 405 and 422 are of services that have no such method, or find no query in the body.
            allowed = {404, 405} if route.metered is None else {404, 405, 422}
            assert answer[1] in allowed, (answer, reply.text)
            seen.append(route.name)
            if route.job is not None and route.job.use is JobUse.POLL and route.job.kind in owner.jobs:
                assert owning.get(path).is_success, route.name
    assert len(seen) > 50
    assert town.place.settled(stranger).credits["used"] == 0


def test_nothing_can_be_made_of_another_accounts_things(town: Town, owner: Owner) -> None:
    stranger = town.place.account("pro")
    parse_job, file_id = owner.jobs["parse_v2"], owner.file_id
    config = {"data_schema": {"type": "object"}}
    rules = {"rules": [{"type": "a", "description": "b"}]}
    calls: list[tuple[str, dict[str, Any]]] = [
        (PARSE, {"file_id": file_id, **json.loads(AGENTIC)}),
        (PARSE, {"source_url": "https://x.org/a", "configuration_id": owner.configuration_id}),
        ("/api/v2/extract", {"file_input": file_id, "configuration": config}),
        ("/api/v2/extract", {"file_input": parse_job, "configuration": config}),
        ("/api/v2/classify", {"file_input": file_id, "configuration": rules}),
        ("/api/v2/classify", {"parse_job_id": parse_job, "configuration": rules}),
        ("/api/v1/split/jobs", {"file_input": file_id, "configuration": {"categories": [{"name": "a"}]}}),
        (f"/api/v1/chat/{owner.session_id}/messages/stream", {"index_ids": ["idx-demo"], "prompt": "?"}),
    ]
    with town.first.caller(stranger) as caller:
        for path, document in calls:
            assert caller.post(path, json=document).status_code == 404, path
        for path in (PARSE, "/api/v2/extract", "/api/v1/split/jobs", "/api/v1/beta/files", "/api/v1/chat"):
            assert caller.get(path).json()["items"] == [], path
    used = town.place.settled(stranger)
    assert used.charged == {}
    assert used.credits["held"] == 0


@pytest.mark.parametrize("name", ["project_id", "organization_id"])
def test_another_accounts_project_is_not_found_wherever_it_is_named(
    town: Town, stand_ins: StandIns, owner: Owner, name: str
) -> None:
    stranger = town.place.account("pro")
    theirs = owner.account.project_id if name == "project_id" else owner.account.id
    own = stranger.project_id if name == "project_id" else stranger.id
    routes = load(town.place.config, town.place.environment).catalog.routes.routes
    file: FormPart = ("file", ("a.txt", b"text" * 10_000))
    configuration: FormPart = ("configuration", (None, AGENTIC))
    foreign: FormPart = (name, (None, theirs))
    right: FormPart = (name, (None, own))
    stand_ins.settle()
    with town.first.caller(stranger) as caller:
        for route in routes:
            reply = caller.request(route.method, owner.path_of(route), params={name: theirs}, **body_of(route))
            assert reply.status_code == 404, (route.name, reply.text)
            if "{" not in route.pattern and route.method == "POST" and "json" in body_of(route):
                reply = caller.post(route.pattern, json={"version": "latest", name: theirs})
                assert reply.status_code == 404, (route.name, reply.text)
                assert reply.headers["content-type"] == "application/problem+json", route.name
        assert stand_ins.arrived(stranger.id) == []
        for form in ([foreign, configuration, file], [configuration, file, foreign], [configuration, foreign, file]):
            problem(caller.post(UPLOAD, files=form), 404, "no_such_project")
            problem(caller.post("/api/v1/files", files=form), 404, "no_such_project")
        twice = caller.post(UPLOAD, files=[right, configuration, file, foreign])
        assert twice.status_code in {404, 422}
        assert caller.get(PARSE, params={name: own}).json()["items"] == []
        assert caller.get("/api/v1/beta/files", params={name: own}).json()["items"] == []
        assert caller.post(UPLOAD, files=[right, configuration, file]).is_success
    town.place.settled(stranger)
