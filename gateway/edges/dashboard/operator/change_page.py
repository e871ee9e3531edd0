"""The page behind every change an operator makes: what will happen, what is asked for, a button, a way back.

Drawn again with what was typed where something is wrong with it. A form that is sent twice counts once.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.formats import sentence
from gateway.edges.dashboard.once import FIELD, SentAlready, fresh_word, once
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter

MOST_TYPED: Final = 48_000


@dataclass(frozen=True, slots=True)
class Input:
    """One thing asked for. `kind`: text, number, date, select (of `options`: value and label) or textarea."""

    name: str
    label: str
    kind: str = "text"
    value: str = ""
    hint: str = ""
    required: bool = True
    options: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class ChangePage:
    """`crumb` is the label and path of where one came from; `tone` of the button: accent, or bad where it ends."""

    title: str
    section: str
    crumb: tuple[str, str]
    says: Sequence[str]
    inputs: Sequence[Input]
    button: str
    tone: str = "accent"
    warns: str = ""


REASON: Final = Input("reason", "Reason", hint="Stands in the audit log. The account's owner may read it.")

Drawn = Callable[[Visit], Awaitable[ChangePage]]
Made = Callable[[Visit], Awaitable[tuple[str, str]]]


def change_routes(pages: Pages, path: str, page: Drawn, change: Made) -> list[Route]:
    """The page at `path`, and the change. `change` gives where to go then, and what to say there; CallerFault."""

    async def look(visit: Visit) -> Response:
        return draw(visit, await page(visit))

    async def make(visit: Visit) -> Response:
        shown = await page(visit)
        try:
            async with once(visit):
                back, said = await change(visit)
        except SentAlready as again:
            return visit.go(shown.crumb[1], sentence(str(again)), Tone.PLAIN)
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return draw(visit, shown, fault)
        return visit.go(back, said)

    return [pages.get(path, look), pages.post(path, make)]


def draw(visit: Visit, page: ChangePage, fault: CallerFault | None = None) -> Response:
    """The page; with what was typed, and what is wrong with it."""
    names = {one.name for one in page.inputs}
    wrong = fault.name if isinstance(fault, WrongParameter) and fault.name in names else ""
    return visit.page(
        "admin/change.html",
        title=page.title,
        section=page.section,
        status=200 if fault is None else 422,
        it=page,
        action=visit.request.url.path,
        typed={one.name: visit.form.get(one.name, one.value)[:MOST_TYPED] for one in page.inputs},
        wrong=wrong,
        sentences=[] if fault is None else [sentence(line) for line in str(fault).splitlines()],
        once_field=FIELD,
        once_word=fresh_word(),
    )
