"""A process that serves: its listeners, its loops, and how it ends.

On SIGTERM or SIGINT it says "not ready", takes no new connections, lets the calls in flight finish for up to `drain_s`,
finishes the settlements under way, and only then lets go of the stores.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn

from gateway.configuration import Configuration
from gateway.edges.api.account import account_api
from gateway.edges.api.admin import admin_api
from gateway.edges.api.fake_bank import fake_bank_routes
from gateway.edges.api.front import Front
from gateway.edges.api.parts import AccountApiParts, AdminApiParts
from gateway.edges.api.quote import QuoteParts
from gateway.edges.api.readiness import Readiness
from gateway.edges.dashboard.app import dashboard_routes
from gateway.edges.dashboard.operator.app import admin_dashboard_routes
from gateway.edges.http_server.config import server_config
from gateway.edges.http_server.limits import ServerLimits
from gateway.edges.listeners import bound
from gateway.flows.admit import Admission
from gateway.flows.foresee import Foresight
from gateway.flows.job_news import JobNews
from gateway.flows.keep_refusals import RefusalKeeper
from gateway.flows.reconcile import reconcile
from gateway.flows.relay import Relay
from gateway.ledger.faults import StoreUnavailable
from gateway.observe import Metrics, call_log, process_registry
from gateway.reload import Reload
from gateway.settings import IsolatesBy, Settings
from gateway.stores import Stores, open_stores
from gateway.wiring import SETTLE_WITHIN_S, Gateway, always, dashboard_parts, desk, open_gateway, operator_parts

WATCH_LAG_EVERY_S: Final = 2.0
WATCH_PARENT_EVERY_S: Final = 1.0
# New objects between two looks of the garbage collector; Python's own 700 is a handful of calls.
YOUNG_OBJECTS: Final = 20_000
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Role:
    """What a process of several does. `listener` None: it takes the main port for itself."""

    background: bool = True
    admin: bool = True
    listener: socket.socket | None = None


class Server(uvicorn.Server):
    """One listener of several in a process: signals are the process's, not its."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


class Serving:
    """A running gateway process. `stopped` ends it in order."""

    def __init__(self, servers: list[Server], readiness: Readiness) -> None:
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


