"""Saved configurations: asked for once, never waited for long, forgotten when they change."""

import asyncio
from dataclasses import replace

import pytest

from gateway.domain.terms import AccountStatus, Terms
from gateway.flows import saved_modes
from gateway.flows.authenticate import Caller
from gateway.flows.job_documents import Followed
from gateway.flows.saved_modes import SavedModes
from gateway.upstream.answer import HeaderLines, RequestBody
from gateway.upstream.faults import UpstreamUnreachable
from gateway.wire.saved_configuration import LookUp
from tests.flows.job_upstream import Answer
from tests.made_up import Clock

TIER = ("parameters", "tier")
WANTED = LookUp("parse", "/saved/cfg-1", (TIER,))
TERMS = Terms("acc_1", 1, AccountStatus.ACTIVE, (), 1, 0)
ANN = Caller("key_1", "acc_1", "prj_1", None, None, TERMS, b"")
OK = b'{"parameters": {"tier": "fast"}}'


class Service:
    """Keeps configurations; `gate` closed, it does not answer."""

    def __init__(self) -> None:
        self.asked: list[dict[bytes, bytes]] = []
        self.status, self.body = 200, OK
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False
        self._arrivals = asyncio.Semaphore(0)

    async def send(self, _method: bytes, _target: bytes, headers: HeaderLines, _body: RequestBody) -> Answer:
        self.asked.append(dict(headers))
        self._arrivals.release()
        status, body = self.status, self.body
        await self.gate.wait()
        if self.away:
            raise UpstreamUnreachable("away")
        return Answer(status, body)

    async def arrived(self, calls: int = 1) -> None:
        """Waits for so many more calls."""
        for _ in range(calls):
            await self._arrivals.acquire()

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def saved(service: Service, clock: Clock) -> SavedModes:
    return SavedModes({"parse": Followed(service, (b"authorization", b"Bearer ours"))}, clock)


async def test_a_configuration_is_asked_for_once_a_minute_and_as_its_owner(
    saved: SavedModes, service: Service, clock: Clock
) -> None:
    for _ in range(3):
        assert await saved.find(ANN, WANTED, request_id="req_1") == {TIER: "fast"}
    (headers,) = service.asked
    assert headers[b"x-account-id"] == b"acc_1"
    assert headers[b"x-project-id"] == b"prj_1"
    assert headers[b"authorization"] == b"Bearer ours"
    clock.forward(seconds=61)
    await saved.find(ANN, WANTED, request_id="req_2")
    assert len(service.asked) == 2


async def test_another_project_is_not_told_what_this_one_was(saved: SavedModes, service: Service) -> None:
    await saved.find(ANN, WANTED, request_id="req_1")
    service.status = 404
    assert await saved.find(replace(ANN, project_id="prj_2"), WANTED, request_id="req_2") == {}


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, OK), (500, OK), (200, b"{}"), (200, b"no json"), (200, b"[]"), (200, b'{"parameters": {"tier": 7}}')],
)
async def test_one_that_tells_no_mode_is_asked_again_soon_but_not_by_every_call(
    saved: SavedModes, service: Service, clock: Clock, status: int, body: bytes
) -> None:
    service.status, service.body = status, body
    for _ in range(3):
        assert await saved.find(ANN, WANTED, request_id="req_1") == {}
    assert len(service.asked) == 1
    clock.forward(seconds=6)
    service.status, service.body = 200, OK
    assert await saved.find(ANN, WANTED, request_id="req_2") == {TIER: "fast"}


async def test_an_answer_without_end_is_not_read(saved: SavedModes, service: Service) -> None:
    service.body = b'{"parameters": {"tier": "fast"}, "more": "' + b"x" * saved_modes.REPLY_BYTES + b'"}'
    assert await saved.find(ANN, WANTED, request_id="req_1") == {}


async def test_a_service_that_is_away_or_silent_costs_a_moment_and_no_call(
    saved: SavedModes, service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.away = True
    assert await saved.find(ANN, WANTED, request_id="req_1") == {}
    clock.forward(seconds=6)
    monkeypatch.setattr(saved_modes, "WITHIN_S", 0.01)
    service.gate.clear()
    assert await saved.find(ANN, WANTED, request_id="req_2") == {}
    assert len(service.asked) == 2


async def test_what_is_being_read_while_it_changes_is_not_remembered(saved: SavedModes, service: Service) -> None:
    service.gate.clear()
    early = asyncio.ensure_future(saved.find(ANN, WANTED, request_id="req_1"))
    await service.arrived()
    service.body = b'{"parameters": {"tier": "agentic"}}'
    saved.forget("acc_1", "/saved/cfg-1")
    late = asyncio.ensure_future(saved.find(ANN, WANTED, request_id="req_2"))
    await service.arrived()
    service.gate.set()
    assert await early == {TIER: "fast"}
    assert await late == {TIER: "agentic"}
    assert await saved.find(ANN, WANTED, request_id="req_3") == {TIER: "agentic"}


async def test_a_change_is_forgotten_of_the_account_and_path_alone(saved: SavedModes, service: Service) -> None:
    await saved.find(ANN, WANTED, request_id="req_1")
    saved.forget("acc_2", "/saved/cfg-1")
    saved.forget("acc_1", "/saved/cfg-2")
    await saved.find(ANN, WANTED, request_id="req_2")
    assert len(service.asked) == 1
    saved.forget("acc_1", "/saved/cfg-1")
    await saved.find(ANN, WANTED, request_id="req_3")
    assert len(service.asked) == 2


async def test_an_account_cannot_keep_the_service_busy_with_made_up_names(saved: SavedModes, service: Service) -> None:
    service.gate.clear()
    made_up = [WANTED._replace(target=f"/saved/cfg-{number}") for number in range(20)]
    asks = [asyncio.ensure_future(saved.find(ANN, one, request_id="req_1")) for one in made_up]
    await service.arrived(saved_modes.AT_ONCE_PER_ACCOUNT)
    service.gate.set()
    answers = await asyncio.gather(*asks)
    assert len(service.asked) == saved_modes.AT_ONCE_PER_ACCOUNT
    assert answers.count({}) == 20 - saved_modes.AT_ONCE_PER_ACCOUNT


async def test_a_service_that_does_not_keep_accounts_apart_is_not_asked(service: Service, clock: Clock) -> None:
    assert await SavedModes({}, clock).find(ANN, WANTED, request_id="req_1") == {}
    assert service.asked == []
