from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.headers import Headers
from gateway.wire.route import AddOn, Condition, ExtraPart, Metered, Source, Units, Where
from gateway.wire.unreadable import Unreadable
from gateway.wire.values import Needs, RequestValues, may_name_owners, needs, query_owners, read_json, wheres

TIER = Where(Source.JSON, pointer=("configuration", "tier"))
EACH = Where(Source.JSON, pointer=("items", "*", "mode"))
IN_FIELD = Where(Source.FORM_JSON, "configuration", ("tier",))
FIELD = Where(Source.FORM, "tier")
HEADER = Where(Source.HEADER, "X-Mode")
QUERY = Where(Source.QUERY, "mode")
FIXED = Where(Source.FIXED, value="standard")


def text(
    where: Where,
    body: bytes | None = None,
    fields: Mapping[str, str] | None = None,
    headers: Headers | None = None,
    query: bytes = b"",
) -> str | Unreadable | None:
    return RequestValues(needs([where]), headers=headers or [], query=query, body=body, fields=fields).text(where)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"configuration": {"tier": "agentic"}}', "agentic"),
        (b'{"configuration": {"tier": "\\u0061gentic"}}', "agentic"),
        (b'{"configuration": {"tier": ""}}', ""),
        (b'{"configuration": {"tier": null}}', None),
        (b'{"configuration": {}}', None),
        (b'{"configuration": null}', None),
        (b"{}", None),
        (b'{"note": "tier", "other": {"tier": 1}, "configuration": {"tier": "fast"}}', "fast"),
    ],
)
def test_a_mode_is_read_from_json_where_it_was_sent(body: bytes, expected: str | None) -> None:
    assert text(TIER, body) == expected


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b"", ("body",)),
        (b"{", ("body",)),
        (b"[]", ("body",)),
        (b'"agentic"', ("body",)),
        (b'\xef\xbb\xbf{"configuration": {"tier": "fast"}}', ("body",)),
        ('{"configuration": {"tier": "fast"}}'.encode("utf-16"), ("body",)),
        (b'{"configuration": {"tier": "\xff"}}', ("body",)),
        (b'{"configuration": {"tier": "fast", "n": NaN}}', ("body",)),
        (b'{"configuration": "fast"}', ("body", "configuration", "tier")),
        (b'{"configuration": ["fast"]}', ("body", "configuration", "tier")),
        (b'{"configuration": {"tier": 1}}', ("body", "configuration", "tier")),
        (b'{"configuration": {"tier": true}}', ("body", "configuration", "tier")),
        (b'{"configuration": {"tier": ["fast"]}}', ("body", "configuration", "tier")),
        (b'{"configuration": {"tier": "fast", "tier": "agentic"}}', ("body",)),
        (b'{"configuration": {"tier": "fast", "t\\u0069er": "agentic"}}', ("body",)),
        (b'{"configuration": {"tier": "fast"}, "configuration": {}}', ("body",)),
        (b'{"project_id": "a", "project_id": "b", "configuration": {"tier": "fast"}}', ("body",)),
        (b"[" * 100_000 + b"]" * 100_000, ("body",)),
        (b'{"configuration": {"tier": "\\u0061"}, "x": ' + b"[" * 1020 + b"]" * 1020 + b"}", ("body",)),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_not_read(body: bytes, loc: tuple[str, ...]) -> None:
    read = text(TIER, body)
    assert isinstance(read, Unreadable)
    assert read.loc == loc


def test_a_mode_that_stands_in_many_places_must_be_one() -> None:
    assert text(EACH, b'{"items": [{"mode": "a"}, {"mode": null}, {}, {"mode": "a"}]}') == "a"
    assert text(EACH, b'{"items": []}') is None
    assert isinstance(text(EACH, b'{"items": [{"mode": "a"}, {"mode": "b"}]}'), Unreadable)
    assert isinstance(text(EACH, b'{"items": [{"mode": "a"}, {"mode": 1}]}'), Unreadable)


def test_a_json_document_in_a_form_field_is_read_as_one() -> None:
    assert text(IN_FIELD, fields={"configuration": '{"tier": "agentic"}'}) == "agentic"
    assert text(IN_FIELD, fields={}) is None
    doubled = text(IN_FIELD, fields={"configuration": '{"tier": "a", "tier": "b"}'})
    assert doubled == Unreadable(("body", "configuration"), "has 'tier' twice")
    assert isinstance(text(IN_FIELD, fields={"configuration": "agentic"}), Unreadable)


def test_a_form_field_is_its_own_value() -> None:
    assert text(FIELD, fields={"tier": "fast"}) == "fast"
    assert text(FIELD, fields={}) is None


def test_no_spelling_hides_a_name_that_comes_twice() -> None:
    odd = Where(Source.JSON, pointer=('a/b"\n',))
    for second in (r'"a/b\"\n"', r'"a\/b\"\n"', r'"\u0061/b\u0022\u000a"'):
        body = rb'{"a/b\"\n": "x", %b: "y"}' % second.encode()
        assert text(odd, body) == Unreadable(("body",), "has 'a/b\"\\n' twice")


def test_a_header_counts_once() -> None:
    assert text(HEADER, headers=[(b"x-mode", b" fast ")]) == "fast"
    assert text(HEADER, headers=[]) is None
    assert isinstance(text(HEADER, headers=[(b"x-mode", b"fast"), (b"X-Mode", b"fast")]), Unreadable)


@pytest.mark.parametrize(
    ("query", "expected"), [(b"mode=fast", "fast"), (b"a=1", None), (b"mode=a%20b+c", "a b c"), (b"mode=", "")]
)
def test_a_query_value_is_decoded_once(query: bytes, expected: str | None) -> None:
    assert text(QUERY, query=query) == expected


