"""What keeps the house easy to read: functions that fit a screen, files of one idea, and nothing that nobody calls."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from gateway.ledger.scripts import PARTS
from tests.tidy.test_floors import MODULES, PACKAGE, name

LONGEST_FUNCTION = 60
LONGEST_FILE = 400
# Each with the reason for which it may be longer.
LONG_FILES = {
    "gateway/ledger/ledger.py": "a method for each script: together they are what Redis is asked",
    "gateway/wire/route.py": "what a route can say, type by type, and the table that finds one",
}
CALLED_BY_NOBODY = {
    "HttpxUpstream": "the seam for transports of one's own (docs/decisions/002)",
    "raise_epoch": "fences every counter in Redis, by hand: nothing that a door should offer",
}
# Alembic calls what a migration defines, and tells all of its tables in one function.
OURS = [path for path in MODULES if "versions" not in path.parts]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def test_a_function_fits_one_screen() -> None:
    long = {
        f"{name(path)}:{one.lineno} {one.name}": length
        for path in OURS
        for one in functions(ast.parse(path.read_text()))
        if (length := (one.end_lineno or one.lineno) - one.lineno + 1) > LONGEST_FUNCTION
    }
    assert not long, f"split along its ideas what is longer than {LONGEST_FUNCTION} lines"


def test_a_file_holds_one_idea() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in OURS}
    long = {file: length for file, length in lengths.items() if length > LONGEST_FILE}
    assert long.keys() - LONG_FILES == set(), f"split along its ideas what is longer than {LONGEST_FILE} lines"
    assert LONG_FILES.keys() - long == set(), "these need no exception any more"


def defined(tree: ast.Module) -> Iterator[str]:
    """Functions, classes and constants of a module, but for those that a decorator hands on."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not node.decorator_list:
                yield node.name
            case ast.ClassDef():
                yield node.name
            case ast.Assign(targets=[ast.Name(id=word)]) | ast.AnnAssign(target=ast.Name(id=word)):
                yield word
            case _:
                pass


def mentioned(tree: ast.AST) -> Iterator[str]:
    """Every name that is read; in quotes too, where a type stands there."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=word, ctx=ast.Load()) | ast.Attribute(attr=word):
                yield word
            case ast.Constant(value=str(text)) if len(text) <= LONGEST_FUNCTION * 2:
                yield from re.findall(r"[A-Za-z_]\w*", text)
            case _:
                pass


def test_nothing_is_kept_that_only_tests_call() -> None:
    trees = {path: ast.parse(path.read_text()) for path in OURS}
    read = Counter(word for tree in trees.values() for word in mentioned(tree))
    unused = {
        word: name(path)
        for path, tree in trees.items()
        for word in defined(tree)
        if not read[word] and not word.startswith("__")
    }
    assert unused.keys() - CALLED_BY_NOBODY == set(), unused
    assert CALLED_BY_NOBODY.keys() - unused == set(), "these are called by now"


def test_a_script_is_sent_no_part_that_it_does_not_use() -> None:
    def text(part: str) -> str:
        return (PACKAGE / "ledger" / "scripts" / f"{part}.lua").read_text()

    def told(part: str) -> set[str]:
        found = re.findall(r"^local (?:function (\w+)|(\w+) *=)", text(part), re.MULTILINE)
        return {function or value for function, value in found}

    idle = [
        (verb, part)
        for verb, parts in PARTS.items()
        for number, part in enumerate(parts)
        for rest in [set(re.findall(r"\w+", "".join(text(one) for one in (*parts[number + 1 :], verb))))]
        if not told(part) & rest
    ]
    assert not idle
