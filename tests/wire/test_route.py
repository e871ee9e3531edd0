import re
from urllib.parse import unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.wire.route import (
    OverlappingRoutes,
    Route,
    RouteTable,
    bad_path,
    bad_pattern,
    pattern_parameters,
)


def route(pattern: str, method: str = "GET") -> Route:
    return Route(name=f"{method} {pattern}", method=method, pattern=pattern, upstream="u")


def table(*patterns: str) -> RouteTable:
    return RouteTable(tuple(route(pattern) for pattern in patterns))


def found(routes: RouteTable, path: str, method: str = "GET") -> tuple[str, dict[str, str]] | None:
    match = routes.match(method, path)
    return None if match is None else (match.route.pattern, dict(match.parameters))


def test_a_parameter_takes_one_segment_and_never_an_empty_one() -> None:
    routes = table("/jobs/{job_id}", "/jobs/{job_id}/cancel")
    assert found(routes, "/jobs/a%20b") == ("/jobs/{job_id}", {"job_id": "a%20b"})
    assert found(routes, "/jobs/a/cancel") == ("/jobs/{job_id}/cancel", {"job_id": "a"})
    for path in ("/jobs", "/jobs/", "/jobs/a/", "/jobs/a/b", "/jobs//cancel", "/job/a", "/Jobs/a", "/jobs/a/cancel/"):
        assert found(routes, path) is None, path


def test_literals_beat_a_parameter_and_give_way_where_they_lead_nowhere() -> None:
    routes = table("/a/{x}/c", "/a/b", "/a/{x}", "/a/b/d")
    assert found(routes, "/a/b") == ("/a/b", {})
    assert found(routes, "/a/b/d") == ("/a/b/d", {})
    assert found(routes, "/a/b/c") == ("/a/{x}/c", {"x": "b"})
    assert found(routes, "/a/z") == ("/a/{x}", {"x": "z"})


def test_a_tail_takes_the_rest_and_comes_last() -> None:
    routes = table("/files/{rest...}", "/files/{id}/content", "/files/list")
    assert found(routes, "/files/a/b/c") == ("/files/{rest...}", {"rest": "a/b/c"})
    assert found(routes, "/files/a") == ("/files/{rest...}", {"rest": "a"})
    assert found(routes, "/files/a/content") == ("/files/{id}/content", {"id": "a"})
    assert found(routes, "/files/list") == ("/files/list", {})
    assert found(routes, "/files") is None
    assert found(routes, "/files/") is None


def test_the_method_is_part_of_the_route() -> None:
    routes = RouteTable((route("/a/{x}", "GET"), route("/a/{y}", "POST")))
    assert found(routes, "/a/1", "POST") == ("/a/{y}", {"y": "1"})
    assert found(routes, "/a/1", "DELETE") is None
    assert found(routes, "/a/1", "get") is None


@pytest.mark.parametrize(
    ("first", "second"),
    [("/a/b", "/a/b"), ("/a/{x}", "/a/{y}"), ("/{x}/b", "/{y}/b"), ("/a/{x...}", "/a/{y...}")],
)
def test_two_routes_that_match_the_same_calls_are_refused(first: str, second: str) -> None:
    with pytest.raises(OverlappingRoutes) as caught:
        table(first, second)
    assert (caught.value.first.pattern, caught.value.second.pattern) == (first, second)


@pytest.mark.parametrize(
    "path",
    [
        "/pub/../adm",
        "/pub/..",
        "/./pub",
        "/pub/.",
        "/pub/%2e%2e/adm",
        "/pub/%2E./adm",
        "/pub/.%2e/adm",
        "/pub/%252e%252e/adm",
        "/pub/%25252e%25252e/adm",
        "/pub/..;/adm",
        "/pub;a=b/adm",
        "//pub",
        "/pub//adm",
        "/pub/%2fadm",
        "/pub%2Fadm",
        "/pub%252fadm",
        "/pub\\..\\adm",
        "/pub%5cadm",
        "/pub%255Cadm",
        "/pub%00",
        "/pub%0d%0aX:1",
        "/pub%0A",
        "/pub%7f",
        "/pub/%zz",
        "/pub/%",
        "/pub/%2",
        "/pub/%c0%ae%c0%ae/adm",
        "/pub/%C0%AFadm",
        "/pub/%f8%80",
        "/pub/\u00e9",
        "/pub/\uff0fadm",
        "/pub adm",
        "/pub\tadm",
        "/pub\x00",
        "/pub#adm",
        "/%61dm",
        "/ad%4D",
        "/pub%2dadm",
        "pub",
        "",
        "*",
        "http://other/pub",
    ],
)
def test_a_path_that_two_parsers_could_read_differently_is_refused(path: str) -> None:
    assert bad_path(path.encode()) is not None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v2/parse/pjb-12.34_5~6",
        "/api/v1/beta/agent-data/:search",
        "/files/a%20b%C3%A9.pdf",
        "/files/%E2%82%AC",
        "/files/%F0%9F%98%80",
        "/files/100%25",
        "/files/a...b",
        "/files/...",
        "/files/.hidden",
        "/files/a+b@c,d=e&f!g$h'(i)*",
        "/files/%3Fq%26",
    ],
)
def test_an_ordinary_path_passes(path: str) -> None:
    assert bad_path(path.encode()) is None


