"""Services say that something became of a job, and nothing else: what they may start is a look."""

from collections.abc import Mapping

import orjson
import pytest

from gateway.ledger.keys import shard_of
from gateway.wire.upstream_webhook import is_signed, read_job_news, signature
from tests.edges.api.conftest import WEBHOOK_SECRET, Running
from tests.edges.api.test_receipts import relay, terms_of
from tests.flows.calls import capture, hold

PATH = "/webhooks/upstream/parse"
NEWS = orjson.dumps({"event_id": "evt_1", "event_type": "parse.success", "data": {"job_id": "pjb-1"}})


def signed(body: bytes, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    return {"lc-signature": signature(body, secret.encode()).decode()}


async def send(running: Running, body: bytes = NEWS, *, headers: Mapping[str, str] | None = None) -> int:
    async with running.caller() as service:
        reply = await service.post(PATH, content=body, headers=signed(body) if headers is None else headers)
    return reply.status_code


async def job(running: Running) -> tuple[str, str]:
    """A job that is to be looked at in an hour; its hold id and its account."""
    opened, _ = await running.open_account()
    hold_id = await hold(running.ledger, await terms_of(running, opened.id), 1)
    assert await running.ledger.attach_job(
        hold_id,
        opened.id,
        upstream="parse",
        job_kind="parse_v2",
        job_id="pjb-1",
        limit_ms=7_200_000,
        first_look_ms=3_600_000,
    )
    return hold_id, opened.id


async def due(running: Running, account_id: str) -> list[str]:
    leases = await running.ledger.lease_jobs(shard_of(account_id), count=10, lease_ms=3_600_000)
    return [lease.hold_id for lease in leases]


@pytest.mark.parametrize("booked", [True, False])
async def test_a_webhook_has_its_job_looked_at_now(running: Running, *, booked: bool) -> None:
    hold_id, account_id = await job(running)
    if booked:
        await relay(running)
    assert await due(running, account_id) == []
    assert await send(running) == 202
    assert await due(running, account_id) == [hold_id]


async def test_repeats_and_stragglers_change_nothing(running: Running) -> None:
    hold_id, account_id = await job(running)
    assert [await send(running) for _ in range(3)] == [202] * 3
    assert await due(running, account_id) == [hold_id]
    assert await due(running, account_id) == []
    await capture(running.ledger, await terms_of(running, account_id), hold_id)
    before = await running.ledger.counters(account_id)
    assert await send(running) == 202
    assert await running.ledger.counters(account_id) == before
    assert await due(running, account_id) == []


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps({"event_id": "evt_1", "event_type": "x", "data": {"job_id": "pjb-unknown"}}),
        orjson.dumps({"event_id": "evt_1", "event_type": "x", "data": {"job_id": "../../etc"}}),
        orjson.dumps({"event_id": "evt_1", "event_type": "x", "data": {"job_id": 5}}),
        orjson.dumps({"event_id": "evt_1", "event_type": "configuration.created", "data": {}}),
        b"{}",
    ],
)
async def test_news_of_no_job_of_ours_are_taken_and_come_to_nothing(running: Running, body: bytes) -> None:
    hold_id, account_id = await job(running)
    assert await send(running, body) == 202
    assert await due(running, account_id) == []
    assert len(hold_id) == 36


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"lc-signature": ""},
        {"lc-signature": "sha256="},
        {"lc-signature": "sha256=" + "0" * 64},
        {"lc-signature": signature(NEWS, WEBHOOK_SECRET.encode()).decode().removeprefix("sha256=")},
        {"lc-signature": signature(NEWS + b" ", WEBHOOK_SECRET.encode()).decode()},
        signed(NEWS, "another secret"),
        {"lc-signature": "é"},
    ],
)
async def test_a_webhook_that_is_not_signed_starts_nothing(running: Running, headers: Mapping[str, str]) -> None:
    _, account_id = await job(running)
    async with running.caller() as service:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        reply = await service.post(PATH, content=NEWS, headers=raw)
    assert (reply.status_code, reply.json()["code"]) == (401, "invalid_signature")
    assert await due(running, account_id) == []


async def test_two_signatures_are_none(running: Running) -> None:
    async with running.caller() as service:
        shown = signature(NEWS, WEBHOOK_SECRET.encode())
        reply = await service.post(PATH, content=NEWS, headers=[(b"lc-signature", shown)] * 2)
    assert reply.status_code == 401


@pytest.mark.parametrize("upstream", ["extract", "nobody", "parse%00"])
async def test_an_upstream_without_a_secret_is_believed_nothing(running: Running, upstream: str) -> None:
    async with running.caller() as service:
        reply = await service.post(f"/webhooks/upstream/{upstream}", content=NEWS, headers=signed(NEWS))
    assert reply.status_code == 401


async def test_a_body_that_is_too_long_is_not_read_to_its_end(running: Running) -> None:
    assert await send(running, b"x" * 65_536) == 400
    assert await send(running, b"x" * 65_537) == 413


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"pjb-1"', b"\xff"])
async def test_a_signed_body_that_is_no_object_is_a_bad_request(running: Running, body: bytes) -> None:
    assert await send(running, body) == 400


async def test_a_get_is_no_webhook(running: Running) -> None:
    async with running.caller() as service:
        assert (await service.get(PATH)).status_code == 405


async def test_the_service_is_asked_to_try_again_while_redis_is_away(running: Running) -> None:
    await job(running)
    await running.store.close()
    assert await send(running) == 503


def test_the_signature_is_the_hmac_of_the_body_as_openssl_makes_it() -> None:
    # printf '{}' | openssl dgst -sha256 -hmac key
    shown = b"sha256=a777724d943eb48dc69bca8a4a6d57a04db3f9ec7e1de4e581e860265bdf3032"
    assert is_signed(b"{}", shown, b"key")
    assert not is_signed(b"{} ", shown, b"key")
    assert not is_signed(b"{}", shown.upper(), b"key")
    assert read_job_news(NEWS) == "pjb-1"
