"""`gateway serve` and `gateway background`: one process, or several sharing one listener."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.configuration import Configuration, load
from gateway.edges.background_process import run_background
from gateway.edges.serving import Role, bind, metrics_folder
from gateway.edges.serving import serve as serve_process
from gateway.ledger.server import EmbeddedValkey
from gateway.observe import configure_logging

LISTENER_FD: Final = "GATEWAY_LISTENER_FD"
WORKER: Final = "GATEWAY_WORKER"
RESTART_PAUSE_S: Final = 1.0
LOOK_EVERY_S: Final = 0.2

log = structlog.get_logger()


def serve(*, config: Path, workers: int | None, no_background: bool) -> None:
    """Serves until a signal. With more than one worker this process only keeps them alive and owns what they share."""
    configuration = load(config)
    configure_logging(configuration.settings.log)
    role = _role_of_a_worker(background=not no_background)
    if role is not None:
        run(serve_process(configuration, role))
        return
    count = workers or configuration.settings.workers
    if count == 1:
        run(serve_process(configuration, Role(background=not no_background)))
    else:
        run(_supervise(configuration, config, count, background=not no_background))


def background(*, config: Path) -> None:
    """Only the background work, until a signal."""
    configuration = load(config)
    configure_logging(configuration.settings.log)
    run(run_background(configuration))


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs on uvloop where there is one."""
    if sys.platform == "win32":
        asyncio.run(main)
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def _role_of_a_worker(*, background: bool) -> Role | None:
    """What a worker process was told by the one that started it; None where this is no worker."""
    descriptor = os.environ.get(LISTENER_FD)
    if descriptor is None:
        return None
    first = os.environ[WORKER] == "0"
    return Role(background=background and first, admin=first, listener=socket.socket(fileno=int(descriptor)))


async def _supervise(configuration: Configuration, config: Path, count: int, *, background: bool) -> None:
    """Starts `count` workers on one listener, replaces those that die, passes signals on, leaves when all have left."""
    settings = configuration.settings
    metrics_folder(settings.data)
    listener = bind(settings)
    # The embedded server is this process's, so that replacing a worker causes no gap.
    async with AsyncExitStack() as stack:
        if settings.redis.url is None:
            embedded = await stack.enter_async_context(EmbeddedValkey(settings.data))
            watching = asyncio.create_task(embedded.watch())
            stack.callback(watching.cancel)
        workers = Workers(listener, config, background=background)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, workers.signal, number)
        await workers.run(count)


class Workers:
    """The worker processes of one supervisor."""

    def __init__(self, listener: socket.socket, config: Path, *, background: bool) -> None:
        self._listener = listener
        self._command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
        if not background:
            self._command.append("--no-background")
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._stopping = False

    def signal(self, number: signal.Signals) -> None:
        """Passes a signal on; after SIGTERM or SIGINT nobody is replaced."""
        if number is not signal.SIGHUP:
            self._stopping = True
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def run(self, count: int) -> None:
        """Keeps `count` workers alive until told to stop and they have stopped."""
        for index in range(count):
            self._start(index)
        while self._processes:
            await asyncio.sleep(LOOK_EVERY_S)
            for index, process in list(self._processes.items()):
                if (code := process.poll()) is None:
                    continue
                del self._processes[index]
                if not self._stopping:
                    log.error("a worker died and is replaced", worker=index, exit_code=code)
                    await asyncio.sleep(RESTART_PAUSE_S)
                    if not self._stopping:
                        self._start(index)

    def _start(self, index: int) -> None:
        descriptor = self._listener.fileno()
        environment = {**os.environ, LISTENER_FD: str(descriptor), WORKER: str(index)}
        self._processes[index] = subprocess.Popen(self._command, env=environment, pass_fds=(descriptor,))
