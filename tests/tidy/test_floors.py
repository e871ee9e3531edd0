"""The house rules that a machine can check: who may import whom, what things may be called, what must be said."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gateway"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room may import itself and the rooms named here; see the docstring of each for what it owns.
PLACES = {"ledger", "books", "upstream", "sinks", "pages", "payments"}  # they reach out, and do not know each other
MAY_IMPORT = {
    "domain": set[str](),
    "wire": {"domain"},
    **{place: {"domain", "wire"} for place in PLACES},
    "flows": {"domain", "wire", *PLACES},
    # doors are where the program starts, so they may ask the roof for its parts
    "edges": {"domain", "wire", *PLACES, "flows", "roof", "config_files"},
    "roof": {"domain", "wire", *PLACES, "flows", "edges", "config_files"},
    "config_files": {"domain", "wire"},  # how the roof reads what an operator wrote; it uses nothing that runs
}
# What floors without I/O, clock, randomness and frameworks may use.
PURE_MODULES = """
    __future__ abc base64 binascii bisect calendar collections collections.abc dataclasses dateutil.relativedelta
    datetime decimal enum fractions functools hashlib hmac http ipaddress itertools json math operator orjson
    python_multipart re string struct types typing unicodedata urllib.parse zlib zoneinfo
"""
PURE = set(PURE_MODULES.split())
READS_THE_CLOCK = {"now", "today", "utcnow"}
DRAWERS = {"service", "services", "utils", "util", "helpers", "helper", "common", "manager", "base", "misc", "core"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room(module: str) -> str:
    """The room a dotted module name lies in: the first folder, or the roof."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else "roof"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module of every import, wherever in the file; `from gateway import wiring` counts as the submodule."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert node.level == 0, f"{name(path)}:{node.lineno}: import by the full name"
            if module == "gateway":
                yield from ((node.lineno, f"gateway.{alias.name}") for alias in node.names if alias.name[0] != "_")
            else:
                yield node.lineno, module


def own_room(path: Path) -> str:
    return room(".".join(path.relative_to(ROOT).with_suffix("").parts))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_imports_from_its_own_room_or_below(path: Path) -> None:
    here = own_room(path)
    assert here in MAY_IMPORT, f"{name(path)}: a new room needs a place in MAY_IMPORT"
    wrong = [
        f"{name(path)}:{line}: {here} may not import {module}"
        for line, module in imports(path)
        if module.split(".")[0] == "gateway" and room(module) not in MAY_IMPORT[here] | {here}
    ]
    assert not wrong


@pytest.mark.parametrize("path", [p for p in MODULES if own_room(p) in {"domain", "wire"}], ids=name)
def test_the_pure_floors_use_no_io_clock_randomness_or_framework(path: Path) -> None:
    wrong = [
        f"{name(path)}:{line}: {module} is not on the list of pure modules"
        for line, module in imports(path)
        if module.split(".")[0] != "gateway" and not {module, module.split(".")[0]} & PURE
    ]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READS_THE_CLOCK:
            wrong.append(f"{name(path)}:{node.lineno}: .{node.func.attr}() reads the clock; take the instant as input")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"open", "print", "input"}
        ):
            wrong.append(f"{name(path)}:{node.lineno}: {node.func.id}() is I/O")
    assert not wrong


def test_nothing_but_the_command_line_imports_the_demo() -> None:
    demo = "gateway.edges.demo"
    wrong = [
        f"{name(path)}:{line}: {module}"
        for path in MODULES
        if not name(path).startswith(("gateway/edges/demo/", "gateway/edges/cli/"))
        for line, module in imports(path)
        if module == demo or module.startswith(f"{demo}.")
    ]
    assert not wrong


def test_no_module_is_a_drawer() -> None:
    assert not [name(path) for path in MODULES if path.stem in DRAWERS]


def test_every_room_says_what_it_owns_and_what_it_does_not() -> None:
    rooms = [path for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))]
    rooms += [path for path in (PACKAGE / "edges").iterdir() if path.is_dir() and list(path.glob("*.py"))]
    for folder in rooms:
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        assert "Owns" in said, name(folder)
        assert "Does not own" in said, name(folder)


def test_every_module_begins_with_what_it_is() -> None:
    silent = [name(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not silent


def shipped_texts() -> list[Path]:
    kinds = {".py", ".lua", ".md", ".yaml", ".yml", ".toml", ".txt", ".sh", ".json", ".html", ".css", ".js"}
    folders = ("gateway", "config", "docs", "tests", "requirements", ".ci")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    found += [path for path in ROOT.iterdir() if path.is_file() and path.name not in {".env", ".venv.lock"}]
    return [path for path in found if path.suffix in kinds or path.name in {"Dockerfile", "run", ".gitignore"}]


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    private = re.compile(r"(?<![\w./-])/(?:root|work|Users|home)/[a-z]|/tmp/(?:venv|helpers)")
    wrong = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in shipped_texts()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if private.search(line)
    ]
    assert not wrong


@pytest.mark.parametrize("lock", ["runtime", "dev", "legacy-clients", "llama-cloud-services"])
def test_a_lock_names_no_place_to_download_from(lock: str) -> None:
    lines = (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-")]


def test_the_locks_hold_what_the_project_asks_for() -> None:
    def key(requirement: str) -> str:
        return re.split(r"[\[<>=;~! ]", requirement, maxsplit=1)[0].lower().replace("_", "-")

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = set(project["project"]["dependencies"])
    groups = project["dependency-groups"]
    wanted = {
        "runtime": runtime,
        "dev": runtime | set(groups["dev"]),
        "legacy-clients": set(groups["legacy-clients"]),
        "llama-cloud-services": set(groups["llama-cloud-services"]),
    }
    for lock, requirements in wanted.items():
        text = (ROOT / "requirements" / f"{lock}.txt").read_text()
        locked = {key(line) for line in text.splitlines() if line[:1].isalnum()}
        missing = {key(requirement) for requirement in requirements} - locked
        assert not missing, f"run python3 dev.py lock: requirements/{lock}.txt lacks {missing}"
