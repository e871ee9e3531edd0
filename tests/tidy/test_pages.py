"""What people read leads somewhere: links between pages, their headings, and the files that pages name."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.test_floors import PACKAGE

ROOT = PACKAGE.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
_EXAMPLE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:config|docs|gateway|requirements|tests)/[\w/.-]+\.\w+)(?:::(\w+))?`")


def prose(page: Path) -> str:
    return _EXAMPLE.sub("", page.read_text())


def headings(page: Path) -> set[str]:
    """As GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def leads_nowhere(page: Path) -> Iterator[str]:
    for link in _LINK.findall(prose(page)):
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        if ":" in link:
            continue
        if not target.exists() or (heading and heading not in headings(target)):
            yield link
    for file, test in _FILE.findall(prose(page)):
        if not (ROOT / file).exists() or (test and f"def {test}(" not in (ROOT / file).read_text()):
            yield file + test


def test_every_link_and_every_file_named_on_a_page_is_there() -> None:
    dead = {str(page.relative_to(ROOT)): found for page in PAGES if (found := list(leads_nowhere(page)))}
    assert not dead
