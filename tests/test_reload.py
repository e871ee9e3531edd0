"""A running gateway follows its files, and stays as it is where they are wrong. Real files, real watches."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.config_files.problem import Problem
from gateway.configuration import Configuration, load
from gateway.reload import Reload

GOOD = Path(__file__).parent / "data" / "config" / "good"
PATIENCE_S = 20


class Adopted:
    """Receives configurations, and lets a test wait for one."""

    def __init__(self) -> None:
        self.all: list[Configuration] = []
        self._news = asyncio.Event()

    def __call__(self, fresh: Configuration) -> None:
        self.all.append(fresh)
        self._news.set()

    async def wait_until(self, fits: Callable[[Configuration], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not (self.all and fits(self.all[-1])):
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    structlog.reset_defaults()
    shutil.copytree(GOOD, tmp_path / "config")
    return tmp_path / "config"


@asynccontextmanager
async def following(entry: Path) -> AsyncIterator[tuple[Reload, Adopted]]:
    adopted = Adopted()
    reload = Reload(load(entry, {}), adopted, {})
    running = asyncio.create_task(reload.run())
    try:
        yield reload, adopted
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def monthly(credits_: int) -> Callable[[Configuration], bool]:
    return lambda fresh: fresh.catalog.plans["free"].granted_millicredits == credits_ * 1000


def plans_with(credits_: int) -> str:
    return (GOOD / "plans.yaml").read_text().replace("10_000", str(credits_))


async def test_a_changed_plan_is_picked_up(folder: Path) -> None:
    async with following(folder / "gateway.yaml") as (_, adopted):
        (folder / "plans.yaml").write_text(plans_with(7))
        await adopted.wait_until(monthly(7))
        (folder / "plans.yaml").write_text(plans_with(8))
        await adopted.wait_until(monthly(8))


async def test_an_atomic_rename_is_picked_up_every_time(folder: Path) -> None:
    async with following(folder / "gateway.yaml") as (_, adopted):
        for credits_ in (7, 8, 9):
            (folder / "plans.yaml.new").write_text(plans_with(credits_))
            (folder / "plans.yaml.new").rename(folder / "plans.yaml")
            await adopted.wait_until(monthly(credits_))


async def test_a_config_map_swap_is_picked_up(tmp_path: Path) -> None:
    structlog.reset_defaults()
    mount = tmp_path / "mount"
    shutil.copytree(GOOD, mount / "..2026_1")
    (mount / "..data").symlink_to("..2026_1")
    for file in GOOD.iterdir():
        (mount / file.name).symlink_to(Path("..data") / file.name)
    async with following(mount / "gateway.yaml") as (_, adopted):
        shutil.copytree(GOOD, mount / "..2026_2")
        (mount / "..2026_2" / "plans.yaml").write_text(plans_with(7))
        (mount / "..data_tmp").symlink_to("..2026_2")
        (mount / "..data_tmp").rename(mount / "..data")
        await adopted.wait_until(monthly(7))


async def test_a_bad_version_keeps_the_old_one_and_names_every_problem(folder: Path) -> None:
    adopted = Adopted()
    reload = Reload(load(folder / "gateway.yaml", {}), adopted, {})
    before = reload.running
    (folder / "plans.yaml").write_text(plans_with(7).replace("price_usd: 50", "price_us: 50"))
    with capture_logs() as lines:
        problems = await reload.look()
        assert await reload.look() == problems
    assert [problem.path for problem in problems] == ["starter.price_us"]
    assert reload.running is before
    assert adopted.all == []
    # Said once, however often the folder stirs.
    assert [line["event"] for line in lines].count("configuration_kept") == 1
    (folder / "plans.yaml").write_text(plans_with(8))
    assert await reload.look() == ()
    assert [monthly(8)(fresh) for fresh in adopted.all] == [True]


async def test_a_cure_in_a_new_file_is_found(folder: Path) -> None:
    async with following(folder / "gateway.yaml") as (reload, adopted):
        entry = (folder / "gateway.yaml").read_text()
        (folder / "gateway.yaml").write_text("plans: new_plans.yaml\n" + entry)
        assert len(await reload.look()) == 1
        (folder / "new_plans.yaml").write_text(plans_with(9))
        await adopted.wait_until(monthly(9))


async def test_a_touched_file_changes_nothing(folder: Path) -> None:
    adopted = Adopted()
    reload = Reload(load(folder / "gateway.yaml", {}), adopted, {})
    await reload.look()
    running = reload.running
    os.utime(folder / "plans.yaml")
    assert await reload.look() == ()
    assert reload.running is running
    assert adopted.all == []


async def test_settings_that_need_a_restart_are_named(folder: Path) -> None:
    reload = Reload(load(folder / "gateway.yaml", {}), Adopted(), {})
    entry = (folder / "gateway.yaml").read_text()
    (folder / "gateway.yaml").write_text("redis: {url: redis://elsewhere}\n" + entry.replace("8080", "8090"))
    with capture_logs() as lines:
        assert await reload.look() == ()
    assert [line["setting"] for line in lines if line["event"] == "configuration_needs_restart"] == ["listen", "redis"]
    assert "elsewhere" not in str(lines)


async def test_routes_to_an_upstream_that_is_not_running_wait_for_a_restart(folder: Path) -> None:
    adopted = Adopted()
    reload = Reload(load(folder / "gateway.yaml", {}), adopted, {})
    (folder / "gateway.yaml").write_text(
        (folder / "gateway.yaml").read_text() + "  ocr: {url: http://127.0.0.1:9102}\n"
    )
    (folder / "routes.yaml").write_text((folder / "routes.yaml").read_text() + "  POST /ocr: {upstream: ocr}\n")
    assert [problem.path for problem in await reload.look()] == ["upstreams.ocr"]
    assert adopted.all == []


async def test_a_version_that_would_break_something_here_is_not_adopted(folder: Path) -> None:
    adopted = Adopted()
    began = load(folder / "gateway.yaml", {})
    shown: list[tuple[Configuration, Configuration]] = []
    found = [Problem("plans.yaml", 0, 0, "free", "is missing")]

    async def faults(fresh: Configuration, running: Configuration) -> tuple[Problem, ...]:
        shown.append((fresh, running))
        return tuple(found)

    reload = Reload(began, adopted, {}, faults=faults)
    (folder / "plans.yaml").write_text(plans_with(7))
    assert await reload.look() == tuple(found) == reload.problems
    assert (adopted.all, reload.running) == ([], began)
    assert (monthly(7)(shown[0][0]), shown[0][1]) == (True, began)
    found.clear()
    assert await reload.look() == () == reload.problems
    assert monthly(7)(adopted.all[-1])


async def test_sighup_looks_at_once(folder: Path) -> None:
    entry = folder / "gateway.yaml"
    entry.write_text("watch: false\n" + entry.read_text())
    async with following(entry) as (_, adopted):
        await asyncio.sleep(0)  # run() has installed its handler before it waits
        (folder / "plans.yaml").write_text(plans_with(7))
        os.kill(os.getpid(), signal.SIGHUP)
        await adopted.wait_until(monthly(7))
