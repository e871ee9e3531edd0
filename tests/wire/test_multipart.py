from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.multipart import FormReader, MultipartReader, UrlencodedReader, form_reader, pairs
from gateway.wire.unreadable import Unreadable

TYPE = b"multipart/form-data; boundary=b0undary"
FILE = b"%PDF-1.7\r\n--b0undar\r\n--b0undaryX\r\n\x00\xff\r"


def part(disposition: bytes, data: bytes, *headers: bytes) -> bytes:
    lines = b"".join(b"\r\n" + line for line in (b"Content-Disposition: " + disposition, *headers))
    return b"--b0undary" + lines + b"\r\n\r\n" + data + b"\r\n"


def field(name: str, value: str) -> bytes:
    return part(b'form-data; name="%b"' % name.encode(), value.encode())


FILE_PART = part(b'form-data; name="file"; filename="a;b\\"c.pdf"', FILE, b"Content-Type: application/pdf")
END = b"--b0undary--\r\n"
FIELDS_FIRST = field("configuration", '{"tier": "agentic"}') + field("x", "1") + FILE_PART + END
FILE_FIRST = FILE_PART + field("x", "1") + field("configuration", '{"tier": "agentic"}') + END


def reader(*wanted: str, also: tuple[str, ...] = (), content_type: bytes = TYPE) -> FormReader:
    made = form_reader(content_type, wanted, also=also)
    assert not isinstance(made, Unreadable)
    return made


def fed(body: bytes, *wanted: str, also: tuple[str, ...] = (), content_type: bytes = TYPE) -> FormReader:
    form = reader(*wanted, also=also, content_type=content_type)
    form.feed(body)
    form.finish()
    return form


def fault(body: bytes, *wanted: str) -> str:
    form = fed(body, *wanted)
    assert form.fault is not None
    assert form.known
    return form.fault.message


@pytest.mark.parametrize("body", [FIELDS_FIRST, FILE_FIRST])
def test_fields_are_found_wherever_the_body_is_cut(body: bytes) -> None:
    for cut in range(len(body) + 1):
        form = reader("configuration", also=("x",))
        form.feed(body[:cut])
        form.feed(body[cut:])
        form.finish()
        assert (form.fault, form.ended) == (None, True)
        assert form.fields == {"configuration": '{"tier": "agentic"}', "x": "1"}


@pytest.mark.parametrize("body", [FIELDS_FIRST, FILE_FIRST])
def test_fields_are_found_byte_by_byte(body: bytes) -> None:
    form = reader("configuration", "missing")
    for at in range(len(body)):
        form.feed(body[at : at + 1])
    assert (form.fields, form.fault) == ({"configuration": '{"tier": "agentic"}'}, None)
    assert form.known


def test_fields_before_the_file_are_known_before_the_file() -> None:
    form = reader("configuration", also=("project_id",))
    head, _, rest = FIELDS_FIRST.partition(b"%PDF")
    form.feed(head)
    assert form.known
    early = form.ended
    form.feed(b"%PDF" + rest)
    assert (early, form.ended) == (False, True)


def test_a_field_that_never_comes_is_known_only_at_the_end() -> None:
    form = reader("tier")
    form.feed(FILE_FIRST[: -len(END)])
    early = form.known
    form.feed(END)
    assert (early, form.known, form.fields) == (False, True, {})


def test_a_second_value_behind_the_file_is_a_fault_though_the_first_was_known() -> None:
    form = reader("tier")
    form.feed(field("tier", "fast") + FILE_PART)
    assert form.known
    assert form.fault is None
    form.feed(field("tier", "agentic_plus") + END)
    assert form.fault == Unreadable(("body", "tier"), "was sent more than once")


@pytest.mark.parametrize(
    "disposition",
    [
        b'form-data; name="tier"; name="x"',
        b'form-data; name="ti\\er"',
        b"form-data; name=\"x\"; name*=utf-8''tier",
        b'form-data; name="tier',
        b"form-data; name",
        b"form-data",
        b'attachment; name="tier"',
        b'form-data; name="tier" x',
        b"",
    ],
)
def test_a_name_that_two_parsers_read_differently_is_a_fault(disposition: bytes) -> None:
    assert "part" in fault(part(disposition, b"fast") + END, "tier")


@pytest.mark.parametrize(
    "disposition", [b"form-data;name=tier", b'form-data ; NAME = "tier" ;', b'FORM-DATA; name="tier"']
)
def test_a_name_is_read_in_every_plain_spelling(disposition: bytes) -> None:
    assert fed(part(disposition, b"fast") + END, "tier").fields == {"tier": "fast"}


@pytest.mark.parametrize(
    "body",
    [
        part(b'form-data; name="tier"; filename="x"', b"fast"),
        part(b"form-data; name=\"tier\"; filename*=utf-8''x", b"fast"),
        part(b'form-data; name="tier"', b"ZmFzdA==", b"Content-Transfer-Encoding: base64"),
    ],
)
def test_a_wanted_field_must_be_plain_text(body: bytes) -> None:
    assert fault(body + END, "tier") == "must be a plain form field"


