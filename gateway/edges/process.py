"""A process that answers: its listeners, the loops beside them, and how it ends.

Knows nothing of what the listeners answer or the loops do.
"""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
import uvicorn

from gateway.edges.api.readiness import Readiness

WATCH_PARENT_EVERY_S: Final = 1.0
# New objects between two looks of the garbage collector; Python's own 700 is a handful of calls.
YOUNG_OBJECTS: Final = 20_000
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()

Loop = Callable[[], Coroutine[Any, Any, None]]


class Server(uvicorn.Server):
    """One listener of several in a process: signals are the process's, not its."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


class Process:
    """A running gateway process. `stop` ends it in order."""

    def __init__(self, servers: Sequence[Server], readiness: Readiness) -> None:
        self._servers = servers
        self._readiness = readiness
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Begins to drain."""
        self._readiness.drain()
        self._stop.set()
        for server in self._servers:
            server.should_exit = True

    async def until_stopped(self) -> None:
        """Waits for `stop`."""
        await self._stop.wait()

    def stop_on_signals(self) -> None:
        """From now on SIGTERM and SIGINT begin to drain. Call it from the main thread."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.stop)

    @asynccontextmanager
    async def running(self, loops: Sequence[Loop]) -> AsyncIterator[None]:
        """Runs the loops beside the block. A loop that fails stops the process: half a gateway serves nobody."""
        tasks = [asyncio.create_task(loop()) for loop in loops]
        failed: list[BaseException] = []

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                failed.append(error)
                log.critical("background work failed, so this process stops", exc_info=error)
                self.stop()

        for task in tasks:
            task.add_done_callback(ended)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if failed:
            raise SystemExit(1)

    async def stop_without_parent(self, parent: int) -> None:
        """A worker whose supervisor was killed leaves in order, or nobody could ever stop it."""
        while True:
            await asyncio.sleep(WATCH_PARENT_EVERY_S)
            if os.getppid() != parent:
                log.error("the supervisor is gone, so this worker stops")
                self.stop()
                return


def spare_the_collector() -> None:
    """What is loaded by now stays, so the garbage collector need not walk it again and again, a tenth of a call's CPU.

    It also comes less often: what a call leaves behind hardly ever holds on to itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
