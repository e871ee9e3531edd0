"""YAML with its places: every value of a file knows its line and column, and `${VAR}` is filled in.

The YAML is narrower than PyYAML's 1.1: `true`/`false`, decimal numbers and null are typed, everything else is text
(`on`, `yes`, `12:30`, `010`, `0x1f`, `2026-11-01`); decimals become Decimal, never float. Twice the same key, tags and
several documents are problems. Size, depth and the growth of aliases are limited. Knows nothing of any setting.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from gateway.config_files.interpolation import interpolate
from gateway.config_files.problem import Problem

MAX_FILE_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 50_000

ValuePath: TypeAlias = tuple[str | int, ...]
_TAG: Final = "tag:yaml.org,2002:"
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,29})")
_FLOAT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,29})\.[0-9][0-9_]{0,29}")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL: Final = re.compile(r"~|null|Null|NULL|")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    line: int
    col: int


@dataclass(slots=True)
class YamlSource:
    """One file as read. `value` is None where the file is empty or could not be read; then `problems` says why.

    `from_environment` are the paths of values that came from variables: their content is never shown. `unusable` are
    those that already have a problem, so that nobody complains of them a second time.
    """

    file: str
    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    marks: dict[ValuePath, Mark] = field(default_factory=dict)
    key_marks: dict[ValuePath, Mark] = field(default_factory=dict)
    from_environment: set[ValuePath] = field(default_factory=set)
    unusable: set[ValuePath] = field(default_factory=set)

    def known(self, path: ValuePath) -> ValuePath:
        """The longest beginning of `path` that stands in the file."""
        while path and path not in self.marks:
            path = path[:-1]
        return path

    def problem(self, path: ValuePath, sentence: str, *, at_key: bool = False) -> Problem:
        """A problem at `path`, or at the nearest thing around it that stands in the file."""
        known = self.known(path)
        mark = self.key_marks.get(known) if at_key else None
        mark = mark or self.marks.get(known) or Mark(0, 0)
        return Problem(self.file, mark.line, mark.col, dotted(path), sentence)

    def report(self, path: ValuePath, sentence: str, *, at_key: bool = False) -> None:
        """Note a problem."""
        self.problems.append(self.problem(path, sentence, at_key=at_key))

    def line(self, path: ValuePath) -> int:
        """The line `path` stands on."""
        return self.problem(path, "", at_key=True).line


def dotted(path: ValuePath) -> str:
    """A path as people write it: `upstreams.parse.url`, `costs[1].credits`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


