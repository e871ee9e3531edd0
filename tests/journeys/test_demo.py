"""`gateway demo` as a newcomer meets it: one command, lines to paste, one signal and everything is gone."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.journeys.gateway_process import ROOT, Launcher, Running, eventually
from tests.ports import free_port

RETRIEVE: Final = "/api/v1/retrieval/retrieve"
QUERY: Final = {"index_id": "idx-demo", "query": "invoice total"}
STOP_WITHIN_S: Final = 2.0


def ready(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
    return False


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True)  # noqa: S607 POSIX
    parents = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    found = [pid]
    for one in found:
        found += [child for child, parent in parents if parent == one]
    return found


def lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def keys_in(printed: str) -> dict[str, str]:
    """The keys it printed, by plan."""
    lines = [line.split() for line in printed.splitlines() if line.startswith("  ") and "cgw_live_" in line]
    return {words[0]: words[1] for words in lines}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A data folder whose accounts were made by a demo that was started from a shell, and has ended."""
    with tempfile.TemporaryDirectory(prefix="cgw-", dir="/tmp", ignore_cleanup_errors=True) as name:
        port = free_port()
        environment = {**os.environ, "GATEWAY_PORT": str(port), "GATEWAY_ADMIN_PORT": str(free_port())}
        command = [sys.executable, "-m", "gateway", "demo", "--data", name]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            eventually(lambda: ready(port), within_s=60)
            process.terminate()
            assert process.stdout is not None
            printed = process.stdout.read()
        assert process.returncode == 0
        assert set(keys_in(printed)) == {"free", "starter", "pro", "enterprise"}
        Path(name, "first.txt").write_text(printed)
        yield Path(name)


Start = Callable[..., Running]


@pytest.fixture
def start(launcher: Launcher, folder: Path) -> Iterator[Start]:
    """Starts the demo on that folder, at a port; whatever runs at the end is stopped."""
    started: list[Running] = []

    def begin(port: int) -> Running:
        own = {"GATEWAY_PORT": str(port), "GATEWAY_ADMIN_PORT": ""}
        process = launcher.start("gateway.edges.cli:main", "demo", "--data", str(folder), environment=own)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.stop()


def test_each_line_that_begins_with_curl_works_when_pasted(start: Start) -> None:
    port = free_port()
    process = start(port)
    eventually(lambda: ready(port), within_s=60)
    lines = [line for line in process.printed.splitlines() if line.startswith("curl ")]
    assert len(lines) >= 3
    answers = []
    for line in lines:
        pasted = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)  # noqa: S607
        assert pasted.returncode == 0, pasted.stderr
        answers.append(pasted.stdout)
    assert json.loads(answers[0])["status"] == "PENDING"
    assert answers[1].startswith("HTTP/1.1 200")
    assert "x-credits-charged: 1" in answers[1]
    usage = json.loads(answers[2])
    assert usage["plan"]["id"] == "pro"
    assert usage["credits"]["used"] > 0
    (loop,) = [line for line in process.printed.splitlines() if line.startswith("for ")]
    pasted = subprocess.run(["bash", "-c", loop], capture_output=True, text=True, check=False)  # noqa: S607
    assert pasted.stdout.split() == ["200"] * 20 + ["429"]


def test_a_second_start_keeps_accounts_keys_and_history(start: Start, folder: Path) -> None:
    port = free_port()
    process = start(port)
    eventually(lambda: ready(port), within_s=60)
    keys = keys_in(process.printed)
    assert keys == keys_in((folder / "first.txt").read_text())
    assert "Making" not in process.complained
    for plan in ("starter", "pro", "enterprise"):
        headers = {"Authorization": f"Bearer {keys[plan]}"}
        assert httpx.post(f"http://127.0.0.1:{port}{RETRIEVE}", json=QUERY, headers=headers).is_success, plan


def test_past_periods_of_every_paid_plan_are_invoiced_and_paid_and_a_new_invoice_is_not_due_yet(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "books.sqlite")) as books:
        invoices = books.execute("SELECT account_id, status FROM invoices ORDER BY number").fetchall()
        tiers = books.execute("SELECT COUNT(*) FROM invoice_lines WHERE kind = 'pay_as_you_go'").fetchone()
    by_account: dict[str, list[str]] = {}
    for account_id, status in invoices:
        by_account.setdefault(account_id, []).append(status)
    assert len(by_account) == len(("starter", "pro", "enterprise"))
    for statuses in by_account.values():
        assert len(statuses) >= 3
        assert set(statuses[:-1]) == {"paid"}
    # What is due is collected as soon as the demo runs; the contract has its net days.
    assert "issued" in {statuses[-1] for statuses in by_account.values()}
    assert tiers[0] >= 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_ends_every_process_within_two_seconds(start: Start, folder: Path, number: signal.Signals) -> None:
    port = free_port()
    began_s = time.monotonic()
    process = start(port)
    eventually(lambda: ready(port), within_s=60)
    started_s = time.monotonic() - began_s
    # A PDF makes the services start their page counter.
    upload = next(line for line in process.printed.splitlines() if line.startswith("curl "))
    subprocess.run(["bash", "-c", upload], capture_output=True, check=True)  # noqa: S607
    processes = family(process.pid)
    assert len(processes) >= 3, "the gateway, its Valkey server, the page counter"
    with socket.create_connection(("127.0.0.1", port)) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(100)
        began_s = time.monotonic()
        process.signal(number)
        assert process.ended() == 0
        eventually(lambda: not any(map(lives, processes)))
        # A machine on which starting takes longer is a busy one.
        assert time.monotonic() - began_s < max(STOP_WITHIN_S, started_s)
    assert "Traceback" not in process.complained


def test_a_port_in_use_is_told_in_a_sentence_before_anything_is_done(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(port)
        assert process.ended() == 1
    assert process.printed == ""
    (sentence,) = process.complained.splitlines()
    assert f"127.0.0.1:{port}" in sentence
    assert "in use" in sentence
    assert "GATEWAY_PORT" in sentence