def test_a_part_with_a_header_twice_is_a_fault() -> None:
    body = part(b'form-data; name="x"', b"1", b'content-disposition: form-data; name="tier"')
    assert fault(body + END, "tier") == "a part of the form has a header twice"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the form is cut short"),
        (FIELDS_FIRST[:-6], "the form is cut short"),
        (b"\r\n" + FIELDS_FIRST, "the form does not begin with its boundary"),
        (b"preamble\r\n" + FIELDS_FIRST, "the form does not begin with its boundary"),
        (b"--other\r\n\r\n", "the form is malformed"),
        (FIELDS_FIRST.replace(b"\r\n", b"\n"), "the form is malformed"),
        (b"--b0undary\r\nX" + b"x" * 10_000, "the form is malformed"),
        (part(b'form-data; name="tier"', b"\xff") + END, "is not valid UTF-8"),
        (field("tier", "x" * 262_145) + END, "is too long"),
        (field("x", "") * 1001 + END, "the form has too many parts"),
    ],
)
def test_a_form_that_is_none_is_a_fault(body: bytes, message: str) -> None:
    assert fault(body, "tier") == message


def test_fields_together_have_a_bound_too() -> None:
    form = MultipartReader(b"b0undary", ("a", "b"), max_kept_bytes=10)
    form.feed(field("a", "123456") + field("b", "12345") + END)
    assert form.fault == Unreadable(("body", "b"), "is too long")


def test_a_large_file_leaves_nothing_behind() -> None:
    form = MultipartReader(b"b0undary", ("tier",))
    form.feed(field("tier", "fast") + part(b'form-data; name="file"; filename="f"', b"")[:-2])
    for _ in range(64):
        form.feed(b"\r\n--b0undar" * 6553)
    form.feed(b"\r\n" + END)
    assert (form.fields, form.fault, form.ended) == ({"tier": "fast"}, None, True)
    assert len(form._data) == 0


def test_what_follows_the_last_boundary_is_passed_over() -> None:
    assert fed(field("tier", "fast") + END + field("tier", "x"), "tier").fields == {"tier": "fast"}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; boundary=" + b"x" * 71,
        b'multipart/form-data; boundary="a\\"b"',
        b"multipart/form-data; boundary=a; charset=utf-16",
        b"multipart/mixed; boundary=a",
        b"multipart/form-data; boundary=a b",
    ],
)
def test_a_content_type_that_is_no_readable_form_says_so(content_type: bytes | None) -> None:
    made = form_reader(content_type, ("tier",))
    assert isinstance(made, Unreadable)
    assert made.loc == ("header", "content-type")


def test_a_boundary_may_be_quoted_and_named_in_any_case() -> None:
    form = fed(FIELDS_FIRST, "x", content_type=b'Multipart/Form-Data; BOUNDARY="b0undary"; charset=UTF-8')
    assert form.fields == {"x": "1"}


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_no_bytes_make_it_raise_and_cuts_change_nothing(noise: bytes, cuts: list[int]) -> None:
    body = field("tier", "fast")[:-2] + noise + b"\r\n" + END
    whole = fed(body, "tier")
    form = reader("tier")
    last = 0
    for cut in [*sorted(cuts), len(body)]:
        form.feed(body[last : max(last, cut)])
        last = max(last, cut)
    form.finish()
    assert (form.fields, form.fault) == (whole.fields, whole.fault)


URLENCODED = b"application/x-www-form-urlencoded"


def test_an_urlencoded_form_is_read_wherever_it_is_cut() -> None:
    body = b"a=1&tier=agentic%5Fplus&x=%zz&text=a+b%C3%BC"
    for cut in range(len(body)):
        form = reader("tier", "text", content_type=URLENCODED)
        form.feed(body[:cut])
        assert not form.known
        form.feed(body[cut:])
        form.finish()
        assert (form.fields, form.fault) == ({"tier": "agentic_plus", "text": "a bü"}, None)


@pytest.mark.parametrize("body", [b"tier=a&tier=a", b"tier=%zz", b"tier=%ff", b"tier=a;tier=b", b"x=1;tier=b"])
def test_an_urlencoded_form_that_can_be_read_twice_is_a_fault(body: bytes) -> None:
    form = fed(body, "tier", content_type=URLENCODED)
    assert form.fault is not None
    assert form.fault.loc == ("body", "tier")


def test_an_urlencoded_form_has_a_bound() -> None:
    form = UrlencodedReader(("tier",), max_bytes=10)
    for _ in range(100):
        form.feed(b"tier=a&")
    form.finish()
    assert form.fault == Unreadable(("body",), "the form is too long")
    assert len(form._data) == 0


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"", {}),
        (b"mode=a", {"mode": ["a"]}),
        (b"%6dode=a", {"mode": ["a"]}),
        (b"mode", {"mode": [""]}),
        (b"Mode=a&mode[]=b&xmode=c", {}),
        (b"a=1&a=%zz&b;c=3&mode=x", {"mode": ["x"]}),
        (b"mode=a%26mode=b&mode=c", {"mode": ["a&mode=b", "c"]}),
        (b"mode=a%3Bb", {"mode": ["a;b"]}),
    ],
)
def test_pairs_are_read_one_way(query: bytes, found: dict) -> None:
    assert pairs(query, ("mode",), place="query") == found


@pytest.mark.parametrize("query", [b"mode=a;b", b"a=1;mode=b", b"a=1;%6Dode=b", b"mode=%z", b"mode=%ff", b"a;mode;b=1"])
def test_pairs_that_could_be_read_another_way_are_not_read(query: bytes) -> None:
    found = pairs(query, ("mode",), place="query")
    assert isinstance(found, Unreadable)
    assert found.loc == ("query", "mode")


@pytest.mark.parametrize("make", [lambda: fed(FIELDS_FIRST, "x"), lambda: fed(b"x=1", "x", content_type=URLENCODED)])
def test_finishing_twice_changes_nothing(make: Callable[[], FormReader]) -> None:
    form = make()
    form.finish()
    assert (form.fields, form.fault) == ({"x": "1"}, None)
