"""An account's pages as its owner sees them, for an operator: the very same pages, which can change nothing here.

The operator comes in as a member, who only reads; routes that change something are not even there. That they looked is
in the account's audit log.
"""

import re
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.edges.dashboard.app import account_routes, behind_door
from gateway.edges.dashboard.browser import Browsers
from gateway.edges.dashboard.door import ADMIN_DOOR, as_owner_door
from gateway.edges.dashboard.operator.parts import OperatorParts
from gateway.edges.dashboard.pages import Pages
from gateway.flows.sign_in import Role, SignedIn, Visitor

MOST_ACCOUNTS: Final = 32
_ACCOUNT_ID: Final = re.compile(r"acc_[0-9a-zA-Z]{1,60}")


@dataclass(frozen=True, slots=True)
class AsKnown(Browsers):
    """What owners are told of where to call is the callers' address, not this listener's."""

    known: str

    def origin(self, request: Request) -> str:
        """The callers' address."""
        del request
        return self.known


class OwnersPages(Pages):
    """One account's. Whoever is signed in as an operator reads them as a member of the account would."""

    def __init__(self, operators: Pages, parts: OperatorParts, account_id: str) -> None:
        super().__init__(operators.parts, as_owner_door(account_id))
        self.browsers = AsKnown(self.parts.trusted, self.parts.public_url, parts.public_url)
        self._operators = operators
        self._look_ins = parts.look_ins
        self._account_id = account_id

    async def signed_in(self, request: Request) -> SignedIn | None:
        """The operator, in a member's place. NoSuchThing for an unknown account."""
        found = await self._operators.signed_in(request)
        if found is None:
            return None
        who = found.visitor
        account = await self._look_ins.enter(self._account_id, session_id=who.session_id, actor=who.actor)
        member = Visitor(Role.MEMBER, account.id, account.name, who.key_id, who.session_id, who.form_token)
        return SignedIn(member, found.secret)


class AsOwner:
    """All accounts', each put together when somebody looks at it; the latest few are kept."""

    def __init__(self, operators: Pages, parts: OperatorParts) -> None:
        self._operators = operators
        self._parts = parts
        self._kept: dict[str, ASGIApp] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        account_id: str = scope["path_params"]["account_id"]
        if _ACCOUNT_ID.fullmatch(account_id) is None:
            await self._operators.fault(Request(scope), 404)(scope, receive, send)
            return
        app = self._kept.pop(account_id, None) or self._app(account_id)
        self._kept[account_id] = app
        while len(self._kept) > MOST_ACCOUNTS:
            del self._kept[next(iter(self._kept))]
        await app(scope, receive, send)

    def _app(self, account_id: str) -> ASGIApp:
        pages = OwnersPages(self._operators, self._parts, account_id)
        return behind_door(pages, [route for route in account_routes(pages) if "GET" in (route.methods or ())])


def as_owner_routes(operators: Pages, parts: OperatorParts) -> list[Route]:
    """`/admin/accounts/{account_id}/as-owner` and what is below it."""
    path = f"{ADMIN_DOOR.home}/accounts/{{account_id}}/as-owner"
    app = AsOwner(operators, parts)
    return [Route(path, app), Route(f"{path}/{{rest:path}}", app)]