async def serve(
    configuration: Configuration,
    role: Role,
    *,
    ready: Callable[[Stores], Coroutine[Any, Any, None]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Serves until a signal. `ready` runs over the open stores before the first call is taken. CannotListen.

    `environ` is what the configuration was loaded with, for its reloads; None: the process's own.
    """
    sockets = _sockets(configuration.settings, role)
    async with open_stores(configuration.settings, configuration.catalog) as stores:
        if ready is not None:
            await ready(stores)
        await _serve_over(configuration, stores, role, sockets, environ)


async def _serve_over(
    configuration: Configuration,
    stores: Stores,
    role: Role,
    sockets: list[socket.socket],
    environ: Mapping[str, str] | None,
) -> None:
    settings = configuration.settings
    metrics = Metrics(process_registry())
    keeper = RefusalKeeper(books=stores.books, clock=stores.clock, dropped=metrics.refusals_dropped.inc)
    calls = call_log(metrics, settings.log, refused=keeper.offer)
    async with open_gateway(settings, stores, record=calls.record, tell=metrics) as gateway:
        servers: list[Server] = []
        readiness = Readiness(ledger=stores.ledger, books=stores.books)
        serving = Serving(servers, readiness)
        asked = desk(stores)
        for_people = dashboard_parts(settings, stores, asked)
        reload = Reload(configuration, lambda new: stores.current.replace(new.catalog), environ)
        operators = operator_parts(settings, stores, for_people, lambda: [str(one) for one in reload.problems])
        parts = AccountApiParts(
            desk=asked,
            directory=gateway.directory,
            admission=Admission(
                stores.ledger,
                gateway.directory,
                load=stores.rebuild,
                plans=stores.current.plans,
                clock=stores.clock,
            ),
            quotes=QuoteParts(
                offer=gateway.offer,
                saved_modes=gateway.saved_modes,
                foresight=Foresight(stores.ledger, gateway.directory, load=stores.rebuild, clock=stores.clock),
                isolates=lambda upstream: settings.upstreams[upstream].isolates_by is IsolatesBy.HEADERS,
            ),
            job_news=JobNews(books=stores.books, ledger=stores.ledger),
            webhook_secrets=settings.webhook_secrets,
            stripe_webhook_secret=settings.payments.stripe.webhook_secret,
            readiness=readiness,
            pages=[*dashboard_routes(for_people), *fake_bank_routes(asked.payments)],
        )
        front = Front(own=account_api(parts), proxy=gateway.proxy)
        servers.append(
            Server(server_config(front, settings.listen.host, settings.listen.port, limits=_limits(settings)))
        )
        if role.admin:
            listen = settings.admin.listen
            admin = AdminApiParts(
                readiness=readiness,
                registry=metrics.registry,
                desk=parts.desk,
                token=settings.admin.token,
                reconcile=partial(reconcile, stores.books, stores.ledger),
                lag=gateway.background.relay.lag,
                open_holds=gateway.live.__len__,
                pages=admin_dashboard_routes(operators),
            )
            servers.append(Server(server_config(admin_api(admin), listen.host, listen.port)))
        loops = [*always(gateway, background=role.background), calls.run, keeper.run, reload.run]
        if role.admin:
            loops.append(operators.runs.run)
        loops.append(lambda: _watch_lag(gateway.background.relay, gateway, metrics))
        if role.listener is not None:
            loops.append(lambda: _watch_parent(os.getppid(), serving))
        async with _running(loops, serving):
            loop = asyncio.get_running_loop()
            for number in SIGNALS:
                loop.add_signal_handler(number, serving.stop)
            _spare_the_collector()
            await asyncio.gather(
                *(server.serve(sockets=[taken]) for server, taken in zip(servers, sockets, strict=True))
            )
            # Calls that were cut at the end of the drain are settling: the stores may not go before they have.
            if cut := {task for server in servers for task in server.server_state.tasks}:
                await asyncio.wait(cut, timeout=SETTLE_WITHIN_S)


async def run_background(configuration: Configuration) -> None:
    """Only the background work, until a signal."""
    async with open_stores(configuration.settings, configuration.catalog) as stores:
        metrics = Metrics(process_registry())
        calls = call_log(metrics, configuration.settings.log)
        async with open_gateway(configuration.settings, stores, record=calls.record, tell=metrics) as gateway:
            serving = Serving([], Readiness(ledger=stores.ledger, books=stores.books))
            reload = Reload(configuration, lambda new: stores.current.replace(new.catalog))
            async with _running([*always(gateway, background=True), reload.run], serving):
                loop = asyncio.get_running_loop()
                for number in SIGNALS:
                    loop.add_signal_handler(number, serving.stop)
                log.info("background work runs")
                await serving.until_stopped()


def _spare_the_collector() -> None:
    """What is loaded by now stays, so the garbage collector need not walk it again and again, a tenth of a call's CPU.

    It also comes less often: what a call leaves behind hardly ever holds on to itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


@asynccontextmanager
async def _running(loops: list[Callable[[], Coroutine[Any, Any, None]]], serving: Serving) -> AsyncIterator[None]:
    """Runs the loops beside the block. A loop that fails stops the process: half a gateway serves nobody."""
    tasks = [asyncio.create_task(loop()) for loop in loops]
    failed: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            failed.append(error)
            log.critical("background work failed, so this process stops", exc_info=error)
            serving.stop()

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


async def _watch_parent(parent: int, serving: Serving) -> None:
    """A worker whose supervisor was killed leaves in order, or nobody could ever stop it."""
    while True:
        await asyncio.sleep(WATCH_PARENT_EVERY_S)
        if os.getppid() != parent:
            log.error("the supervisor is gone, so this worker stops")
            serving.stop()
            return


async def _watch_lag(relay: Relay, gateway: Gateway, metrics: Metrics) -> None:
    """Keeps the gauges that nobody moves by calling."""
    while True:
        await asyncio.sleep(WATCH_LAG_EVERY_S)
        metrics.in_flight.set(len(gateway.live))
        try:
            lag = await relay.lag()
        except StoreUnavailable:
            continue
        metrics.lag_records.set(lag.records)
        metrics.lag_seconds.set(lag.oldest_ms / 1000)


def _limits(settings: Settings) -> ServerLimits:
    limits = settings.limits
    return ServerLimits(
        head_bytes=limits.header_bytes,
        header_lines=limits.header_count,
        target_bytes=limits.target_bytes,
        head_s=limits.header_s,
        body_idle_s=limits.body_idle_s,
        send_idle_s=limits.send_idle_s,
        idle_s=limits.keep_alive_s,
        connections=limits.connections,
        drain_s=settings.drain_s,
    )


def bind(settings: Settings) -> socket.socket:
    """The main listener, bound here so that worker processes can share it. CannotListen, for either port."""
    listener, admin = _sockets(settings, Role())
    admin.close()  # one of the workers takes it
    return listener


def _sockets(settings: Settings, role: Role) -> list[socket.socket]:
    """The main listener's, and behind it the admin listener's where the role has one. CannotListen."""
    taken = [role.listener or bound(settings.listen, "listen.port", "GATEWAY_PORT")]
    if role.admin:
        taken.append(bound(settings.admin.listen, "admin.listen.port", "GATEWAY_ADMIN_PORT"))
    return taken


def metrics_folder(data: Path) -> Path:
    """Where several worker processes keep their numbers, for one of them to show."""
    folder = data / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder
