from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config_files.yaml_source import MAX_FILE_BYTES, Mark, YamlSource, read_yaml


def read(text: str, **environ: str) -> YamlSource:
    return read_yaml("f.yaml", text.encode(), environ)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30", "12:30"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("2026-11-01", "2026-11-01"),
        ("1e3", "1e3"),
        (".5", ".5"),
        ("10_000", 10_000),
        ("-3", -3),
        ("0", 0),
        ("1.25", Decimal("1.25")),
        ("0.1", Decimal("0.1")),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'10'", "10"),
        ("!!str 10", "10"),
    ],
)
def test_a_scalar_is_what_it_looks_like_to_a_person(text: str, value: object) -> None:
    found = read(f"a: {text}")
    assert found.problems == []
    assert found.value == {"a": value}
    assert type(found.value["a"]) is type(value)


def test_every_value_knows_its_line_and_column() -> None:
    found = read("a:\n  b: [1,\n    {c: 2}]\n  d: x\n")
    assert found.marks["a", "b", 0] == Mark(2, 7)
    assert found.marks["a", "b", 1, "c"] == Mark(3, 9)
    assert found.marks["a", "d"] == Mark(4, 6)
    assert found.key_marks["a", "d"] == Mark(4, 3)
    assert found.line(("a", "d", "nothing", "there")) == 4


def test_variables_are_filled_in_and_remembered_as_such() -> None:
    found = read(
        'a: "${PORT:-80}"\nb: ${HOST}/x\nc: $${HOST}\nd: ${EMPTY:-d}\ne: "${EMPTY}"', HOST="h${PORT}", EMPTY=""
    )
    assert found.value == {"a": "80", "b": "h${PORT}/x", "c": "${HOST}", "d": "d", "e": ""}
    assert found.problems == []
    assert ("b",) in found.from_environment


def test_a_missing_variable_is_named() -> None:
    (problem,) = read("x: 1\na: ${NOT_THERE}").problems
    assert (problem.line, problem.path) == (2, "a")
    assert "NOT_THERE" in problem.sentence


def test_defaults_can_be_merged_in_and_overridden() -> None:
    found = read("base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {z: 4}]}")
    assert found.problems == []
    assert found.value["one"] == {"x": 1, "y": 3}
    assert found.value["two"] == {"x": 1, "y": 2, "z": 4}


def _growing(levels: int) -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        _growing(9),
        "a: &a [*a]",
        "a: &a {<<: *a}",
        "[" * 10_000,
        "{a: " * 100 + "1" + "}" * 100,
    ],
)
def test_a_file_that_grows_or_nests_without_end_is_refused(text: str) -> None:
    found = read(text)
    assert len(found.problems) == 1
    assert "deeply" in found.problems[0].sentence or "too large" in found.problems[0].sentence


def test_a_huge_file_is_refused_unread() -> None:
    found = read_yaml("f.yaml", b"a" * (MAX_FILE_BYTES + 1), {})
    assert [problem.sentence for problem in found.problems] == ["is larger than 1 MiB"]


@pytest.mark.parametrize(
    ("content", "line"), [(b"a: 1\n\xff", 2), (b"a: 1\nb: \x00", 2), (b"a: 1\n? [x]\n: 2", 2), (b"a: 1\n- b", 2)]
)
def test_what_is_no_yaml_is_one_problem_with_its_line(content: bytes, line: int) -> None:
    (problem,) = read_yaml("f.yaml", content, {}).problems
    assert problem.line == line


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert read_yaml("f.yaml", b"\xef\xbb\xbfa: 1", {}).value == {"a": 1}


@given(st.binary(max_size=200))
def test_no_content_makes_the_reader_fail(content: bytes) -> None:
    read_yaml("f.yaml", content, {})


@given(st.text(alphabet="ab:{}[]&*<>-|!#%@'\"\\ \n\t,?${}0", max_size=60))
def test_no_yaml_like_text_makes_the_reader_fail(text: str) -> None:
    read(text)
