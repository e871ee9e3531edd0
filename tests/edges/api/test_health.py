"""Alive, ready, and the numbers for Prometheus."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import Counter

from gateway.edges.api import readiness
from tests.edges.api.conftest import Running


@pytest.fixture(autouse=True)
def _ask_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "KEPT_S", 0)


async def test_a_process_with_both_stores_is_ready(running: Running) -> None:
    async with running.caller() as caller, running.operator() as operator:
        for client in (caller, operator):
            reply = await client.get("/readyz")
            assert reply.status_code == 200
            assert reply.json() == {"ready": True, "parts": {"redis": "ok", "books": "ok", "draining": "no"}}


async def test_a_process_that_drains_is_alive_and_not_ready(running: Running) -> None:
    running.readiness.drain()
    async with running.caller() as caller:
        assert (await caller.get("/healthz")).status_code == 200
        reply = await caller.get("/readyz")
    assert reply.status_code == 503
    assert reply.json() == {"ready": False, "parts": {"redis": "ok", "books": "ok", "draining": "yes"}}


async def test_without_redis_it_is_alive_and_not_ready(running: Running) -> None:
    await running.store.close()
    async with running.caller() as caller:
        assert (await caller.get("/healthz")).json() == {"status": "ok"}
        reply = await caller.get("/readyz")
    assert reply.status_code == 503
    assert reply.json()["parts"]["redis"] == "not available: closed"
    assert reply.json()["parts"]["books"] == "ok"


async def test_a_redis_that_may_lose_credits_is_not_ready(running: Running) -> None:
    await running.store.execute("CONFIG", "SET", "appendonly", "no", key="")
    try:
        async with running.caller() as caller:
            reply = await caller.get("/readyz")
    finally:
        await running.store.execute("CONFIG", "SET", "appendonly", "yes", key="")
    assert reply.status_code == 503
    assert "append-only file is off" in reply.json()["parts"]["redis"]


async def test_the_admin_listener_shows_metrics(running: Running) -> None:
    Counter("gateway_made_up", "For this test.", registry=running.registry).inc(3)
    async with running.operator() as operator:
        reply = await operator.get("/metrics")
        missing = await operator.get("/api/v1/organizations/acc_1/usage")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert "gateway_made_up_total 3.0" in reply.text
    assert missing.status_code == 404


@pytest.fixture
def numbers_of_two_workers(tmp_path: Path) -> Path:
    """Where two processes have counted to two each, and ended."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    counts = "from prometheus_client import Counter; Counter('gateway_made_up', 'For this test.').inc(2)"
    for _ in range(2):
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
        subprocess.run([sys.executable, "-c", counts], env=environ, check=True)
    return folder


async def test_the_numbers_of_all_worker_processes_are_shown(
    running: Running, numbers_of_two_workers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(numbers_of_two_workers))
    async with running.operator() as operator:
        reply = await operator.get("/metrics")
    assert "gateway_made_up_total 4.0" in reply.text
