"""The operator's pages as one application, `/admin` and below, beside the admin API and never in its place."""

from dataclasses import replace
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from gateway.edges.dashboard.app import behind_door, front_page
from gateway.edges.dashboard.assets import asset_routes
from gateway.edges.dashboard.door import ADMIN_DOOR
from gateway.edges.dashboard.guard import Guarded
from gateway.edges.dashboard.operator.account import account_routes
from gateway.edges.dashboard.operator.account_changes import account_change_routes
from gateway.edges.dashboard.operator.accounts import accounts_routes
from gateway.edges.dashboard.operator.as_owner import as_owner_routes
from gateway.edges.dashboard.operator.audit import audit_routes
from gateway.edges.dashboard.operator.calls import call_routes
from gateway.edges.dashboard.operator.contract import contract_routes
from gateway.edges.dashboard.operator.invoices import invoice_routes
from gateway.edges.dashboard.operator.overview import overview_routes
from gateway.edges.dashboard.operator.parts import OperatorParts
from gateway.edges.dashboard.operator.plan import plan_routes
from gateway.edges.dashboard.pages import Pages

API: Final = "/admin/v1"


class BesideTheApi(Route):
    """Takes what is the pages', and leaves the API's addresses, unknown ones too, to the API's own answers."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any route, but for the API's."""
        path: str = scope["path"]
        if path == API or path.startswith(f"{API}/"):
            return Match.NONE, {}
        return super().matches(scope)


def admin_dashboard(parts: OperatorParts) -> Guarded:
    """`/admin` and what is below it."""
    # The address and the header of the proxy in front of the other listener say nothing of this one.
    own = replace(parts.dashboard, trusted_header=None, public_url=None)
    pages = Pages(own, ADMIN_DOOR)
    if not parts.on:
        return _switched_off(pages)
    return behind_door(
        pages,
        [
            *overview_routes(pages, parts),
            *accounts_routes(pages, parts),
            *as_owner_routes(pages, parts),
            *account_routes(pages, parts),
            *account_change_routes(pages, parts),
            *plan_routes(pages),
            *contract_routes(pages),
            *invoice_routes(pages),
            *audit_routes(pages),
            *call_routes(pages),
        ],
    )


def admin_dashboard_routes(parts: OperatorParts) -> list[Route]:
    """The pages, to be put behind the routes of the admin API."""
    return [front_page(ADMIN_DOOR), BesideTheApi("/admin{rest:path}", admin_dashboard(parts))]


def _switched_off(pages: Pages) -> Guarded:
    async def off(request: Request) -> Response:
        return pages.draw(request, "admin/off.html", 403, {"title": "Operations are off"})

    return Guarded(Starlette(routes=[*asset_routes(ADMIN_DOOR.root), pages.open("/admin{rest:path}", off, ["GET"])]))
