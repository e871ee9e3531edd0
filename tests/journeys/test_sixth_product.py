"""A product that does not exist, added by the YAML of docs/products.md alone, quoted and charged by real gateways."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.journeys.conftest import Town
from tests.journeys.gateway_process import ROOT, Account, Gateway, Launcher, Place
from tests.ports import free_port

GUIDE = ROOT / "docs" / "products.md"


def blocks() -> dict[str, Any]:
    """The YAML of the guide, by where it says that it belongs."""
    found = re.findall(r"```yaml\n# ([^\n]+)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return {place: yaml.safe_load(text) for place, text in found}


class Redact:
    """The service: a redaction is done at once, of as many pages as its file's name says."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[str, int, str]] = {}
        self.credentials: set[str] = set()

    async def create(self, request: Request) -> Response:
        self.credentials.add(request.headers["authorization"])
        body = await request.json()
        job_id = f"red-{len(self.jobs)}"
        state = "failed" if body.get("level") == "everything" and "broken" in body else "done"
        self.jobs[job_id] = (request.headers["x-account-id"], body.get("done", 4), state)
        return JSONResponse({"job": {"id": job_id}}, 202)

    async def get(self, request: Request) -> Response:
        owner, pages, state = self.jobs[request.path_params["job_id"]]
        if owner != request.headers["x-account-id"]:
            return JSONResponse({"detail": "Not found"}, 404)
        return JSONResponse({"state": state, "pages_done": pages})

    async def live(self, request: Request) -> Response:
        """An event for each number that is sent, holding so many lines."""
        events = [b'data: {"lines": %d}\n\n' % lines for lines in (await request.json())["lines"]]
        return StreamingResponse(_slowly(events), media_type="text/event-stream")

    async def preview(self, _request: Request) -> Response:
        return JSONResponse({"image": "made up"})

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/v1/redactions", self.create, methods=["POST"]),
                Route("/api/v1/redactions/live", self.live, methods=["POST"]),
                Route("/api/v1/redactions/preview", self.preview, methods=["POST"]),
                Route("/api/v1/redactions/{job_id}", self.get, methods=["GET"]),
            ]
        )


