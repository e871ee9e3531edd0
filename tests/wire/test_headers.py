"""The header cases of a first-class reverse proxy; each test names the case or the CVE it guards against."""

import pytest

from gateway.wire.headers import (
    HOP_BY_HOP,
    Headers,
    LoopDetected,
    caller_response_headers,
    forwarded_scheme,
    upstream_request_headers,
)

TRACE = b"0123456789abcdef" + b"fedcba9876543210"
IDENTITY = [
    (b"x-account-id", b"acc_1"),
    (b"x-project-id", b"prj_1"),
    (b"x-request-id", b"req_1"),
    (b"x-credits-limit", b"100"),
]
CREDENTIAL = (b"authorization", b"Bearer upstream")
OURS = [
    (b"x-forwarded-for", b"10.0.0.9"),
    (b"x-forwarded-proto", b"http"),
    (b"via", b"1.1 credit-gateway"),
    (b"traceparent", b"00-%b-fedcba9876543210-01" % TRACE),
    *IDENTITY,
    CREDENTIAL,
]


def sent(inbound: Headers, *, trusted_peer: bool = False, identity_only: bool = False) -> Headers:
    headers = upstream_request_headers(
        inbound,
        credential=CREDENTIAL,
        identity=IDENTITY,
        trace=TRACE,
        peer=b"10.0.0.9",
        trusted_peer=trusted_peer,
        accept_encoding_identity=identity_only,
    )
    assert not isinstance(headers, LoopDetected)
    return headers


def passed(inbound: Headers) -> Headers:
    """What of the caller's own lines reached the upstream."""
    headers = sent(inbound)
    assert headers[-len(OURS) :] == OURS
    return headers[: -len(OURS)]


def test_the_callers_lines_pass_in_order_and_nothing_is_added_in_their_place() -> None:
    lines = [
        (b"accept", b"*/*"),
        (b"x-custom", b"1"),
        (b"cookie", b"a=b"),
        (b"x-custom", b"2"),
        (b"content-type", b"application/json"),
    ]
    assert passed(lines) == lines
    assert passed([]) == []  # no Accept, Accept-Encoding or User-Agent of our own


def test_the_callers_list_is_left_as_it_was() -> None:
    inbound = [(b"connection", b"x-a"), (b"x-a", b"1"), (b"host", b"h"), (b"content-length", b"010")]
    before = list(inbound)
    sent(inbound)
    assert inbound == before


@pytest.mark.parametrize("name", [*sorted(HOP_BY_HOP), b"host", b"expect", b"proxy"])
def test_what_is_between_two_hops_stays_there(name: bytes) -> None:
    for spelling in (name, name.title(), name.upper()):
        assert passed([(spelling, b"x"), (b"x-a", b"1")]) == [(b"x-a", b"1")]


@pytest.mark.parametrize(
    "lines",
    [
        [(b"connection", b"X-A, close")],
        [(b"connection", b"close"), (b"Connection", b"\tx-a ")],
        [(b"connection", b",, x-b ,X-a,")],
        [(b"connection", b""), (b"connection", b"x-A")],
    ],
)
def test_what_connection_lists_is_removed_in_any_spelling(lines: Headers) -> None:
    assert passed([(b"x-a", b"1"), *lines, (b"X-A", b"2"), (b"x-c", b"3")]) == [(b"x-c", b"3")]


def test_connection_cannot_remove_what_we_add_or_the_framing() -> None:
    # As CVE-2024-45410 did to Traefik and CVE-2025-48865 to Fabio.
    listed = b", ".join(name for name, _ in OURS) + b", content-length"
    assert passed([(b"connection", listed), (b"content-length", b"5")]) == [(b"content-length", b"5")]


@pytest.mark.parametrize(
    "name",
    [
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-account-id",
        b"x-project-id",
        b"x-request-id",
        b"x-credits-limit",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-uri",
        b"x-real-ip",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method-override",
        b"idempotency-key",
    ],
)
def test_a_caller_can_spoof_none_of_ours_not_even_with_underscores(name: bytes) -> None:
    # CVE-2025-64484 (oauth2-proxy), GHSA-5m6w-wvh7-57vm and GHSA-6384-m2mw-rf54 (Traefik)
    for spelling in (name, name.title(), name.replace(b"-", b"_"), name.title().replace(b"-", b"_")):
        assert passed([(spelling, b"spoofed")]) == []
    assert passed([(b"x_custom", b"1")]) == [(b"x_custom", b"1")]


def test_the_credential_is_injected_once_and_the_callers_key_is_nowhere() -> None:
    headers = sent([(b"Authorization", b"Bearer cgw_live_secret"), (b"authorization", b"Basic eA==")])
    assert [value for name, value in headers if name == b"authorization"] == [b"Bearer upstream"]
    without = upstream_request_headers([(b"authorization", b"x")], credential=None, identity=[], trace=TRACE)
    assert without == [(b"via", b"1.1 credit-gateway"), (b"traceparent", b"00-%b-fedcba9876543210-01" % TRACE)]


def test_only_a_trusted_proxys_forwarded_addresses_are_continued() -> None:
    inbound = [(b"x-forwarded-for", b"1.1.1.1, 2.2.2.2 "), (b"x-forwarded-for", b"3.3.3.3")]
    assert (b"x-forwarded-for", b"10.0.0.9") in sent(inbound)
    assert (b"x-forwarded-for", b"1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9") in sent(inbound, trusted_peer=True)


