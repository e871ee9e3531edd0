"""What stands in a page's address, read strictly: one that is wrong is refused, never read as another."""

from collections.abc import Mapping
from typing import Final

from gateway.flows.faults import WrongParameter
from gateway.wire import page_token

_LONGEST: Final = 200


def text_in(query: Mapping[str, str], name: str) -> str:
    """The value, empty where it was not sent. WrongParameter."""
    sent = query.get(name, "")
    if len(sent) > _LONGEST or (sent and not sent.isprintable()):
        raise WrongParameter(name, f"{name} in the address is nothing of yours")
    return sent


def place_after(query: Mapping[str, str], scope: str) -> tuple[int, str] | None:
    """Where a list goes on, by the token in `after`; None at its beginning. WrongParameter."""
    token = query.get("after")
    if not token:
        return None
    place = page_token.read(token, scope)
    if place is None:
        raise WrongParameter("after", "this page of the list is gone; begin with the first one")
    return place
