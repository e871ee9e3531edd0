"""A process that serves: what its listeners answer, and the loops beside them.

On SIGTERM or SIGINT it says "not ready", takes no new connections, lets the calls in flight finish for up to `drain_s`,
finishes the settlements under way, and only then lets go of the stores.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from starlette.routing import BaseRoute

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
from gateway.edges.desk import Desk
from gateway.edges.http_server.config import server_config
from gateway.edges.http_server.limits import ServerLimits
from gateway.edges.listeners import bound
from gateway.edges.process import Loop, Process, Server, spare_the_collector
from gateway.flows.admit import Admission
from gateway.flows.foresee import Foresight
from gateway.flows.job_news import JobNews
from gateway.flows.keep_refusals import RefusalKeeper
from gateway.flows.reconcile import reconcile
from gateway.observe import Metrics, call_log, keep_gauges, process_registry
from gateway.plans_in_use import demand_plans, plans_taken_away
from gateway.reload import Reload
from gateway.settings import IsolatesBy, Settings
from gateway.stores import Stores, open_stores
from gateway.wiring import SETTLE_WITHIN_S, Gateway, always, dashboard_parts, desk, open_gateway, operator_parts

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Role:
    """What a process of several does. `listener` None: it takes the main port for itself."""

    background: bool = True
    admin: bool = True
    listener: socket.socket | None = None


async def serve(
    configuration: Configuration,
    role: Role,
    *,
    ready: Callable[[Stores], Coroutine[Any, Any, None]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Serves until a signal. `ready` runs over the open stores before the first call is taken.

    CannotListen; ConfigurationInvalid where a plan is gone that accounts are on. `environ` is what the configuration
    was loaded with, for its reloads; None: the process's own.
    """
    sockets = _sockets(configuration.settings, role)
    async with open_stores(configuration.settings, configuration.catalog) as stores:
        await demand_plans(configuration, stores.books, stores.clock())
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
        readiness = Readiness(ledger=stores.ledger, books=stores.books)
        asked = desk(stores)
        for_people = dashboard_parts(settings, stores, asked)
        faults = partial(plans_taken_away, books=stores.books, clock=stores.clock)
        reload = Reload(configuration, lambda new: stores.current.replace(new.catalog), environ, faults=faults)
        operators = operator_parts(settings, stores, for_people, lambda: [str(one) for one in reload.problems])
        pages = [*dashboard_routes(for_people), *fake_bank_routes(asked.payments)]
        front = Front(
            own=account_api(_account_parts(settings, gateway, asked=asked, readiness=readiness, pages=pages)),
            proxy=gateway.proxy,
        )
        servers = [Server(server_config(front, settings.listen.host, settings.listen.port, limits=_limits(settings)))]
        if role.admin:
            listen = settings.admin.listen
            admin = AdminApiParts(
                readiness=readiness,
                registry=metrics.registry,
                desk=asked,
                token=settings.admin.token,
                reconcile=partial(reconcile, stores.books, stores.ledger),
                lag=gateway.background.relay.lag,
                open_holds=gateway.live.__len__,
                pages=admin_dashboard_routes(operators),
                trusted=for_people.trusted,
            )
            servers.append(Server(server_config(admin_api(admin), listen.host, listen.port)))
        process = Process(servers, readiness)
        loops: list[Loop] = [*always(gateway, background=role.background), calls.run, keeper.run, reload.run]
        loops.append(partial(keep_gauges, metrics, gateway.live.__len__, gateway.background.relay.lag, reload))
        if role.admin:
            loops.append(operators.runs.run)
        if role.listener is not None:
            loops.append(partial(process.stop_without_parent, os.getppid()))
        async with process.running(loops):
            process.stop_on_signals()
            spare_the_collector()
            _say_where(sockets)
            await asyncio.gather(
                *(server.serve(sockets=[taken]) for server, taken in zip(servers, sockets, strict=True))
            )
            # Calls that were cut at the end of the drain are settling: the stores may not go before they have.
            if cut := {task for server in servers for task in server.server_state.tasks}:
                await asyncio.wait(cut, timeout=SETTLE_WITHIN_S)


def _say_where(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        host, port = one.getsockname()[:2]
        log.info("listening", host=host, port=port)


def _account_parts(
    settings: Settings, gateway: Gateway, *, asked: Desk, readiness: Readiness, pages: Sequence[BaseRoute]
) -> AccountApiParts:
    """What the main listener's own API answers from."""
    stores = gateway.stores
    return AccountApiParts(
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
        pages=pages,
    )


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
    data.mkdir(mode=0o700, parents=True, exist_ok=True)  # by whoever comes first, never open to others
    folder = data / "metrics"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder
