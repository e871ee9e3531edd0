"""The account API: what `Front` hands the gateway's own paths to, on the listener that everyone may reach."""

from typing import Final

from starlette.applications import Starlette

from gateway.edges.api.alerts import alert_endpoints
from gateway.edges.api.details import detail_endpoints
from gateway.edges.api.doors import AccountDoor, OpenDoor
from gateway.edges.api.endpoint import Area, Door, Endpoint
from gateway.edges.api.health import health_endpoints
from gateway.edges.api.invoices import invoice_endpoints
from gateway.edges.api.json_reply import method_not_allowed, no_such_route
from gateway.edges.api.keys import key_endpoints
from gateway.edges.api.limits import limit_endpoints
from gateway.edges.api.openapi import openapi_endpoint
from gateway.edges.api.parts import AccountApiParts
from gateway.edges.api.payment_webhooks import payment_webhook_endpoints
from gateway.edges.api.payments import payment_endpoints
from gateway.edges.api.plans import plan_endpoints
from gateway.edges.api.problem_pages import problem_page_endpoint
from gateway.edges.api.quote import quote_endpoints
from gateway.edges.api.receipts import receipt_endpoints
from gateway.edges.api.series import series_endpoints
from gateway.edges.api.serve import routes_of
from gateway.edges.api.subscription import subscription_endpoints
from gateway.edges.api.upstream_webhooks import upstream_webhook_endpoints
from gateway.edges.api.usage import usage_endpoints
from gateway.edges.api.usage_events import usage_event_endpoints
from gateway.edges.api.usage_metrics import usage_metrics_endpoints
from gateway.edges.api.webhooks import webhook_endpoints

ABOUT = """What an account sees and changes of itself, with the API key that makes its calls.

Calls to the products go through the same address and are described by their own services. To them the gateway adds
`X-Request-Id`, `RateLimit-Policy` and `RateLimit`, `X-Credits-Remaining`, and `X-Credits-Charged` or `X-Credits-Held`;
what it refuses is a problem document, one of `components.responses`."""


BILLING: Final = Area("/api/v1/billing", lambda ask: ask.account_id, whole_key=True)
OWN: Final = Area("/api/v1", lambda ask: ask.account_id, whole_key=True)


def account_endpoints(parts: AccountApiParts) -> list[Endpoint]:
    """What callers ask with their API key."""
    desk = parts.desk
    return [
        *usage_endpoints(desk),
        *receipt_endpoints(desk.explain),
        *usage_metrics_endpoints(desk.metrics),
        *usage_event_endpoints(desk.metrics, desk.accounts.now),
        *series_endpoints(desk.series, desk.accounts.now),
        *quote_endpoints(parts.quotes),
        *plan_endpoints(desk),
        *subscription_endpoints(desk),
        *invoice_endpoints(desk, BILLING),
        *detail_endpoints(desk, BILLING),
        *limit_endpoints(desk, BILLING),
        *payment_endpoints(desk, BILLING),
        *alert_endpoints(desk, BILLING),
        *webhook_endpoints(desk, BILLING),
        *key_endpoints(desk, OWN),
    ]


def account_doors(parts: AccountApiParts) -> list[tuple[Door, list[Endpoint]]]:
    """Every endpoint of the public listener, by who may come in."""
    open_ = [
        *health_endpoints(parts.readiness),
        problem_page_endpoint(),
        *upstream_webhook_endpoints(parts.job_news, parts.webhook_secrets),
        *payment_webhook_endpoints(parts.desk.payment_news, parts.stripe_webhook_secret, parts.desk.clock),
    ]
    doors: list[tuple[Door, list[Endpoint]]] = [
        (OpenDoor(), open_),
        (AccountDoor(parts.directory, parts.admission, parts.desk.plans), account_endpoints(parts)),
    ]
    open_.append(openapi_endpoint("/openapi.json", "Credit Gateway: account API", ABOUT, doors))
    return doors


def account_api(parts: AccountApiParts) -> Starlette:
    """Callers show their API key and see their own account, services sign their webhooks; health needs neither."""
    routes = [
        route for door, endpoints in account_doors(parts) for route in routes_of(endpoints, door, parts.desk.changes)
    ]
    return Starlette(routes=[*routes, *parts.pages], exception_handlers={404: no_such_route, 405: method_not_allowed})
