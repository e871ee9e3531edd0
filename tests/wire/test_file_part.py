"""Where the file of a form stands in its body, in whatever pieces the body comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.multipart import FilePart, FormReader, form_reader
from gateway.wire.unreadable import Unreadable

KIND = b"multipart/form-data; boundary=edge"
# It holds what looks like the beginning of a boundary, and like its end.
DOCUMENT = b"%PDF-1.7\n\r\n--edg\r\n-\r\n--edg\r\n--ed\r\nthe end\r\n"
BEFORE = b'--edge\r\nContent-Disposition: form-data; name="tier"\r\n\r\nfast\r\n'
HEAD = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
AFTER = b'\r\n--edge\r\nContent-Disposition: form-data; name="more"; filename="b.pdf"\r\n\r\n%PDF-\r\n--edge--\r\n'
BODY = BEFORE + HEAD + DOCUMENT + AFTER


def shown(body: bytes, *cuts: int, most: int = 1000) -> tuple[FilePart, FormReader]:
    part = FilePart("file", most)
    reader = form_reader(KIND, ["tier"], file=part)
    assert not isinstance(reader, Unreadable)
    for start, end in zip((0, *cuts), (*cuts, len(body)), strict=True):
        reader.feed(body[start:end])
    return part, reader


@pytest.mark.parametrize("cut", range(len(BODY) + 1))
def test_it_is_found_at_its_place_in_two_pieces(cut: int) -> None:
    part, reader = shown(BODY, cut)
    assert (part.readable, part.ended, reader.fault) == (True, True, None)
    assert BODY[part.start : part.start + part.length] == DOCUMENT
    assert reader.fields == {"tier": "fast"}


@given(st.lists(st.integers(0, len(BODY)), max_size=40))
def test_it_is_found_at_its_place_in_many(cuts: list[int]) -> None:
    part, _ = shown(BODY, *sorted(cuts))
    assert BODY[part.start : part.start + part.length] == DOCUMENT


def test_its_end_is_known_before_that_of_the_form() -> None:
    part, reader = shown(BEFORE + HEAD + DOCUMENT + b"\r\n--edge\r\n")
    assert part.ended
    assert not reader.ended


@pytest.mark.parametrize(
    ("body", "most"),
    [
        (BODY, len(DOCUMENT) - 1),
        (BEFORE + HEAD + b"PK\x03\x04" + DOCUMENT, 1000),
        (BEFORE + HEAD + b"\r\n" + DOCUMENT + AFTER, 1000),
        (BEFORE + HEAD.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + DOCUMENT, 1000),
    ],
    ids=["too long", "no PDF", "not at once", "coded"],
)
def test_what_is_not_to_be_counted_is_not_waited_for(body: bytes, most: int) -> None:
    part, reader = shown(body, most=most)
    assert (part.readable, part.ended, reader.fault) == (False, True, None)


def test_two_files_of_that_name_can_be_read_in_two_ways() -> None:
    _, reader = shown(BEFORE + HEAD + DOCUMENT + b"\r\n" + HEAD + DOCUMENT + b"\r\n--edge--\r\n")
    assert reader.fault is not None
    assert reader.fault.loc == ("body", "file")


def test_a_form_without_it_says_so() -> None:
    part, reader = shown(BEFORE + b"--edge--\r\n")
    assert (part.seen, part.readable, reader.ended) == (False, False, True)
