"""The volume benchmark asks for every page there is, and runs."""

import re

import pytest
from starlette.routing import Route

from gateway.edges.dashboard.app import account_routes
from gateway.edges.dashboard.door import ACCOUNT_DOOR, ADMIN_DOOR
from gateway.edges.dashboard.pages import Pages
from tests.bench import volume
from tests.bench.volume_people import Person
from tests.bench.volume_rows import Door, rows_of
from tests.edges.dashboard.operator.conftest import Operating

# Signing in and static files cost the same whoever asks; the rest of the pages as an owner sees them is those pages.
ELSEWHERE = re.compile(r"/admin(/accounts/\{account_id\}/as-owner(/\{rest:path\})?|/sign-in|/static/.*)?|.*/static/.*")


def test_no_page_is_left_out(operating: Operating) -> None:
    asked = rows_of(Person(*(f"{name}-1" for name in Person.__dataclass_fields__)))
    owners = account_routes(Pages(operating.running.parts, ACCOUNT_DOOR))
    operators = [route for route in operating.app.app.routes if isinstance(route, Route)]
    for door, routes in ((Door.OWNER, owners), (Door.OPERATOR, operators)):
        paths = [row.path.partition("?")[0] for row in asked if row.door is door]
        pages = [route for route in routes if "GET" in (route.methods or ()) and not ELSEWHERE.fullmatch(route.path)]
        assert len(pages) > 15
        assert [page.path for page in pages if not any(page.path_regex.match(path) for path in paths)] == []
    assert any(row.path == ADMIN_DOOR.home for row in asked)


def test_it_fills_books_serves_them_and_asks(capsys: pytest.CaptureFixture[str]) -> None:
    volume.main(["--events", "500", "--accounts", "2", "--rounds", "1", "--only", "plan"])
    said = capsys.readouterr().out
    assert "rollups of a middle account" in said
    assert re.search(r"^plan +\d", said, re.MULTILINE)
    assert re.search(r"^admin: account, plan +\d", said, re.MULTILINE)
    assert re.search(r"^usage\.book: [\d,]+ events/s", said, re.MULTILINE)
