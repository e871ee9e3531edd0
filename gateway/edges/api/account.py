"""The account API: what `Front` hands the gateway's own paths to, on the listener that everyone may reach."""

from starlette.applications import Starlette

from gateway.edges.api.health import health_routes
from gateway.edges.api.json_reply import no_such_route
from gateway.edges.api.parts import AccountApiParts
from gateway.edges.api.quote import quote_routes
from gateway.edges.api.receipts import receipt_routes
from gateway.edges.api.series import series_routes
from gateway.edges.api.upstream_webhooks import upstream_webhook_routes
from gateway.edges.api.usage import usage_routes
from gateway.edges.api.usage_metrics import usage_metrics_routes


def account_api(parts: AccountApiParts) -> Starlette:
    """Callers show their API key and see their own account, services sign their webhooks; health needs neither."""
    desk = parts.desk
    usage = usage_routes(parts.directory, desk.reports, plans=desk.plans, clock=desk.clock)
    receipts = receipt_routes(parts.directory, desk.explain)
    metrics = usage_metrics_routes(parts.directory, desk.metrics)
    series = series_routes(parts.directory, desk.series, desk.clock)
    quotes = quote_routes(parts.directory, parts.quotes)
    webhooks = upstream_webhook_routes(parts.job_news, parts.webhook_secrets)
    routes = [*health_routes(parts.readiness), *usage, *receipts, *metrics, *series, *quotes, *webhooks]
    return Starlette(routes=routes, exception_handlers={404: no_such_route, 405: no_such_route})
