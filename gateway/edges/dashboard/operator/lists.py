"""What the operator's lists share: filters in the address, and going on behind a place. Knows no list."""

from collections.abc import Mapping
from typing import Final

from gateway.edges.dashboard import formats
from gateway.edges.dashboard.addresses import place_after
from gateway.edges.dashboard.pages import Visit
from gateway.flows.faults import WrongParameter
from gateway.wire import page_token

_LONGEST: Final = 200


def text(visit: Visit, name: str) -> str:
    """A filter of the address, without blanks around it; empty where it is not there. WrongParameter."""
    sent = visit.request.query_params.get(name, "").strip()
    if len(sent) > _LONGEST or (sent and not sent.isprintable()):
        raise WrongParameter(name, f"{name} in the address is nothing that can be looked for")
    return sent


def after(visit: Visit, *scope: object) -> tuple[int, str] | None:
    """The place that the address names, if it is of this list. WrongParameter."""
    return place_after(visit.request.query_params, page_token.scope("admin", *scope))


def onward(place: tuple[int, str] | None, given: Mapping[str, str], *scope: object) -> str | None:
    """The query of the list's next page; None on the last."""
    if place is None:
        return None
    return formats.query({**given, "after": page_token.make(page_token.scope("admin", *scope), *place)})
