"""The admin listener's application: the admin API, metrics and health. Bound apart, to be kept off the internet."""

from typing import Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from gateway.edges.api.admin_accounts import account_admin_endpoints
from gateway.edges.api.admin_clock import clock_endpoints
from gateway.edges.api.admin_contracts import contract_endpoints
from gateway.edges.api.admin_invoices import invoice_admin_endpoints
from gateway.edges.api.admin_ledger import ledger_endpoints
from gateway.edges.api.admin_state import state_endpoints
from gateway.edges.api.alerts import alert_endpoints
from gateway.edges.api.details import AdminDetailsWish, detail_endpoints
from gateway.edges.api.doors import AdminDoor, OpenDoor
from gateway.edges.api.endpoint import Area, Door, Endpoint
from gateway.edges.api.health import health_endpoints
from gateway.edges.api.invoices import invoice_endpoints
from gateway.edges.api.json_reply import method_not_allowed, no_such_route
from gateway.edges.api.keys import key_endpoints
from gateway.edges.api.limits import limit_endpoints, raise_endpoints
from gateway.edges.api.metrics import metrics_endpoints
from gateway.edges.api.openapi import openapi_endpoint
from gateway.edges.api.parts import AdminApiParts
from gateway.edges.api.payments import payment_endpoints
from gateway.edges.api.problem_pages import problem_page_endpoint
from gateway.edges.api.serve import routes_of
from gateway.edges.api.webhooks import webhook_endpoints

ABOUT = """What an operator sees and changes of all accounts, with the admin token.

`X-Actor` says who is asking; it stands in the audit log behind every change."""


ACCOUNT: Final = Area("/admin/v1/accounts/{account_id}", lambda ask: ask.path("account_id"), whole_key=False)


def admin_endpoints(parts: AdminApiParts) -> list[Endpoint]:
    """What operators ask with the admin token: of one account what the account itself may ask, and more."""
    desk = parts.desk
    return [
        *account_admin_endpoints(desk, ACCOUNT),
        *clock_endpoints(desk, ACCOUNT),
        *ledger_endpoints(desk, ACCOUNT),
        *key_endpoints(desk, ACCOUNT),
        *contract_endpoints(desk, ACCOUNT),
        *invoice_endpoints(desk, ACCOUNT),
        *detail_endpoints(desk, ACCOUNT, AdminDetailsWish),
        *limit_endpoints(desk, ACCOUNT),
        *raise_endpoints(desk, ACCOUNT),
        *payment_endpoints(desk, ACCOUNT),
        *alert_endpoints(desk, ACCOUNT),
        *webhook_endpoints(desk, ACCOUNT),
        *invoice_admin_endpoints(desk),
        *state_endpoints(parts),
    ]


def admin_doors(parts: AdminApiParts) -> list[tuple[Door, list[Endpoint]]]:
    """Every endpoint of the admin listener, by who may come in."""
    open_ = [*health_endpoints(parts.readiness), *metrics_endpoints(parts.registry), problem_page_endpoint()]
    operator = AdminDoor(parts.token, trusted=parts.trusted, clock=parts.desk.clock)
    doors: list[tuple[Door, list[Endpoint]]] = [(OpenDoor(), open_), (operator, admin_endpoints(parts))]
    open_.append(openapi_endpoint("/admin/v1/openapi.json", "Credit Gateway: admin API", ABOUT, doors))
    return doors


def admin_api(parts: AdminApiParts) -> Starlette:
    """`/admin/v1/…`, `/metrics`, `/healthz`, `/readyz`, and behind them the pages."""
    routes: list[BaseRoute] = [
        route for door, endpoints in admin_doors(parts) for route in routes_of(endpoints, door, parts.desk.changes)
    ]
    return Starlette(routes=[*routes, *parts.pages], exception_handlers={404: no_such_route, 405: method_not_allowed})
