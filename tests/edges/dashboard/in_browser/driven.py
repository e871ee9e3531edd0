"""Which addresses of the pages a browser has driven: what a test says it drives, what was asked, and what there is."""

from collections.abc import Callable, Collection, Iterable
from typing import Final, TypeVar

from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.edges.dashboard.guard import Guarded

_DRIVES: Final = "drives"
Test = TypeVar("Test", bound=Callable[..., object])


def drives(*addresses: str) -> Callable[[Test], Test]:
    """Says that a test's browser asks each of these, as in "POST /settings/billing/keys"; else the test fails."""

    def told(test: Test) -> Test:
        setattr(test, _DRIVES, addresses)
        return test

    return told


def driven_by(test: object) -> tuple[str, ...]:
    """What a test says that it drives."""
    said: tuple[str, ...] = getattr(test, _DRIVES, ())
    return said


class Noting:
    """An application, which notes what it was asked and answered well: `asked`, a method and a path each."""

    def __init__(self, app: ASGIApp, asked: set[tuple[str, str]]) -> None:
        self._app = app
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._asked.add((scope["method"], scope["path"]))
            await send(message)

        await self._app(scope, receive, noting)


def offered(app: Guarded) -> list[str]:
    """Every address of these pages; what takes any method is there to be looked at."""
    return [
        f"{method} {route.path}" for route in _routes(app) for method in sorted((route.methods or {"GET"}) - {"HEAD"})
    ]


def address(app: Guarded, method: str, path: str) -> str | None:
    """The address that a request is answered by; None: by none."""
    for route in _routes(app):
        found, _ = route.matches({"type": "http", "method": method, "path": path, "root_path": ""})
        if found is Match.FULL:
            return f"{method} {route.path}"
    return None


def addresses(apps: Iterable[Guarded], asked: Collection[tuple[str, str]]) -> set[str]:
    """Of all requests."""
    found = {address(app, *one) for app in apps for one in asked}
    return {one for one in found if one is not None}


def _routes(app: Guarded) -> list[Route]:
    return [route for route in app.app.routes if isinstance(route, Route)]
