"""Nothing is left out: every page has been looked at in a browser, and everything that is sent has been sent by one."""

import inspect
from importlib import import_module
from pathlib import Path

from tests.edges.dashboard.in_browser.conftest import Operations, Served
from tests.edges.dashboard.in_browser.driven import addresses, driven_by, offered
from tests.edges.dashboard.in_browser.test_pages import OPERATORS_PAGES, PAGES

HERE = "tests.edges.dashboard.in_browser"
STATIC = {"GET /settings/static/{mark}/{name:path}", "GET /admin/static/{mark}/{name:path}"}
"""What every page asks for."""


def told() -> dict[str, list[str]]:
    """What tests say that they drive, and the arguments that they take. That they do is seen as they run."""
    found: dict[str, list[str]] = {}
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for _, test in inspect.getmembers(import_module(f"{HERE}.{file.stem}"), inspect.isfunction):
            for address in driven_by(test):
                found.setdefault(address, []).extend(inspect.signature(test).parameters)
    return found


def looked_at(served: Served, operations: Operations) -> set[str]:
    """By the tests of each page in every size and colour."""
    paths = [path.format_map(served.ids) for _, path in PAGES]
    paths += [path.format_map(operations.ids) for path in OPERATORS_PAGES]
    return addresses((served.app, operations.app), [("GET", path.partition("?")[0]) for path in paths])


async def test_every_page_and_every_action_is_driven_in_a_browser(served: Served, operations: Operations) -> None:
    every = {*offered(served.app), *offered(operations.app)} - STATIC
    driven = set(told()) | looked_at(served, operations)
    assert every - driven == set(), "no browser has been there"
    assert driven - every == set(), "these are there no more"


async def test_every_form_is_sent_with_and_without_javascript() -> None:
    once = [address for address, takes in told().items() if address.startswith("POST ") and "tab" not in takes]
    assert once == []