@pytest.mark.parametrize("query", [b"mode=a&mode=a", b"mode=a&%6dode=b", b"mode=%zz", b"mode=a;mode=b", b"x;mode=b"])
def test_a_query_that_hides_a_second_value_is_not_read(query: bytes) -> None:
    assert isinstance(text(QUERY, query=query), Unreadable)


def test_a_route_may_say_the_mode_itself() -> None:
    assert text(FIXED, b"not json") == "standard"


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b'{"file_input": "pjb-1"}', True), (b'{"file_input": "fil-1"}', False), (b"{}", False)],
)
def test_a_condition_looks_at_the_beginning(body: bytes, expected: bool) -> None:
    condition = Condition(Where(Source.JSON, pointer=("file_input",)), "pjb-")
    assert RequestValues(needs([condition.where]), headers=[], query=b"", body=body).holds(condition) is expected


def test_a_condition_that_cannot_be_read_is_not_false() -> None:
    condition = Condition(Where(Source.JSON, pointer=("file_input",)), "pjb-")
    values = RequestValues(needs([condition.where]), headers=[], query=b"", body=b'{"file_input": {"id": "pjb-1"}}')
    assert isinstance(values.holds(condition), Unreadable)


def test_a_route_needs_what_any_of_its_places_needs() -> None:
    saved = Where(Source.FORM, "configuration_id")
    metered = Metered(
        "parse",
        IN_FIELD,
        Units(10, 1),
        extra_parts=(ExtraPart("extract", FIELD, unless=Condition(QUERY, "x"), saved=HEADER),),
        add_ons=(AddOn("layout", Condition(TIER, "y")),),
        saved=saved,
    )
    places = wheres(metered)
    assert set(places) == {IN_FIELD, FIELD, QUERY, HEADER, TIER, saved}
    wanted = needs(places)
    assert wanted == Needs(
        True,
        frozenset({"configuration", "tier", "configuration_id"}),
        frozenset({"tier", "configuration", "project_id", "organization_id"}),
    )
    assert wanted.body
    assert not needs([FIXED, HEADER, QUERY]).body


def owners(query: bytes = b"", body: bytes | None = None, fields: Mapping[str, str] | None = None) -> object:
    return RequestValues(needs([]), headers=[], query=query, body=body, fields=fields).owners()


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        (b"", None, ((), ())),
        (b"project_id=p1&project_id=p2&organization_id=o1", None, (("p1", "p2"), ("o1",))),
        (b"%70roject_id=p1", b'{"project_id": "p2", "organization_id": null}', (("p1", "p2"), ())),
        (b"project%5Fid=p1", None, (("p1",), ())),
        (b"", b'[{"project_id": "p1"}, {"organization_id": "o1"}, 5]', (("p1",), ("o1",))),
        (b"", b'{"metadata": {"project_id": "p9"}}', ((), ())),
        (b"my_id=1", b'"text"', ((), ())),
    ],
)
def test_every_owner_that_is_named_is_seen(query: bytes, body: bytes | None, expected: tuple) -> None:
    assert owners(query, body) == expected


def test_an_owner_in_a_form_is_seen() -> None:
    assert owners(b"project_id=p1", fields={"project_id": "p2", "organization_id": "o1"}) == (("p1", "p2"), ("o1",))


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (b"a=1;project_id=p2", None),
        (b"project_id=p1;p2", None),
        (b"project_id=%ff", None),
        (b"", b'{"project_id": "own", "project_id": "foreign"}'),
        (b"", b'{"project_id": ["foreign"]}'),
        (b"", b'{"project_id": "foreign", "x": NaN}'),
        (b"", b'{"project_id": "own", "\\u0070roject_id": "foreign"}'),
    ],
)
def test_an_owner_cannot_be_hidden(query: bytes, body: bytes | None) -> None:
    assert isinstance(owners(query, body), Unreadable)


@pytest.mark.parametrize(
    "body",
    [
        b'{"project_id": "p"}',
        b'[{"organization_id": "o"}]',
        b'{"\\u0070roject_id": "p"}',
        b'{"proj\\x65ct_id": "p"}',
        b' {"project_id": "p"}',
        '{"project_id": "p"}'.encode("utf-16"),
        '{"project_id": "p"}'.encode("utf-16-le"),
        '{"project_id": "p"}'.encode("utf-32-be"),
        '{"project_id": "p"}'.encode("cp037"),
        b'\xef\xbb\xbf{"project_id": "p"}',
    ],
)
def test_a_body_that_could_name_an_owner_to_any_reader_is_read(body: bytes) -> None:
    assert may_name_owners(body)


def test_a_body_that_names_nobody_to_any_reader_need_not_be_read() -> None:
    assert not may_name_owners(b'{"query": "a", "file_id": "f"}')


def test_queries_without_owners_take_the_short_way() -> None:
    assert query_owners(b"expand=usage&limit=5") == ((), ())


LEAF = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
JSON: st.SearchStrategy[object] = st.deferred(
    lambda: LEAF | st.lists(JSON, max_size=3) | st.dictionaries(st.sampled_from(["tier", "a", "ü"]), JSON, max_size=3)
)


@given(JSON, st.booleans())
def test_a_document_without_repeats_is_always_read_as_it_is(document: object, escaped: bool) -> None:
    wanted = needs([TIER])
    body = orjson.dumps(document)
    if escaped:
        body = body.replace(b"tier", b"t\\u0069er")
    assert read_json(body, wanted) == document