@pytest.mark.parametrize(
    "path",
    [
        "/pub.",
        "/pub%20",
        "/Pub",
        "/pub/",
        "/pub%3A",
        "/pub%EF%BC%8E",
    ],
)
def test_a_near_miss_of_a_literal_is_no_route(path: str) -> None:
    assert bad_path(path.encode()) is None
    assert found(table("/pub", "/pub/{x}/y"), path) is None


def test_an_escaped_literal_is_not_taken_for_a_parameter() -> None:
    # The upstream decodes it and would serve the metered neighbour.
    routes = table("/data/:search", "/data/{item}")
    assert found(routes, "/data/:search") == ("/data/:search", {})
    assert found(routes, "/data/%3Asearch") is None
    assert found(routes, "/data/%3Aother") == ("/data/{item}", {"item": "%3Aother"})


@pytest.mark.parametrize(
    "pattern",
    [
        "a",
        "",
        "/a//b",
        "/a/",
        "/{x}/{x}",
        "/{x...}/a",
        "/a{x}",
        "/{x}y",
        "/{X}",
        "/{}",
        "/a/{x",
        "/../a",
        "/a b",
        "/%2e",
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str) -> None:
    assert bad_pattern(pattern) is not None


def test_a_good_pattern_and_its_parameters() -> None:
    assert bad_pattern("/a/{x}/:b/{y_2}/{rest...}") is None
    assert pattern_parameters("/a/{x}/:b/{y_2}/{rest...}") == ("x", "y_2", "rest")


segments = st.sampled_from(["a", "b", "c", "%41", "a%20b", ":s", "%3As"])
pattern_segments = st.sampled_from(["a", "b", ":s", "{}"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = draw(st.lists(pattern_segments, min_size=1, max_size=4))
    named = [f"{{p{at}}}" if part == "{}" else part for at, part in enumerate(parts)]
    tail = ["{rest...}"] if draw(st.booleans()) else []
    return "/" + "/".join(named + tail)


def naively(routes: tuple[Route, ...], path: str) -> str | None:
    """The first of all matching patterns, by segment from the left: literal, parameter, tail."""

    def kinds(pattern: str) -> list[int]:
        return [2 if part.endswith("...}") else 1 if part.startswith("{") else 0 for part in pattern[1:].split("/")]

    def fits(pattern: str) -> bool:
        text = re.sub(r"\{[a-z0-9]+\\\.\\\.\\\.\}", "(.+)", re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}"))
        return re.fullmatch(re.sub(r"\{[a-z0-9]+\}", "([^/]+)", text), path) is not None

    fitting = [one.pattern for one in routes if fits(one.pattern)]
    return min(fitting, key=kinds, default=None)


@given(st.lists(patterns(), min_size=1, max_size=8), st.lists(segments, min_size=1, max_size=6))
def test_matching_agrees_with_trying_every_pattern(some: list[str], parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    distinct = {re.sub(r"\{p\d\}", "{}", pattern): pattern for pattern in some}
    routes = tuple(route(pattern) for pattern in distinct.values())
    # Escaped literals are the one difference; they have their own test.
    literals = {part for pattern in distinct for part in pattern[1:].split("/")}
    assume(not any("%" in part and unquote(part) in literals for part in parts))
    match = RouteTable(routes).match("GET", path)
    assert (None if match is None else match.route.pattern) == naively(routes, path)
    if match is not None:
        filled = match.route.pattern
        for name, value in match.parameters.items():
            filled = filled.replace(f"{{{name}}}", value).replace(f"{{{name}...}}", value)
        assert filled == path


tricky = st.sampled_from(
    ["a", ".", "/", "%", "%2", "%25", "2", "5", "c", "e", "f", "%20", "%C3%A9", "%c0", "\\", ";", "%3"]
)


@given(st.lists(tricky, max_size=12).map("".join))
def test_a_path_that_passes_names_the_same_segments_however_often_it_is_decoded(rest: str) -> None:
    path = "/" + rest
    if bad_path(path.encode()) is not None:
        return
    decoded = path
    for _ in range(4):
        decoded = unquote(decoded)
        assert decoded.count("/") == path.count("/")
        assert not {".", ".."} & set(decoded.split("/"))
        assert not any(ord(letter) < 0x20 or letter in "\x7f\\" for letter in decoded)