async def _slowly(events: list[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event
        await asyncio.sleep(0)


@contextmanager
def serving(redact: Redact) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(redact.app(), port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def redact() -> Redact:
    return Redact()


@pytest.fixture(scope="module")
def place(launcher: Launcher, redact: Redact) -> Iterator[Place]:
    """The shipped configuration with the guide's blocks where the guide says."""
    guide = blocks()

    def routes(document: dict[str, Any]) -> None:
        document["job_kinds"] |= guide["routes.yaml, under job_kinds"]
        document["routes"] |= guide["routes.yaml, under routes"]

    with serving(redact) as url:
        place = Place(
            launcher,
            "http://127.0.0.1:9",  # nothing else is called
            environment={"REDACT_URL": url, "REDACT_CREDENTIAL": "for-redact-alone"},
            edit=lambda document: document["upstreams"].update(guide["gateway.yaml, under upstreams"]),
            routes=routes,
        )
        card = place.config.parent / "rate_card.yaml"
        document = yaml.safe_load(card.read_text())
        document["products"] |= guide["rate_card.yaml, under products"]
        card.write_text(yaml.safe_dump(document, sort_keys=False, default_flow_style=False))
        try:
            yield place
        finally:
            place.close()


@pytest.fixture(scope="module")
def gateway(place: Place) -> Gateway:
    return place.serve()


@pytest.fixture
def account(place: Place, gateway: Gateway) -> Account:
    return place.account("free")


def held(reply: httpx.Response) -> Decimal:
    assert reply.status_code == 202, reply.text
    return Decimal(reply.headers["x-credits-held"])


def test_the_guide_shows_four_files_entries() -> None:
    assert sorted(blocks()) == [
        "gateway.yaml, under upstreams",
        "rate_card.yaml, under products",
        "routes.yaml, under job_kinds",
        "routes.yaml, under routes",
    ]


@pytest.mark.parametrize(
    ("body", "expected_held", "mode", "expected"),
    [
        ({}, 20, "names", 4 * 2),
        ({"level": "NAMES"}, 20, "names", 4 * 2),
        ({"level": "everything", "pages": "1-3", "done": 3}, 24, "everything", 3 * 8),
        ({"level": "everything", "audit": True, "max_pages": 2, "done": 2}, 18, "everything", 2 * 9),
        ({"done": 25}, 20, "names", 25 * 2),
    ],
)
def test_a_job_is_held_and_charged_as_the_guide_says(
    place: Place,
    gateway: Gateway,
    account: Account,
    redact: Redact,
    body: dict[str, Any],
    expected_held: int,
    mode: str,
    expected: int,
) -> None:
    with gateway.caller(account) as caller:
        started = caller.post("/api/v1/redactions", json=body)
        assert held(started) == expected_held
        polled = caller.get(f"/api/v1/redactions/{started.json()['job']['id']}")
        assert polled.json()["state"] == "done"
    assert place.settled(account).charged == {("redact", mode): expected}
    assert place.reconciled(account)
    assert redact.credentials == {"Bearer for-redact-alone"}


def test_a_preview_is_charged_exactly(place: Place, gateway: Gateway, account: Account) -> None:
    with gateway.caller(account) as caller:
        reply = caller.post("/api/v1/redactions/preview", json={})
        assert reply.headers["x-credits-charged"] == "0.5"
        assert reply.headers["x-credits-remaining"] == "9999.5"
    assert place.settled(account).charged == {("redact", "preview"): Decimal("0.5")}


def test_a_stream_is_charged_for_what_it_delivers(place: Place, gateway: Gateway, account: Account) -> None:
    with gateway.caller(account) as caller:
        reply = caller.post("/api/v1/redactions/live", json={"lines": [1, 4, 0, 7, 2]})
    assert reply.headers["x-credits-held"] == "5"
    assert reply.text.count("data: ") == 5
    assert place.settled(account).charged == {("redact", "live"): 14}
    assert place.reconciled(account)


def test_a_stream_ends_where_the_credits_do_and_says_so(place: Place, gateway: Gateway) -> None:
    account = place.account("free", credits_=8)
    with gateway.caller(account) as caller:
        reply = caller.post("/api/v1/redactions/live", json={"lines": [3, 4, 2, 1]})
    *events, told = reply.text.removesuffix("\n\n").split("\n\n")
    assert events == ['data: {"lines": 3}', 'data: {"lines": 4}']
    kind, _, data = told.partition("\n")
    problem = json.loads(data.removeprefix("data: "))
    assert (kind, problem["status"], problem["code"]) == ("event: error", 402, "credits_exhausted")
    assert (problem["required_credits"], problem["available_credits"]) == (1, 0)
    assert place.settled(account).charged == {("redact", "live"): 7}
    assert place.usage(account).credits["remaining"] == 1


def test_what_the_guide_refuses_is_refused(place: Place, gateway: Gateway, account: Account) -> None:
    with gateway.caller(account) as caller:
        unknown = caller.post("/api/v1/redactions", json={"level": "preview"})
        assert (unknown.status_code, unknown.json()["known"]) == (422, ["names", "everything"])
        assert caller.post("/api/v1/redactions", json={"pages": "some"}).status_code == 422
        assert caller.delete("/api/v1/redactions/red-0").status_code == 404
        failed = caller.post("/api/v1/redactions", json={"level": "everything", "broken": True})
        other = place.account("free")
        with gateway.caller(other) as stranger:
            assert stranger.get(f"/api/v1/redactions/{failed.json()['job']['id']}").status_code == 404
    assert place.settled(account).charged == {}


def test_the_town_knows_no_such_product(town: Town) -> None:
    with town.first.caller(town.place.account("free")) as caller:
        assert caller.post("/api/v1/redactions", json={}).status_code == 404
