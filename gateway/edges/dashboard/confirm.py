"""The page that asks before something is ended: what will stop, a button that does it, a link that does not.

A page and not a dialog of the browser's, so that it works without JavaScript and can be linked to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.responses import Response

from gateway.edges.dashboard.pages import Visit


@dataclass(frozen=True, slots=True)
class Question:
    """`section` is the navigation's entry; `crumb` the label and path of where one came from, and goes back to."""

    title: str
    section: str
    crumb: tuple[str, str]
    says: Sequence[str]
    action: str
    button: str
    warns: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def ask(visit: Visit, question: Question) -> Response:
    """The page. Nothing is changed by looking at it."""
    return visit.page("confirm.html", title=question.title, section=question.section, it=question)
