"""The owners' pages as one application, `/settings/…`, and what the operator's are put together with."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route

from gateway.edges.dashboard.assets import asset_routes
from gateway.edges.dashboard.browser import own_path
from gateway.edges.dashboard.calls import calls_routes
from gateway.edges.dashboard.details import details_routes
from gateway.edges.dashboard.door import ACCOUNT_DOOR, Door
from gateway.edges.dashboard.guard import Guarded
from gateway.edges.dashboard.invoices import invoice_routes
from gateway.edges.dashboard.keys import key_routes
from gateway.edges.dashboard.limits import limit_routes
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.dashboard.parts import DashboardParts
from gateway.edges.dashboard.payment_methods import payment_method_routes
from gateway.edges.dashboard.plan import plan_routes
from gateway.edges.dashboard.plan_change import plan_change_routes
from gateway.edges.dashboard.pricing import pricing_routes
from gateway.edges.dashboard.sign_in import sign_in_routes
from gateway.edges.dashboard.usage import usage_routes
from gateway.edges.dashboard.webhook_log import webhook_log_routes
from gateway.edges.dashboard.webhooks import webhook_routes


def dashboard(parts: DashboardParts) -> Guarded:
    """`/settings/billing` and what is below it."""
    pages = Pages(parts, ACCOUNT_DOOR)
    return behind_door(pages, account_routes(pages))


def account_routes(pages: Pages) -> list[Route]:
    """Every page of an account, below its door's home."""
    return [
        *plan_routes(pages),
        *pricing_routes(pages),
        *plan_change_routes(pages),
        *usage_routes(pages),
        *calls_routes(pages),
        *invoice_routes(pages),
        *payment_method_routes(pages),
        *details_routes(pages),
        *key_routes(pages),
        *limit_routes(pages),
        *webhook_routes(pages),
        *webhook_log_routes(pages),
    ]


def dashboard_routes(parts: DashboardParts) -> list[Route]:
    """The pages, to be put beside other routes."""
    return [front_page(ACCOUNT_DOOR), Route("/settings{rest:path}", dashboard(parts))]


def front_page(door: Door) -> Route:
    """What a browser gets that is given the listener's bare address; programs are told that there is nothing."""

    async def lead(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            raise HTTPException(404)
        return RedirectResponse(door.home, 303)

    return Route("/", lead, methods=["GET"])


def behind_door(pages: Pages, routes: Sequence[BaseRoute]) -> Guarded:
    """These pages with sign-in, static files, fault pages and the headers that all answers have."""
    door = pages.door

    async def home(request: Request) -> Response:
        return pages.go(request, door.home)

    async def no_page(request: Request) -> Response:
        path = request.url.path
        if request.method == "GET" and path.endswith("/"):
            return pages.go(request, own_path(path.rstrip("/"), below=door.root, otherwise=door.home))
        found = await pages.signed_in(request)
        if found is not None:
            response = pages.fault(request, 404, visit=Visit(request, pages, found.visitor))
            return pages.kept(request, response, found)
        return pages.to_sign_in(request) if request.method == "GET" else pages.fault(request, 404)

    async def missing(request: Request, _error: Exception) -> Response:
        return await pages.guarded(request, lambda: no_page(request))

    async def other_method(request: Request, _error: Exception) -> Response:
        # A page and its change are two routes, and Starlette tells the methods of one.
        there = (route for route in all_routes if isinstance(route, Route))
        known = [route for route in there if route.matches(request.scope)[0] is not Match.NONE]
        response = pages.fault(request, 405)
        response.headers["allow"] = ", ".join(sorted({name for route in known for name in route.methods or ()}))
        return response

    to_home = [] if door.root == door.home else [Route(door.root, home, methods=["GET"])]
    all_routes = [*to_home, *asset_routes(door.root), *sign_in_routes(pages), *routes]
    app = Starlette(routes=all_routes, exception_handlers={404: missing, 405: other_method})
    # It would redirect to whatever host was asked for.
    app.router.redirect_slashes = False
    return Guarded(app)
