"""A selection of pages is counted as a set, whatever order and overlap it is written in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.route import CountPages, Source, Units, Where
from gateway.wire.units import MAX_UNITS, count_units, selected_pages
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import RequestValues, needs

PAGES = Where(Source.JSON, pointer=("pages",))
MOST = Where(Source.JSON, pointer=("most",))
FILES = Where(Source.JSON, pointer=("files",))
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=8)


def counted(units: Units, **body: object) -> tuple[int, int] | Unreadable:
    wanted = needs(place for place in (units.each, units.pages, units.at_most) if place is not None)
    return count_units(units, RequestValues(wanted, headers=[], query=b"", body=json.dumps(body).encode()))


@given(SPANS, st.integers(0, 1))
def test_pages_are_counted_once_each(spans: list[tuple[int, int]], first: int) -> None:
    text = ", ".join(f"{low + first}-{low + first + more}" if more else str(low + first) for low, more in spans)
    pages = {page for low, more in spans for page in range(low, low + more + 1)}
    assert selected_pages(text, first=first) == len(pages)
    assert selected_pages([page + first for page in pages], first=first) == len(pages)


@given(st.text(alphabet="0123456789-, ab", max_size=30), st.integers(0, 1))
def test_no_text_makes_it_raise_or_count_less_than_a_page(text: str, first: int) -> None:
    pages = selected_pages(text, first=first)
    assert pages is None or pages >= 1


@pytest.mark.parametrize("selection", ["0", "", " ", ",", "1,,2", "2-1", "1-", "-1", "1-2-3", "one", "1.5", "12345678"])
def test_what_is_no_selection_counts_nothing(selection: str) -> None:
    assert selected_pages(selection, first=1) is None


def test_a_selection_may_be_long_but_not_endless() -> None:
    assert selected_pages("1-9999999", first=1) == 9_999_999
    assert selected_pages(",".join(["1"] * 10_000), first=1) == 1
    assert selected_pages(",".join(["1"] * 10_001), first=1) is None
    assert selected_pages([1] * 10_001, first=1) is None


@given(st.integers(1, 1000), st.integers(0, 1000), st.data())
def test_the_least_is_never_above_what_is_expected(expected: int, least: int, data: st.DataObject) -> None:
    units = Units(expected, min(least, expected), each=FILES, pages=PAGES, at_most=MOST)
    pages = data.draw(st.none() | st.lists(st.integers(1, 2000), max_size=20))
    most = data.draw(st.none() | st.integers(0, 2000))
    files = data.draw(st.none() | st.lists(st.just("f"), max_size=20))
    found = counted(units, pages=pages, most=most, files=files)
    assert not isinstance(found, Unreadable)
    bounds = [expected, *([len(set(pages))] if pages else []), *([most] if most else [])]
    assert found[0] == min(bounds) * max(1, len(files or []))
    assert 0 <= found[1] <= found[0]


def test_a_selection_makes_nothing_exact_unless_the_route_says_so() -> None:
    assert counted(Units(10, 1, pages=PAGES), pages="1-3") == (3, 1)
    assert counted(Units(10, 1, pages=PAGES, exact=True), pages="1-3") == (3, 3)
    assert counted(Units(10, 1, pages=PAGES, exact=True)) == (10, 10)


def test_units_stay_within_what_may_be_quoted() -> None:
    assert counted(Units(1_000, 1_000, each=FILES), files=["f"] * 10_000) == (MAX_UNITS, MAX_UNITS)
    assert isinstance(counted(Units(1, 1, each=FILES), files=["f"] * 10_001), Unreadable)


@pytest.mark.parametrize(("text", "expected"), [("3", 3), (" 4 ", 4), ("", 10), ("0", 10)])
def test_a_form_sends_its_numbers_as_text(text: str, expected: int) -> None:
    units = Units(10, 1, at_most=Where(Source.FORM, "max_pages"))
    values = RequestValues(needs([]), headers=[], query=b"", fields={"max_pages": text})
    assert count_units(units, values) == (expected, 1)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "³", "1e3"])
def test_a_number_in_a_form_that_is_none_is_told(text: str) -> None:
    units = Units(10, 1, at_most=Where(Source.FORM, "max_pages"))
    values = RequestValues(needs([]), headers=[], query=b"", fields={"max_pages": text})
    found = count_units(units, values)
    assert isinstance(found, Unreadable)
    assert found.loc == ("body", "max_pages")


@pytest.mark.parametrize(
    ("body", "pages", "expected"),
    [
        ({}, 4, 4),
        ({}, None, 10),
        ({"pages": "1,3,5-8"}, 6, 4),
        ({"pages": "1,3,5-8"}, None, 6),
        ({"pages": "7-9"}, 6, 1),
        ({"most": 3}, 6, 3),
        ({"most": 30}, 6, 6),
        ({"pages": "2-9", "most": 2}, 6, 2),
        ({"pages": "2-9", "most": 0}, 40, 8),
        ({}, 5_000_000, MAX_UNITS),
    ],
)
def test_counted_pages_make_the_quote_exact_and_what_is_selected_bounds_them(
    body: dict[str, Any], pages: int | None, expected: int
) -> None:
    units = Units(10, 1, pages=PAGES, at_most=MOST, count_pages=CountPages("file", 1 << 20, 1000))
    wanted = needs([PAGES, MOST])
    values = RequestValues(wanted, headers=[], query=b"", body=json.dumps(body).encode(), pages_of_file=pages)
    assert count_units(units, values) == (expected, 1 if pages is None else expected)
    assert not units.fixed


@given(SPANS, st.integers(0, 1), st.integers(1, 60))
def test_no_page_counts_that_the_document_does_not_have(spans: list[tuple[int, int]], first: int, pages: int) -> None:
    text = ",".join(f"{low + first}-{low + first + more}" for low, more in spans)
    there = {page for low, more in spans for page in range(low, low + more + 1)} & set(range(pages))
    assert selected_pages(text, first=first, pages=pages) == len(there)
