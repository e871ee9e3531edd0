"""How a page comes about: who asks is found, what they may is checked, their page is drawn, faults become pages too.

A page module gives `Pages` its answers; each is handed a `Visit` and draws with it. Knows no page.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.books.faults import BooksUnavailable
from gateway.domain.instant import epoch_ms
from gateway.edges.api.json_reply import new_request_id
from gateway.edges.attempts import Attempts
from gateway.edges.dashboard import flash
from gateway.edges.dashboard.assets import asset_path
from gateway.edges.dashboard.browser import Browsers
from gateway.edges.dashboard.door import Door
from gateway.edges.dashboard.flash import Flash, Tone
from gateway.edges.dashboard.formats import FILTERS
from gateway.edges.dashboard.forms import Form, read_form
from gateway.edges.dashboard.parts import DashboardParts
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.sign_in import LONGEST_MS, Role, SignedIn, Visitor
from gateway.ledger.faults import StoreUnavailable

FORM_TOKEN: Final = "form_token"  # noqa: S105 - the name of a field
_SENT_BY_SCRIPT: Final = "hx-request"

log = structlog.get_logger()


@dataclass
class Visit:
    """One request of somebody signed in. `form` is empty but for a POST."""

    request: Request
    pages: "Pages"
    visitor: Visitor
    form: Form = field(default_factory=lambda: Form([]))
    clock_offset_ms: int = 0

    @property
    def account_id(self) -> str:
        """Whose pages these are; empty for an admin."""
        return self.visitor.account_id

    @property
    def may_change(self) -> bool:
        """Whether changes are offered, beside being refused where they are not."""
        return self.visitor.role is not Role.MEMBER

    @cached_property
    def now_ms(self) -> int:
        """The moment of this visit."""
        return epoch_ms(self.pages.parts.desk.clock())

    @property
    def own_now_ms(self) -> int:
        """The same by the account's own clock, which all of its billing goes by."""
        return self.now_ms + self.clock_offset_ms

    def page(self, template: str, *, title: str, section: str = "", status: int = 200, **shown: Any) -> Response:
        """Draw a page. `section` is the entry of the navigation it belongs to."""
        return self.pages.draw(self.request, template, status, {"title": title, "section": section, **shown}, self)

    def go(self, path: str, said: str = "", tone: Tone = Tone.GOOD) -> Response:
        """After a change: to another page, which says this. Reloading that repeats nothing."""
        return self.pages.go(self.request, path, Flash(said, tone) if said else None)


Answer = Callable[[Visit], Awaitable[Response]]


