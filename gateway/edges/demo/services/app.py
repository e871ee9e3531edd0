"""Puts the stand-in services together as one ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.edges.demo.services import (
    batches,
    chat,
    classify,
    classify_v1,
    configurations,
    controls,
    directories,
    extract,
    extraction_v1,
    files,
    indexes,
    parse,
    parse_v1,
    pipelines,
    retrieval,
    sheets,
    split,
    usage_metrics,
)
from gateway.edges.demo.services.behaviour import Behaviour
from gateway.edges.demo.services.door import Door
from gateway.edges.demo.services.replies import Refused, on_refused, reply
from gateway.edges.demo.services.vendor import Vendor

DEMO_CREDENTIAL: Final = "demo-upstream-credential"  # opens nothing but these stand-ins
_ROUTES: Final[list[BaseRoute]] = [
    *files.ROUTES,
    *directories.ROUTES,
    *parse.ROUTES,
    *parse_v1.ROUTES,
    *sheets.ROUTES,
    *extract.ROUTES,
    *extraction_v1.ROUTES,
    *batches.ROUTES,
    *classify.ROUTES,
    *classify_v1.ROUTES,
    *split.ROUTES,
    *indexes.ROUTES,
    *pipelines.ROUTES,
    *retrieval.ROUTES,
    *chat.ROUTES,
    *configurations.ROUTES,
    *usage_metrics.ROUTES,
    *controls.ROUTES,
]


def services_app(behaviour: Behaviour | None = None, *, credential: str = DEMO_CREDENTIAL) -> Starlette:
    """All services behind one credential. Needs its lifespan run: the end of it stops the page counter's process."""
    vendor = Vendor(behaviour or Behaviour(), credential)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await vendor.counter.close()

    app = Starlette(
        routes=_ROUTES,
        lifespan=lifespan,
        middleware=[Middleware(Door, vendor=vendor)],
        exception_handlers={Refused: on_refused, HTTPException: _on_http_exception},
    )
    app.state.vendor = vendor
    return app


async def _on_http_exception(_request: Request, fault: Exception) -> Response:
    """No such route, or not that method: in the vendor's shape."""
    if not isinstance(fault, HTTPException):
        raise fault
    return reply({"detail": fault.detail}, fault.status_code)
