"""Answers that are metered while they pass: the same units wherever they are cut, and the same bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.route import StreamUnits
from gateway.wire.stream_meter import ByteMeter, EventMeter, StreamMeter, stream_meter

SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
PAGES = StreamUnits(pointer=("usage", "pages"))


def event(pages: object, end: str = "\n") -> str:
    return f"event: page{end}data: {json.dumps({'usage': {'pages': pages}})}{end}{end}"


STREAM = (
    ": hello\n\n"
    + event(2)
    + event(3, "\r\n")
    + event(1, "\r")
    + 'data: {"usage":\ndata: {"pages": 4}}\nid: 7\n\n'
    + 'data: {"usage": {}}\n\ndata: {"usage": null}\n\ndata: [1]\n\nretry: 10\n\ndata: [DONE]\n\n'
    + event(0)
).encode()


def passed(meter: StreamMeter, body: bytes, cuts: list[int]) -> tuple[bytes, int]:
    pieces = []
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        pieces += meter.feed(body[start:end])
    pieces.append(meter.finish())
    return b"".join(piece.data for piece in pieces), sum(piece.units for piece in pieces)


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_units_are_found_in_two_pieces_as_in_one(cut: int) -> None:
    assert passed(EventMeter(PAGES), STREAM, [cut]) == (STREAM, 10)
    assert passed(EventMeter(StreamUnits(events=True)), STREAM, [cut]) == (STREAM, 9)


@given(st.lists(st.integers(0, len(STREAM)), max_size=60))
def test_units_are_found_in_many_pieces(cuts: list[int]) -> None:
    assert passed(EventMeter(PAGES), STREAM, sorted(cuts)) == (STREAM, 10)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_no_bytes_are_lost_or_make_it_raise(body: bytes, cuts: list[int]) -> None:
    cuts = sorted(min(cut, len(body)) for cut in cuts)
    meter = EventMeter(StreamUnits(events=True), max_event_bytes=20)
    assert passed(meter, body, cuts)[0] == body
    assert passed(ByteMeter(7), body, cuts) == (body, -(-len(body) // 7))


def test_an_event_is_passed_on_as_soon_as_it_is_whole_and_not_before() -> None:
    meter = EventMeter(PAGES)
    one = event(5).encode()
    assert meter.feed(one[:-1]) == []
    assert meter.feed(one[-1:] + b"data: ") == [(one, 5)]


def test_a_running_total_is_charged_once_and_never_given_back() -> None:
    meter = EventMeter(StreamUnits(pointer=("usage", "pages"), running_total=True))
    found = [piece.units for total in (2, 2, 5, 4, 6) for piece in meter.feed(event(total).encode())]
    assert found == [2, 0, 3, 0, 1]


@pytest.mark.parametrize("number", [-1, 2**60, 1.5, "3", True, [], {}])
def test_what_is_no_number_of_units_is_told_as_not_read(number: object) -> None:
    meter = EventMeter(PAGES)
    assert passed(meter, event(number).encode(), [])[1] == 0
    assert meter.unread == 1


def test_a_number_beyond_reason_is_bounded() -> None:
    assert passed(EventMeter(PAGES), event(10**9).encode(), [])[1] == 1_000_000


def test_what_is_too_long_for_an_event_is_not_kept() -> None:
    meter = EventMeter(StreamUnits(events=True), max_event_bytes=1000)
    kept = 0
    for _ in range(100):
        kept += 500 - sum(len(piece.data) for piece in meter.feed(b"x" * 500))
        assert kept <= 1500
    assert sum(piece.units for piece in meter.feed(b"\n\ndata: 1\n\n")) == 2
    assert meter.unread == 1


def test_an_event_that_never_ends_is_none() -> None:
    assert passed(EventMeter(PAGES), event(5).encode()[:-1], []) == (event(5).encode()[:-1], 0)


def test_only_what_can_be_counted_is_metered() -> None:
    assert isinstance(stream_meter(PAGES, SSE), EventMeter)
    assert stream_meter(PAGES, [(b"Content-Type", b"application/json")]) is None
    assert stream_meter(PAGES, [*SSE, (b"Content-Encoding", b"gzip")]) is None
    assert isinstance(stream_meter(PAGES, [*SSE, (b"Content-Encoding", b"identity")]), EventMeter)
    assert isinstance(stream_meter(StreamUnits(bytes_each=1000), []), ByteMeter)
