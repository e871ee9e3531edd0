"""Signing in with a key (or, on the operator's door, the admin token), and out, here or everywhere.

Says the same of every wrong key, whether or not there is, or was, such a one. A password manager may fill the field; it
is never shown again.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.domain.instant import epoch_ms
from gateway.edges.dashboard.browser import own_path
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.forms import read_form
from gateway.edges.dashboard.pages import FOREIGN_FORM, Pages, Visit
from gateway.flows.sign_in import Role


def sign_in_routes(pages: Pages) -> list[Route]:
    """`…/sign-in`, `…/sign-out`, `…/sign-out-everywhere`."""
    door, here = pages.door, _SignIn(pages)
    return [
        pages.open(door.sign_in, here.look, ["GET"]),
        pages.open(door.sign_in, here.enter, ["POST"]),
        pages.post(f"{door.root}/sign-out", here.leave, roles=door.roles),
        pages.post(f"{door.root}/sign-out-everywhere", here.leave_everywhere, roles=door.roles),
    ]


class _SignIn:
    """One door's."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._door = pages.door
        self._sign_ins = pages.parts.sign_ins
        self._admin = Role.ADMIN in pages.door.roles

    async def look(self, request: Request) -> Response:
        """The form; who is signed in already goes on."""
        back = self._back(request.query_params.get("next"))
        found = await self._pages.signed_in(request)
        if found is not None:
            return self._pages.kept(request, self._pages.go(request, back), found)
        return self._form(request, 200, back)

    async def enter(self, request: Request) -> Response:
        """A new session, or the form again."""
        if not self._pages.browsers.from_own_page(request):
            return self._pages.fault(request, 403, detail=FOREIGN_FORM)
        sent = await read_form(request)
        back, attempts = self._back(sent.get("next")), self._pages.attempts
        peer, at_ms = self._pages.browsers.peer(request), epoch_ms(self._pages.parts.desk.clock())
        if wait_s := attempts.wait_s(peer, at_ms):
            response = self._form(request, 429, back, f"Too many attempts from here. Try again in {wait_s} seconds.")
            response.headers["retry-after"] = str(wait_s)
            return response
        signs_in = self._sign_ins.with_admin_token if self._admin else self._sign_ins.with_key
        found = await signs_in(sent["key"])
        if found is None or found.secret is None:
            attempts.failed(peer, at_ms)
            what = "admin token" if self._admin else "API key"
            response = self._form(request, 401, back, f"That is no {what} that works here. Check that it is complete.")
            response.headers["www-authenticate"] = "Bearer"
            return response
        return self._pages.kept(request, self._pages.go(request, back), found)

    async def leave(self, visit: Visit) -> Response:
        """Ends this session."""
        await self._sign_ins.end(visit.visitor)
        return self._left(visit, "You are signed out.")

    async def leave_everywhere(self, visit: Visit) -> Response:
        """Ends all sessions of the account; a member's only those of the same key."""
        await self._sign_ins.end_all(visit.visitor)
        return self._left(visit, "You are signed out here and everywhere else.")

    def _back(self, wished: str | None) -> str:
        return own_path(wished, below=self._door.root, otherwise=self._door.home)

    def _form(self, request: Request, status: int, back: str, wrong: str = "") -> Response:
        shown = {"title": "Sign in", "back": back, "wrong": wrong, "admin": self._admin}
        return self._pages.draw(request, "sign_in.html", status, shown)

    def _left(self, visit: Visit, said: str) -> Response:
        response = visit.go(self._door.sign_in, said, Tone.PLAIN)
        self._pages.browsers.set_cookie(visit.request, response, self._door.cookie, "", max_age_s=0)
        return response
