"""The page that asks how long an old secret goes on beside a new one."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.responses import Response

from gateway.edges.dashboard.once import fresh_word
from gateway.edges.dashboard.pages import Visit


@dataclass(frozen=True, slots=True)
class Rotation:
    """`overlaps` are the choices, as they are sent and as they are said; a day is chosen before."""

    title: str
    about: str
    section: str
    crumb: tuple[str, str]
    legend: str
    overlaps: Mapping[str, str]
    note: str
    action: str
    button: str
    warns: str = ""


def ask_overlap(visit: Visit, rotation: Rotation, wrong: str = "") -> Response:
    """The page; `wrong` where the form came without a choice."""
    return visit.page(
        "rotate.html",
        title=rotation.title,
        section=rotation.section,
        status=422 if wrong else 200,
        it=rotation,
        wrong=wrong,
        once=fresh_word(),
    )
