"""What dies may die at any moment: every complete reply is charged once, nothing else is, and the books agree.

The same rounds as `python -m tests.journeys.kill_rounds`, three of them; and the stores that are emptied, set back,
locked and stopped under load. Nothing waits for holds of killed calls to expire: the long script does.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import valkey_start_s
from tests.journeys.kill_harness import Program, Site, site
from tests.journeys.kill_load import RETRIEVE, Callers
from tests.journeys.kill_postgres import Postmaster
from tests.journeys.kill_rounds import orphans, run_rounds
from tests.journeys.kill_upstream import Witness, serving
from tests.journeys.kill_verdict import Auditor, Stand, Verdict, auditing, judge
from tests.postgres import running_postgres

SEED = 20261123
# Jobs end within 4 s; the lease of one whose follower was killed while it looked takes 30.
DRAIN_S = 40.0
SETTLES_WITHIN_S = 5.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for a socket's name, wherever pytest keeps its own."""
    with tempfile.TemporaryDirectory(prefix="cgw-", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


@dataclass
class Journey:
    """A site under load."""

    site: Site
    witness: Witness
    callers: Callers
    auditor: Auditor
    gateways: list[Program]
    keys: list[str]

    async def end_well(self) -> Stand:
        """Everything drained, and nothing wrong: not lost, not doubled, not overspent."""
        expected = orphans(self.witness, self.callers)
        deadline = time.monotonic() + SETTLES_WITHIN_S
        while True:
            stand = await self.auditor.drained(DRAIN_S, orphans=expected)
            verdict = judge(stand, self.callers.complete, self.witness)
            # The auditor works behind the relay.
            if verdict == Verdict() or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
        assert verdict == Verdict()
        assert await self.site.command("reconcile") == (0, {"ok": True, "accounts": len(self.keys), "differences": []})
        return stand

    async def more_calls(self, number: int) -> None:
        """Returns when so many more are complete: on a slow machine as many happen, only later."""
        wanted = len(self.callers.complete) + number
        async with asyncio.timeout(60):
            while len(self.callers.complete) < wanted:  # noqa: ASYNC110 - the count is a number, not an event
                await asyncio.sleep(0.02)

    async def serves_again(self, program: Program, key: str) -> float:
        """Seconds until a call is charged again."""
        begun = time.monotonic()
        async with httpx.AsyncClient(timeout=5) as client:
            while True:
                with suppress(httpx.HTTPError):
                    reply = await client.post(
                        program.url + RETRIEVE, json={}, headers={"Authorization": f"Bearer {key}"}
                    )
                    if reply.is_success:
                        return time.monotonic() - begun
                assert time.monotonic() - begun < 20, f"{program.name}: {program.last_words()}"
                await asyncio.sleep(0.02)


@asynccontextmanager
async def journey(
    folder: Path, *, gateways: int = 1, background: bool = True, calls_per_s: float = 60, books_url: str = ""
) -> AsyncIterator[Journey]:
    """Gateways that do their background work themselves, or leave it to a process that owns the embedded server."""
    witness = Witness(SEED, job_seconds=(0.3, 2.0))
    async with serving(witness) as upstream_url, site(folder, upstream_url, books_url=books_url) as here:
        if not background:
            await here.background()
            await here.until_owned()
        options = () if background else ("--no-background",)
        programs = [await here.serve(f"gateway-{number}", *options) for number in range(gateways)]
        opened = await here.accounts("large", "small")
        keys = list(opened.values())
        callers = Callers([program.url for program in programs], keys, frozenset(keys[:1]), SEED, calls_per_s)
        async with auditing(here, list(opened)) as auditor:
            yield Journey(here, witness, callers, auditor, programs, keys)


async def test_processes_killed_at_any_moment_lose_no_charge_and_double_none(folder: Path) -> None:
    outcome = await run_rounds(folder, 3, SEED, round_s=2.5, drain_s=DRAIN_S, wait_for_orphans=False, large_accounts=1)
    assert sum(sum(each.kills.values()) for each in outcome.rounds) >= 3
    assert sum(each.complete for each in outcome.rounds) > 100
    assert outcome.verdict == Verdict()
    assert outcome.reconciled == (0, {"ok": True, "accounts": 2, "differences": []})


async def test_an_emptied_redis_gives_no_fresh_quota_and_loses_no_charge(folder: Path) -> None:
    async with journey(folder, gateways=2, background=False) as on:
        async with on.callers.calling():
            for _ in range(3):
                await on.more_calls(40)
                async with on.site.valkey() as client:
                    await client.flushall()
            await on.more_calls(40)
        stand = await on.end_well()
    assert stand.endings["captured"] > 50


async def test_a_redis_set_back_is_found_out_before_anyone_is_admitted(folder: Path) -> None:
    async with journey(folder, background=False) as on:
        (owner,) = (one for one in on.site.programs if one.name == "background")
        files, copy = on.site.data / "appendonlydir", on.site.data / "copy"
        async with on.callers.calling():
            await on.more_calls(40)
            await asyncio.to_thread(shutil.copytree, files, copy)
            await on.more_calls(60)
            # Frozen, the owner cannot start the server again before its files are changed.
            os.kill(owner.pid, signal.SIGSTOP)
            pid = on.site.valkey_pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(on.site.until_server_gone)
            await asyncio.to_thread(shutil.rmtree, files)
            copy.rename(files)
            os.kill(owner.pid, signal.SIGCONT)
            await on.more_calls(40)
        await on.end_well()


async def test_usage_waits_for_locked_books_and_is_booked_once(folder: Path) -> None:
    async with journey(folder) as on:
        async with on.callers.calling():
            await on.more_calls(40)
            with sqlite3.connect(on.site.data / "books.sqlite", isolation_level=None, timeout=60) as other:
                other.execute("BEGIN EXCLUSIVE")
                await asyncio.sleep(2.5)
                await on.more_calls(40)
                other.execute("ROLLBACK")
            other.close()
            await on.more_calls(40)
        assert on.callers.broken == 0
        await on.end_well()


async def test_usage_waits_for_a_postgresql_that_is_stopped_and_is_booked_once(folder: Path) -> None:
    with running_postgres() as server:
        await server.create("books")
        async with journey(folder, books_url=f"postgresql://postgres@127.0.0.1:{server.port}/books") as on:
            postmaster = await Postmaster.of(server)
            async with on.callers.calling():
                await on.more_calls(40)
                await asyncio.to_thread(postmaster.kill)
                await asyncio.sleep(1)
                await on.more_calls(40)
                postmaster.start()
            try:
                await on.end_well()
            finally:
                await asyncio.to_thread(postmaster.kill)


async def test_when_the_owner_of_the_embedded_server_is_killed_the_survivor_goes_on_within_three_seconds(
    folder: Path,
) -> None:
    async with journey(folder, gateways=2) as on:
        owner, survivor = on.gateways
        async with on.callers.calling():
            await on.more_calls(40)
            await owner.kill()
            took_s = await on.serves_again(survivor, on.keys[0])
            # A loaded machine takes longer for anything.
            assert took_s < max(3, 10 * await asyncio.to_thread(valkey_start_s))
            await on.more_calls(40)
        await on.end_well()
