"""Picks up changed configuration files while the gateway runs; a bad new version changes nothing.

Watches folders, not files: an atomic rename leaves a file watch deaf, and a Kubernetes ConfigMap swap shows only its
`..data` link. What counts is the content, so events that change nothing cost a look and no more. Only the catalog
(plans, rate card, routes) changes under a running process; a change of settings is named in a warning.
"""

import asyncio
import hashlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog
import watchfiles

from gateway.config_files.problem import ConfigurationInvalid, Problem
from gateway.config_files.yaml_source import MAX_FILE_BYTES
from gateway.configuration import FILES, Configuration, load
from gateway.settings import Settings

# Editors and tools write several files, or one in several steps: wait until that long nothing more has changed.
SETTLE_MS: Final = 100
WATCH_AGAIN_S: Final = 30.0

log = structlog.get_logger()


class Reload:
    """Keeps the running configuration up to date with its files.

    `adopt` is called on the event loop with each good new version; it must not fail. `environ` as for `load`.
    `faults` says of a version that is good by itself what it would break here; it is shown the running one too.
    """

    def __init__(
        self,
        running: Configuration,
        adopt: Callable[[Configuration], None],
        environ: Mapping[str, str] | None = None,
        *,
        faults: Callable[[Configuration, Configuration], Awaitable[tuple[Problem, ...]]] | None = None,
    ) -> None:
        self.running = running
        self._adopt = adopt
        self._faults = faults
        self._environ = os.environ if environ is None else environ
        self._booted = running.settings
        self._seen = b""
        self._problems: tuple[Problem, ...] = ()
        self._asked = asyncio.Event()
        self._forced = False
        self._looking = asyncio.Lock()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was wrong with the files at the last look; none where they are in force."""
        return self._problems

    def now(self) -> None:
        """Look at the files at once, as on SIGHUP."""
        self._forced = True
        self._asked.set()

    async def run(self) -> None:
        """Watch until cancelled. Takes SIGHUP for itself where this is the main thread."""
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGHUP, self.now)
        try:
            while True:
                folders = _folders(self.running)
                watching = asyncio.create_task(self._watch(folders)) if self._booted.watch else None
                try:
                    # What changed before the watch began is found by a first look.
                    await asyncio.sleep(0)
                    self._asked.set()
                    while _folders(self.running) == folders:
                        await self._asked.wait()
                        self._asked.clear()
                        await self.look()
                finally:
                    if watching is not None:
                        watching.cancel()
                        await asyncio.gather(watching, return_exceptions=True)
        finally:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(signal.SIGHUP)

    async def look(self) -> tuple[Problem, ...]:
        """Read the files where their content is new, and adopt them where nothing is wrong; else the problems."""
        async with self._looking:
            return await self._look()

    async def _look(self) -> tuple[Problem, ...]:
        forced, self._forced = self._forced, False
        digest = await asyncio.to_thread(_digest, self.running.files)
        # After a bad version the cure may lie in a file that is not among the running ones.
        if digest == self._seen and not forced and not self._problems:
            return ()
        self._seen = digest
        try:
            fresh = await asyncio.to_thread(load, self.running.files[0], self._environ)
        except ConfigurationInvalid as invalid:
            return self._keep(invalid.problems)
        if unknown := _unknown_upstreams(fresh, self._booted):
            return self._keep(unknown)
        if self._faults is not None and (broken := await self._faults(fresh, self.running)):
            return self._keep(broken)
        self._problems = ()
        for name in _needing_restart(self._booted, fresh.settings):
            log.warning("configuration_needs_restart", setting=name)
        changed = fresh.catalog.version != self.running.catalog.version
        self.running = fresh
        if changed:
            self._adopt(fresh)
        if changed or forced:
            log.info("configuration_reloaded", catalog=fresh.catalog.version, changed=changed)
        return ()

    def _keep(self, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
        """Stay with the running configuration, and say why, once."""
        if problems != self._problems:
            for problem in problems:
                log.error("configuration_problem", problem=str(problem))
            log.error("configuration_kept", problems=len(problems), hint="the running configuration stays in force")
        self._problems = problems
        return problems

    async def _watch(self, folders: frozenset[Path]) -> None:
        """Ask for a look whenever something happens in a folder of the files."""
        while True:
            try:
                async for _ in watchfiles.awatch(
                    *folders, watch_filter=None, recursive=False, debounce=SETTLE_MS * 10, step=SETTLE_MS
                ):
                    self._asked.set()
            except (OSError, RuntimeError) as error:
                # A folder that is gone for the moment, or no watches left: SIGHUP still works meanwhile.
                log.warning("configuration_not_watched", reason=str(error), again_in_s=WATCH_AGAIN_S)
                await asyncio.sleep(WATCH_AGAIN_S)
                self._asked.set()


def _digest(files: tuple[Path, ...]) -> bytes:
    """What the files hold; a missing one counts as such."""
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            content = type(error).__name__.encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.digest()


def _folders(configuration: Configuration) -> frozenset[Path]:
    return frozenset(file.parent.absolute() for file in configuration.files)


def _unknown_upstreams(fresh: Configuration, booted: Settings) -> tuple[Problem, ...]:
    """Upstreams that routes use and this process does not have, because it began without them."""
    used = {route.upstream for route in fresh.catalog.routes.routes}
    file = str(fresh.files[0])
    return tuple(
        Problem(file, 0, 0, f"upstreams.{name}", "is new: routes can use it after a restart")
        for name in sorted(used - booted.upstreams.keys())
    )


def _needing_restart(booted: Settings, fresh: Settings) -> list[str]:
    return [
        name for name in Settings.model_fields if name not in FILES and getattr(booted, name) != getattr(fresh, name)
    ]