class _Loader(yaml.SafeLoader):
    """The safe loader with narrow types and a bound on nesting. Composes nodes; constructs nothing."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", parent.start_mark if parent else None)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in (
    ("bool", _BOOL, "tTfF"),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+0123456789"),
    ("null", _NULL, ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern.pattern})\Z"), list(_first))


class _Limit(Exception):
    """The file grows beyond MAX_VALUES or MAX_DEPTH once its aliases are followed."""

    def __init__(self, node: yaml.Node) -> None:
        super().__init__()
        self.node = node


class _Reader:
    """Turns nodes into plain values and notes where each stands."""

    def __init__(self, source: YamlSource, environ: Mapping[str, str]) -> None:
        self.source, self.environ = source, environ
        self.values = 0

    def value(self, node: yaml.Node, path: ValuePath, depth: int = 0) -> Any:
        self.bound(node, depth)
        self.source.marks[path] = _mark(node)
        match node:
            case yaml.MappingNode() if node.tag == _TAG + "map":
                return self.mapping(node, path, depth)
            case yaml.SequenceNode() if node.tag == _TAG + "seq":
                return [self.value(item, (*path, at), depth + 1) for at, item in enumerate(node.value)]
            case yaml.ScalarNode():
                return self.scalar(node, path)
            case _:
                return self.refuse_tag(node, path)

    def mapping(self, node: yaml.MappingNode, path: ValuePath, depth: int) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.source.problems.append(self.at(key_node, path, "a setting's name must be text"))
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                merged.update(self.merge(value_node, path, depth))
                continue
            here = (*path, key)
            if key in own:
                first = self.source.key_marks[here].line
                self.source.problems.append(self.at(key_node, here, f"stands here twice, first on line {first}"))
                continue
            self.source.key_marks[here] = _mark(key_node)
            own[key] = self.value(value_node, here, depth + 1)
            if not isinstance(value_node, yaml.ScalarNode):
                self.source.marks[here] = _mark(key_node)
        return {**merged, **own}

    def merge(self, node: yaml.Node, path: ValuePath, depth: int) -> dict[str, Any]:
        """What `<<: *defaults` brings in; settings written out win over it."""
        mappings = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for one in reversed(mappings):
            if not isinstance(one, yaml.MappingNode):
                self.source.problems.append(self.at(one, (*path, "<<"), "must be a mapping, or a list of mappings"))
                continue
            self.bound(one, depth)
            merged.update(self.mapping(one, path, depth + 1))
        for key in merged:
            # Written out later in the same mapping is no second time.
            self.source.key_marks.pop((*path, key), None)
        return merged

    def bound(self, node: yaml.Node, depth: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES or depth > MAX_DEPTH:
            raise _Limit(node)

    def scalar(self, node: yaml.ScalarNode, path: ValuePath) -> Any:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        if kind == "str":
            filled, complaints = interpolate(text, self.environ)
            for complaint in complaints:
                self.source.report(path, complaint)
                self.source.unusable.add(path)
            if filled != text:
                self.source.from_environment.add(path)
            return filled
        if kind == "null":
            return None
        if kind == "bool" and _BOOL.fullmatch(text):
            return text.lower() == "true"
        if kind == "int" and _INT.fullmatch(text):
            return int(text.replace("_", ""))
        if kind == "float" and _FLOAT.fullmatch(text):
            return Decimal(text.replace("_", ""))
        return self.refuse_tag(node, path)

    def refuse_tag(self, node: yaml.Node, path: ValuePath) -> None:
        self.source.report(path, f"the tag '{node.tag.replace(_TAG, '!!')}' is not allowed")
        self.source.unusable.add(path)

    def at(self, node: yaml.Node, path: ValuePath, sentence: str) -> Problem:
        mark = _mark(node)
        return Problem(self.source.file, mark.line, mark.col, dotted(path), sentence)


def _mark(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def read_yaml(name: str, content: bytes, environ: Mapping[str, str]) -> YamlSource:
    """The values of a file's content. Never raises: what is wrong stands in `problems`; `name` is how it is shown."""
    source = YamlSource(name)
    if len(content) > MAX_FILE_BYTES:
        source.problems.append(Problem(name, 0, 0, "", f"is larger than {MAX_FILE_BYTES // 2**20} MiB"))
        return source
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        source.problems.append(Problem(name, line, 1, "", "is not UTF-8 text"))
        return source
    try:
        node = yaml.compose(text, Loader=_Loader)
        source.value = None if node is None else _Reader(source, environ).value(node, ())
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        source.problems.append(
            Problem(name, line, 1, "", f"holds a character that YAML does not allow: {error.reason}")
        )
    except yaml.MarkedYAMLError as error:
        source.problems.append(_syntax_problem(name, error))
    except _Limit as error:
        mark = _mark(error.node)
        source.problems.append(Problem(name, mark.line, mark.col, "", "grows too large once its aliases are followed"))
        source.value = None
    return source


def _syntax_problem(name: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    sentence = error.problem or "this is not YAML"
    if sentence.startswith("but "):
        sentence = f"{error.context}, {sentence}"
    if "'\\t'" in sentence:
        sentence = "a tab may not be used here: indent with spaces"
    line, col = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Problem(name, line, col, "", f"cannot be read: {sentence}")


def read_file(path: Path, shown: str, environ: Mapping[str, str]) -> YamlSource:
    """The values of a file; a missing or unreadable one is a problem like any other."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        source = YamlSource(shown)
        source.problems.append(Problem(shown, 0, 0, "", f"cannot be opened: {error.strerror}"))
        return source
    return read_yaml(shown, content, environ)
