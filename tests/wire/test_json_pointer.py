import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import json_pointer
from gateway.wire.json_pointer import Misfit, find, parse

DOCUMENT = {
    "job": {"usage": {"credits": 12.5}, "empty": None},
    "pages": [{"n": 1}, {"n": 2, "words": [1, 2]}, {"words": []}],
    "a/b": {"m~n": "odd"},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [DOCUMENT]),
        ("/job/usage/credits", [12.5]),
        ("/job/missing/credits", []),
        ("/job/empty", [None]),
        ("/job/empty/deeper", []),
        ("/pages/*/n", [1, 2]),
        ("/pages/*/words/*", [1, 2]),
        ("/pages/1/n", [2]),
        ("/pages/7/n", []),
        ("/a~1b/m~0n", ["odd"]),
    ],
)
def test_a_pointer_finds_what_it_leads_to_and_nothing_else(text: str, found: list) -> None:
    assert find(DOCUMENT, parse(text)) == found


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("/job/usage/credits/more", ("job", "usage", "credits", "more")),
        ("/job/*", None),
        ("/pages/n", ("pages", "n")),
        ("/pages/-1", ("pages", "-1")),
        ("/pages/²", ("pages", "²")),
    ],
)
def test_a_document_of_another_shape_says_where(text: str, at: tuple[str, ...] | None) -> None:
    assert find(DOCUMENT, parse(text)) == ([] if at is None else Misfit(at))


def test_a_document_cannot_make_it_find_without_end() -> None:
    wide = [[0] * 100] * 100
    assert find(wide, ("*", "*"), most=10_000) == [0] * 10_000
    assert find(wide, ("*", "*"), most=9_999) == Misfit(("*", "*"))


def test_a_pointer_begins_with_a_slash() -> None:
    with pytest.raises(ValueError, match="begins with"):
        parse("job/usage")


LEAF = st.none() | st.booleans() | st.integers() | st.text()
JSON: st.SearchStrategy[object] = st.deferred(
    lambda: LEAF | st.lists(JSON, max_size=4) | st.dictionaries(st.text(), JSON, max_size=4)
)


@given(JSON, st.lists(st.sampled_from(["*", "0", "a", ""]) | st.text(), max_size=4))
def test_no_document_makes_it_raise(document: object, pointer: list[str]) -> None:
    assert isinstance(find(document, tuple(pointer)), list | Misfit)


@given(st.lists(st.text(), min_size=1))
def test_every_pointer_survives_being_written(parts: list[str]) -> None:
    text = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
    assert json_pointer.parse(text) == tuple(parts)
