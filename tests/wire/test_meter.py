import gzip
import tracemalloc
import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.headers import Headers
from gateway.wire.meter import Meter, NotRead, decoded

BODY = b'{"id": "pjb-1", "status": "PENDING", "usage": {"credits": null}}'
RAW_DEFLATE = zlib.compressobj(wbits=-15)
CODED = {
    b"identity": BODY,
    b"gzip": gzip.compress(BODY),
    b"X-Gzip": gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]),
    b"deflate": zlib.compress(BODY),
    b" deflate ": RAW_DEFLATE.compress(BODY) + RAW_DEFLATE.flush(),
}


def metered(*chunks: bytes, coding: bytes | None = None, keep_bytes: int = 1000, cut: bool = False) -> Meter:
    meter = Meter(keep_bytes=keep_bytes)
    headers: Headers = [(b"content-type", b"application/json")]
    if coding is not None:
        headers.append((b"Content-Encoding", coding))
    meter.on_start(200, headers)
    for chunk in chunks:
        meter.on_body(chunk)
    if not cut:
        meter.finish()
    return meter


@pytest.mark.parametrize("coding", CODED)
def test_the_same_answer_is_read_wherever_it_is_cut(coding: bytes) -> None:
    body = CODED[coding]
    for cut in range(len(body) + 1):
        meter = metered(body[:cut], body[cut:], coding=coding)
        assert meter.json() == orjson.loads(BODY)
        assert meter.bytes_seen == len(body)


@pytest.mark.parametrize(
    ("meter", "reason"),
    [
        (metered(BODY, cut=True), "the answer was cut"),
        (metered(b"x" * 1001), "the answer is too long to read"),
        (metered(gzip.compress(b" " * 1001), coding=b"gzip"), "the answer is too long to read"),
        (metered(BODY, coding=b"br"), "the answer's content coding is not readable"),
        (metered(BODY, coding=b"gzip, gzip"), "the answer's content coding is not readable"),
        (metered(BODY, coding=b"gzip"), "the answer's content coding is broken"),
        (metered(BODY, coding=b"deflate"), "the answer's content coding is broken"),
        (metered(gzip.compress(BODY)[:-1], coding=b"gzip"), "the answer's content coding is cut"),
        (metered(b"data: {}\n\n"), "the answer is not JSON"),
        (metered(), "the answer is not JSON"),
        (metered(b"null"), "the answer is null"),
    ],
)
def test_what_cannot_be_read_says_why(meter: Meter, reason: str) -> None:
    assert meter.json() == NotRead(reason)


def test_the_longest_answer_that_is_kept_is_read() -> None:
    assert metered(b'"%b"' % (b"x" * 998)).json() == "x" * 998
    assert metered(gzip.compress(b'"%b"' % (b"x" * 998)), coding=b"gzip").json() == "x" * 998


def test_a_long_stream_leaves_nothing_in_memory() -> None:
    meter = Meter()
    meter.on_start(200, [])
    chunk = b"x" * 65_536
    for _ in range(1600):
        meter.on_body(chunk)
    meter.finish()
    assert meter.bytes_seen == 1600 * 65_536
    assert meter._kept is None


def test_a_bomb_costs_no_more_than_what_is_kept() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        assert decoded(bomb, [b"gzip"], most=262_144) == NotRead("the answer is too long to read")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("status", "succeeded"), [(199, False), (200, True), (202, True), (299, True), (302, False)])
def test_only_a_2xx_is_a_success(status: int, succeeded: bool) -> None:
    meter = Meter()
    meter.on_start(status, [])
    assert meter.succeeded is succeeded


@given(st.binary(max_size=300), st.sampled_from([b"gzip", b"deflate", b"identity", b"x"]))
def test_no_answer_makes_it_raise(body: bytes, coding: bytes) -> None:
    metered(body, coding=coding).json()