def test_earlier_via_entries_stay_in_front_of_ours() -> None:
    headers = sent([(b"via", b"1.0 fred, 1.1 p.example.net (Apache/1.1)")])
    assert [value for name, value in headers if name == b"via"] == [
        b"1.0 fred, 1.1 p.example.net (Apache/1.1)",
        b"1.1 credit-gateway",
    ]


@pytest.mark.parametrize("via", [b"1.1 credit-gateway", b"1.0 fred,HTTP/1.1 Credit-Gateway (x), 1.1 x"])
def test_a_request_that_comes_back_is_stopped_even_if_it_hides_its_via(via: bytes) -> None:
    inbound = [(b"connection", b"via"), (b"via", via)]
    answer = upstream_request_headers(inbound, credential=None, identity=[], trace=TRACE)
    assert answer == LoopDetected()


def test_another_gateway_in_front_is_no_loop() -> None:
    inbound = [(b"via", b"1.1 credit-gateway")]
    answer = upstream_request_headers(inbound, credential=None, identity=[], trace=TRACE, via=b"credit-gateway-b")
    assert not isinstance(answer, LoopDetected)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [([b"010"], [b"10"]), ([b"0"], [b"0"]), ([b"5", b"5"], [b"5"]), ([b"+5"], []), ([b"1" * 19], []), ([b"\xb2"], [])],
)
def test_a_length_reaches_the_upstream_as_the_one_number_it_is(lengths: list[bytes], expected: list[bytes]) -> None:
    headers = passed([(b"Content-Length", value) for value in lengths])
    assert headers == [(b"content-length", value) for value in expected]


@pytest.mark.parametrize(
    ("parent", "continued"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", True),
        (b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what", True),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what", False),
        (b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", False),
        (b"00-00000000000000000000000000000000-00f067aa0ba902b7-00", False),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00", False),
        (b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-00", False),
        (b"", False),
    ],
)
def test_a_valid_trace_goes_on_and_any_other_begins_anew(parent: bytes, continued: bool) -> None:
    headers = sent([(b"traceparent", parent), (b"tracestate", b"k=v")])
    expected = b"00-4bf92f3577b34da6a3ce929d0e0e4736-fedcba9876543210-00"
    own = b"00-%b-fedcba9876543210-01" % TRACE
    assert [value for name, value in headers if name == b"traceparent"] == [expected if continued else own]
    assert ((b"tracestate", b"k=v") in headers) == continued


def test_two_traces_are_none() -> None:
    one = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
    headers = sent([one, one])
    assert [value for name, value in headers if name == b"traceparent"] == [b"00-%b-fedcba9876543210-01" % TRACE]


def test_a_metered_answer_is_asked_for_in_plain() -> None:
    inbound = [(b"Accept-Encoding", b"br"), (b"accept-encoding", b"gzip")]
    headers = sent(inbound, identity_only=True)
    assert [value for name, value in headers if name == b"accept-encoding"] == [b"identity"]
    assert passed(inbound) == [(b"accept-encoding", b"br"), (b"accept-encoding", b"gzip")]


def answered(upstream: Headers, status: int = 200) -> Headers:
    own = [(b"x-request-id", b"req_1"), (b"ratelimit", b'"requests";r=1;t=1')]
    headers = caller_response_headers(upstream, own, status=status)
    assert headers[-2:] == own
    return headers[:-2]


def test_the_upstreams_lines_pass_in_order_with_cookies_apart() -> None:
    lines = [(b"set-cookie", b"a=1"), (b"etag", b'"x"'), (b"set-cookie", b"b=2"), (b"content-length", b"3")]
    lines += [(b"content-encoding", b"br"), (b"date", b"now"), (b"retry-after", b"9"), (b"location", b"/x")]
    assert answered(lines) == lines


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_lines_of_an_answer_stay_behind(name: bytes) -> None:
    assert answered([(name.title(), b"x"), (b"x-a", b"1")]) == [(b"x-a", b"1")]


def test_what_an_answers_connection_lists_is_removed() -> None:
    lines = [(b"connection", b"close, X-Hop"), (b"x-hop", b"1"), (b"x-a", b"2")]
    assert answered(lines) == [(b"x-a", b"2")]


@pytest.mark.parametrize(
    "name",
    [
        b"X-Request-Id",
        b"x-credits-remaining",
        b"x-credits-charged",
        b"x-credits-held",
        b"RateLimit",
        b"ratelimit-policy",
        b"ratelimit-limit",
        b"x-ratelimit-remaining",
    ],
)
def test_an_upstream_cannot_speak_for_the_gateway(name: bytes) -> None:
    assert answered([(name, b"theirs")]) == []


def test_only_one_framing_of_an_answer_survives() -> None:
    assert answered([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")]) == []
    assert answered([(b"content-length", b"0")], status=204) == []
    assert answered([(b"content-length", b"5")], status=304) == [(b"content-length", b"5")]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], b"http"),
        ([b"https"], b"https"),
        ([b" HTTPS "], b"https"),
        ([b"gopher"], b"http"),
        ([b"https"] * 2, b"http"),
    ],
)
def test_a_trusted_peer_tells_the_scheme_its_caller_used(said: list[bytes], expected: bytes) -> None:
    assert forwarded_scheme([(b"X-Forwarded-Proto", value) for value in said], b"http") == expected
