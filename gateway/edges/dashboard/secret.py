"""The page that shows a new secret this once, in answer to the form that made it: in no address and in no cookie."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.responses import Response

from gateway.edges.dashboard.pages import Visit


@dataclass(frozen=True, slots=True)
class Secret:
    """`label` is what it is, `crumb` the label and path of where one goes on. The snippet may hold the secret too."""

    title: str
    section: str
    crumb: tuple[str, str]
    label: str
    secret: str = field(repr=False)
    says: Sequence[str] = ()
    snippet_label: str = ""
    snippet: str = field(default="", repr=False)


def show(visit: Visit, secret: Secret) -> Response:
    """The page. Nothing keeps it: neither the browser nor whatever lies between."""
    response = visit.page("secret.html", title=secret.title, section=secret.section, it=secret)
    response.headers["cache-control"] = "no-store"
    return response