class Pages:
    """One door's pages."""

    def __init__(self, parts: DashboardParts, door: Door) -> None:
        self.parts = parts
        self.door = door
        self.browsers = Browsers(parts.trusted, parts.public_url)
        self.attempts = Attempts()
        self._templates = _environment(door.root)

    def get(self, path: str, answer: Answer, *, roles: frozenset[Role] | None = None) -> Route:
        """A page to look at, for everyone this door lets in, or only `roles`."""
        return Route(path, self._endpoint(answer, roles or self.door.roles), methods=["GET"])

    def post(self, path: str, answer: Answer, *, roles: frozenset[Role] | None = None) -> Route:
        """A change, for all but members, or `roles`. The form was sent by our own page and is the visitor's."""
        return Route(path, self._endpoint(answer, roles or self.door.roles - {Role.MEMBER}), methods=["POST"])

    def open(self, path: str, answer: Callable[[Request], Awaitable[Response]], methods: list[str]) -> Route:
        """For people who are not signed in."""

        async def endpoint(request: Request) -> Response:
            return await self.guarded(request, lambda: answer(request))

        return Route(path, endpoint, methods=methods)

    async def signed_in(self, request: Request) -> SignedIn | None:
        """Who asks: by a proxy's word, else by the cookie. The answer goes through `kept`."""
        header = self.parts.trusted_header
        peer = request.client.host if request.client is not None else ""
        if header and Role.OWNER in self.door.roles and self.parts.trusted(peer):
            named = request.headers.getlist(header)
            if len(named) == 1:
                visitor = await self.parts.sign_ins.vouched_for(named[0])
                return None if visitor is None else SignedIn(visitor)
        cookie = self.browsers.cookie(request, self.door.cookie)
        found = await self.parts.sign_ins.find(cookie) if cookie else None
        return found if found is not None and found.visitor.role in self.door.roles else None

    def kept(self, request: Request, response: Response, found: SignedIn) -> Response:
        """The answer, with the visitor's session where the browser needs a new one: it holds the old no longer."""
        if found.secret is not None:
            self.browsers.set_cookie(request, response, self.door.cookie, found.secret, max_age_s=LONGEST_MS // 1000)
        return response

    def draw(
        self, request: Request, template: str, status: int, shown: Mapping[str, Any], visit: Visit | None = None
    ) -> Response:
        """A page as HTML; what was left to be said is said on it."""
        left = flash.unpacked(self.browsers.cookie(request, flash.COOKIE), self.parts.sign_ins.sign)
        context = {
            "door": self.door,
            "section": "",
            "flash": left,
            "visit": visit,
            "visitor": visit.visitor if visit is not None else None,
            "now_ms": epoch_ms(self.parts.desk.clock()) if visit is None else visit.own_now_ms,
            **shown,
        }
        response = HTMLResponse(self._templates.get_template(template).render(context), status)
        if left is not None:
            self.browsers.set_cookie(request, response, flash.COOKIE, "", max_age_s=0)
        return response

    def go(self, request: Request, path: str, said: Flash | None = None) -> Response:
        """To another page by GET."""
        response: Response = RedirectResponse(path, 303)
        if request.headers.get(_SENT_BY_SCRIPT) == "true":
            response = Response(status_code=200, headers={"hx-redirect": path})
        if said is not None:
            text = flash.packed(said, self.parts.sign_ins.sign)
            self.browsers.set_cookie(request, response, flash.COOKIE, text, max_age_s=flash.MAX_AGE_S)
        return response

    def fault(self, request: Request, status: int, *, detail: str = "", visit: Visit | None = None) -> Response:
        """A page that says what went wrong and what to do."""
        title, what, todo = _FAULTS[status]
        shown = {"title": title, "what": detail or what, "todo": todo, "number": status}
        return self.draw(request, "fault.html", status, shown, visit)

    def to_sign_in(self, request: Request) -> Response:
        """Signing in leads back to the page that was asked for; a form that was sent is not sent again."""
        if request.method not in {"GET", "HEAD"}:
            said = Flash("You had been signed out, so nothing was changed.", Tone.BAD)
            return self.go(request, self.door.sign_in, said)
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return self.go(request, f"{self.door.sign_in}?{urlencode({'next': back})}")

    def _endpoint(self, answer: Answer, roles: frozenset[Role]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await self.guarded(request, lambda: self._answered(request, answer, roles))

        return endpoint

    async def _answered(self, request: Request, answer: Answer, roles: frozenset[Role]) -> Response:
        found = await self.signed_in(request)
        if found is None:
            return self.to_sign_in(request)
        visit = Visit(request, self, found.visitor)
        response = await self.guarded(request, lambda: self._admitted(visit, answer, roles), visit)
        return self.kept(request, response, found)

    async def _admitted(self, visit: Visit, answer: Answer, roles: frozenset[Role]) -> Response:
        if visit.visitor.role not in roles:
            return self.fault(visit.request, 403, visit=visit)
        if visit.account_id:
            visit.clock_offset_ms = await self.parts.desk.accounts.ahead_ms(visit.account_id)
        if visit.request.method == "POST":
            if not self.browsers.from_own_page(visit.request):
                return self.fault(visit.request, 403, detail=FOREIGN_FORM, visit=visit)
            visit.form = await read_form(visit.request)
            sent = visit.form.get(FORM_TOKEN)
            if not sent.isascii() or not compare_digest(sent, visit.visitor.form_token):
                return self.fault(visit.request, 403, detail=FOREIGN_FORM, visit=visit)
        return await answer(visit)

    async def guarded(
        self, request: Request, answer: Callable[[], Awaitable[Response]], visit: Visit | None = None
    ) -> Response:
        """What `answer` gives, or a page that says what went wrong."""
        try:
            return await answer()
        except NoSuchThing as missing:
            return self.fault(request, 404, detail=f"There is no {missing.kind} of this name.", visit=visit)
        except CallerFault as wrong:
            return self.fault(request, 400, detail=_sentence(str(wrong)), visit=visit)
        except (BooksUnavailable, StoreUnavailable):
            return self.fault(request, 503, visit=visit)
        except Exception:
            request_id = new_request_id()
            log.exception("a page could not be shown", request_id=request_id, path=request.url.path)
            return self.fault(request, 500, detail=f"If you ask for help, name {request_id}.", visit=visit)


FOREIGN_FORM: Final = "This form was not sent from a page that you have open here, so nothing was changed."
_FAULTS: Final = {
    400: ("That did not work", "What was sent could not be understood.", "Go back, correct it and try again."),
    403: (
        "You may not do this",
        "The key you signed in with is limited to some products, so it can look at this account and change nothing.",
        "Sign in with a key for all products to make changes.",
    ),
    404: ("Not here", "There is no such page.", "The address may be mistyped, or what it showed is gone."),
    405: ("Not here", "This page does not take that.", "Open it from the navigation."),
    429: ("Too many attempts", "Sign-in from here is paused.", "Wait a little, then try again."),
    500: ("Something broke on our side", "", "Nothing you did caused this. Try again in a moment."),
    503: (
        "Not available right now",
        "The place where your account is kept cannot be reached.",
        "Nothing is lost, and calls go on as far as they can. Reload the page in a moment.",
    ),
}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


@cache
def _environment(root: str) -> Environment:
    """The templates, read once for all doors that have their files below `root`."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(asset=lambda name: asset_path(root, name), form_token_field=FORM_TOKEN, Role=Role)
    return environment
