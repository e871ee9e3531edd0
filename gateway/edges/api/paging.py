"""Lists, page by page: the token tells where to go on, and is good for the list and the filters it was given for."""

from collections.abc import Iterable
from typing import Any, Final

from pydantic import Field

from gateway.edges.api.endpoint import Ask, Strict
from gateway.flows.faults import WrongParameter
from gateway.wire import page_token

PAGE_SIZE: Final = 50
LARGEST_PAGE: Final = 200

Place = tuple[int, str]


class PageQuery(Strict):
    """Which page, and of how many."""

    page_size: int = Field(PAGE_SIZE, ge=1, le=LARGEST_PAGE)
    page_token: str | None = Field(None, min_length=1, description="`next_page_token` of the page before")


def scope_of(ask: Ask, *filters: object) -> str:
    """What a token of this list is good for: who asks, for what, with which filters."""
    return page_token.scope(ask.who.scope, ask.request.url.path, *filters)


def place(ask: Ask, within: str) -> Place | None:
    """Where to go on; None at the beginning. WrongParameter."""
    token: str | None = ask.query.page_token
    if token is None:
        return None
    found = page_token.read(token, within)
    if found is None:
        raise WrongParameter("page_token", "is no token of this list: send it with the filters it was given for")
    return found


def page(items: Iterable[Any], after: Place | None, within: str) -> dict[str, Any]:
    """A page as all lists show it."""
    token = None if after is None else page_token.make(within, *after)
    return {"items": list(items), "next_page_token": token}
