"""Spreadsheets evaluate nothing that somebody typed."""

import csv
import io
import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.edges.documents.sheet import sheet


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_names_that_would_be_evaluated_are_text_and_numbers_are_numbers() -> None:
    names = ['=HYPERLINK("http://evil.example","x")', "+1+1", "-2+3", "@SUM(A1)", "\tx", "\r=1", "＝1", "-"]  # noqa: RUF001
    plain = ["Acme", "-12.5", "0", "key_1", 7, -3, None, "a=b", "2026-11-23T12:00:00+01:00"]
    first, second = read(sheet([names, plain]))
    assert first == [f"'{name}" for name in names]
    assert second == ["" if cell is None else str(cell) for cell in plain]


@given(st.lists(st.lists(st.text(alphabet='=+-@,"\r\n\t a1.;|', max_size=9), min_size=2, max_size=4), max_size=4))
def test_every_cell_comes_back_and_none_begins_like_a_formula(rows: list[list[str]]) -> None:
    found = read(sheet(rows))
    assert [[cell.removeprefix("'") for cell in row] for row in found] == rows
    for row in found:
        assert all(re.fullmatch(r"-?\d+(\.\d+)?", cell) or cell[:1] not in {*"=+-@\t\r\n"} for cell in row)
