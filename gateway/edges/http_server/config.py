"""How uvicorn is set up: one process, our protocol, nothing added to requests or answers."""

from collections.abc import Callable
from typing import Any

import uvicorn

from gateway.edges.http_server.connection import ServerConnection
from gateway.edges.http_server.deadlines import Deadlines
from gateway.edges.http_server.limits import ServerLimits


class ServerConfig(uvicorn.Config):
    """uvicorn's settings, and ours, which uvicorn hands to each connection."""

    limits: ServerLimits
    deadlines: Deadlines


def server_config(
    app: Callable[..., Any], host: str, port: int, *, limits: ServerLimits | None = None, **tls: Any
) -> ServerConfig:
    """Make the configuration for `uvicorn.Server`; port 0 takes a free one.

    There is no lifespan (the application is wired before it is served), no access log (each door writes its own
    line), no Date or Server header (an upstream's are passed on), and no trust in forwarded headers. `tls` takes
    uvicorn's `ssl_*` settings.
    """
    chosen = limits or ServerLimits()
    config = ServerConfig(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=ServerConnection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=chosen.backlog,
        timeout_graceful_shutdown=max(1, round(chosen.drain_s)),
        **tls,
    )
    config.limits = chosen
    config.deadlines = Deadlines(chosen)
    return config
