"""Reading pages as their forms would be sent, for tests without a browser."""

import re
from html.parser import HTMLParser


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str]] = {}
        self._fields: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._fields = self.found.setdefault(named["action"], {})
        elif tag == "input" and self._fields is not None and "name" in named:
            self._fields[named["name"]] = named.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._fields = None


def form(page: str, action: str) -> dict[str, str]:
    """The fields of the form that goes there, as they stand on the page."""
    reader = _Forms()
    reader.feed(page)
    assert action in reader.found, f"no form goes to {action}, only to {sorted(reader.found)}"
    return reader.found[action]


def text(page: str) -> str:
    """What a page says, without its markup, every run of blanks one."""
    body = re.sub(r"<(script|style|svg|head)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).strip()


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[list[str]]] = {}
        self._label = ""
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if named.get("role") == "region":
            self._label = named["aria-label"]
            self.found[self._label] = []
        elif tag == "tr":
            self.found[self._label].append([])
        elif tag in {"td", "th"}:
            self._cell = []

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"} and self._cell is not None:
            self.found[self._label][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None


def tables(page: str) -> dict[str, list[list[str]]]:
    """What stands in each table, row by row, by the label of the region it is in."""
    reader = _Tables()
    reader.feed(page)
    return reader.found
