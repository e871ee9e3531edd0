"""A process that does only the background work. It answers, where told to listen, how it is, and takes no calls."""

import asyncio
from functools import partial

import structlog
from starlette.applications import Starlette

from gateway.configuration import Configuration
from gateway.edges.api.doors import OpenDoor
from gateway.edges.api.health import health_endpoints
from gateway.edges.api.json_reply import no_such_route
from gateway.edges.api.metrics import metrics_endpoints
from gateway.edges.api.readiness import Readiness
from gateway.edges.api.serve import routes_of
from gateway.edges.http_server.config import server_config
from gateway.edges.listeners import bound
from gateway.edges.process import Process, Server, spare_the_collector
from gateway.observe import Metrics, call_log, keep_gauges, process_registry
from gateway.plans_in_use import demand_plans, plans_taken_away
from gateway.reload import Reload
from gateway.stores import open_stores
from gateway.wiring import always, desk, open_gateway

log = structlog.get_logger()


async def run_background(configuration: Configuration) -> None:
    """Works until a signal. CannotListen, ConfigurationInvalid."""
    settings = configuration.settings
    listen = settings.background.listen
    sockets = [] if listen is None else [bound(listen, "background.listen.port", "GATEWAY_BACKGROUND_PORT")]
    async with open_stores(settings, configuration.catalog) as stores:
        await demand_plans(configuration, stores.books, stores.clock())
        metrics = Metrics(process_registry())
        calls = call_log(metrics, settings.log)
        async with open_gateway(settings, stores, record=calls.record, tell=metrics) as gateway:
            readiness = Readiness(ledger=stores.ledger, books=stores.books)
            servers = []
            if listen is not None:
                endpoints = [*health_endpoints(readiness), *metrics_endpoints(metrics.registry)]
                routes = routes_of(endpoints, OpenDoor(), desk(stores).changes)
                app = Starlette(routes=routes, exception_handlers={404: no_such_route})
                servers.append(Server(server_config(app, listen.host, listen.port)))
            process = Process(servers, readiness)
            faults = partial(plans_taken_away, books=stores.books, clock=stores.clock)
            reload = Reload(configuration, lambda new: stores.current.replace(new.catalog), faults=faults)
            gauges = partial(keep_gauges, metrics, gateway.live.__len__, gateway.background.relay.lag, reload)
            async with process.running([*always(gateway, background=True), calls.run, reload.run, gauges]):
                process.stop_on_signals()
                spare_the_collector()
                log.info("background work runs")
                await asyncio.gather(
                    process.until_stopped(),
                    *(server.serve(sockets=[taken]) for server, taken in zip(servers, sockets, strict=True)),
                )
