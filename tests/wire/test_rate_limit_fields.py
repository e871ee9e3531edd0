from typing import Any

import http_sf
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.admission import LimitState
from gateway.wire.rate_limit_fields import rate_limit_headers, retry_after_s

NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
LIMITS = st.lists(
    st.builds(
        LimitState,
        name=NAMES,
        calls=st.integers(0, 10**6),
        window_ms=st.integers(1, 10**9),
        remaining=st.integers(-5, 10**6),
        opens_in_ms=st.integers(0, 10**9),
    ),
    min_size=1,
    max_size=4,
)


def parsed_list(value: bytes) -> Any:
    return http_sf.parse(value, tltype="list")


def test_the_fields_read_as_the_draft_writes_them() -> None:
    limits = (LimitState("requests", 20, 60_000, 5, 11_900), LimitState("reads", 600, 60_000, 599, 0))
    assert rate_limit_headers(limits) == [
        (b"ratelimit-policy", b'"requests";q=20;w=60, "reads";q=600;w=60'),
        (b"ratelimit", b'"requests";r=5;t=12, "reads";r=599;t=0'),
    ]


def test_no_limit_looked_at_is_no_field() -> None:
    assert rate_limit_headers(()) == []


@given(LIMITS)
def test_a_structured_fields_parser_reads_them_back(limits: list[LimitState]) -> None:
    policy, left = (parsed_list(value) for _, value in rate_limit_headers(limits))
    for limit, (name, quota), (same_name, rest) in zip(limits, policy, left, strict=True):
        assert name == same_name == limit.name
        assert quota == {"q": limit.calls, "w": -(-limit.window_ms // 1000)}
        assert rest == {"r": max(0, limit.remaining), "t": -(-limit.opens_in_ms // 1000)}


def test_a_name_beyond_ascii_cannot_break_the_field() -> None:
    ((_, policy), _) = rate_limit_headers((LimitState('ü"\\\r\n', 1, 1, 1, 1),))
    assert b"\r" not in policy


@given(st.one_of(st.none(), st.integers(-5, 10**7)))
def test_who_waits_as_told_never_comes_too_early(ms: int | None) -> None:
    assert retry_after_s(ms) >= 1
    assert 0 <= retry_after_s(ms) * 1000 - max(ms or 0, 1) < 1000
