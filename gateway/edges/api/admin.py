"""The admin listener's application: metrics and health. It is bound apart, to be kept off the internet."""

from starlette.applications import Starlette

from gateway.edges.api.health import health_routes
from gateway.edges.api.json_reply import no_such_route
from gateway.edges.api.metrics import metrics_routes
from gateway.edges.api.parts import AdminApiParts


def admin_api(parts: AdminApiParts) -> Starlette:
    """`/metrics`, `/healthz`, `/readyz`."""
    routes = [*health_routes(parts.readiness), *metrics_routes(parts.registry)]
    return Starlette(routes=routes, exception_handlers={404: no_such_route, 405: no_such_route})
