"""`gateway config …`: every problem of the configuration at once, and the schema that editors complete from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from gateway.edges.cli.printing import print_json

if TYPE_CHECKING:
    from gateway.config_files.problem import Problem

app = typer.Typer(no_args_is_help=True, help="The configuration: what is wrong with it, and its schema.")


@app.command("check")
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="A gateway.yaml, which is checked with all files it names; or one of those, beside its gateway.yaml.",
            show_default="the one of --config",
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Print every problem as `file:line: path: sentence`; exit 1 if there is one."""
    problems: list[Problem] = []
    checked: dict[Path, None] = {}
    for entry in dict.fromkeys(map(_entry, files or [config])):
        found, read = _check(entry)
        problems += found
        checked.update(dict.fromkeys(read))
    problems = list(dict.fromkeys(problems))
    if as_json:
        shown = [{"file": one.file, "line": one.line, "path": one.path, "sentence": one.sentence} for one in problems]
        print_json({"ok": not problems, "problems": shown})
    elif problems:
        for problem in problems:
            print(problem)
    else:
        print(f"ok: {', '.join(map(str, checked))}")
    if problems:
        raise typer.Exit(1)


@app.command("schema")
def schema() -> None:
    """The JSON Schema of all four files, for completion and checks in an editor."""
    from gateway.configuration_schema import json_schema

    print_json(json_schema())


def _check(entry: Path) -> "tuple[tuple[Problem, ...], tuple[Path, ...]]":
    from gateway.config_files.problem import ConfigurationInvalid
    from gateway.configuration import load

    try:
        return (), load(entry).files
    except ConfigurationInvalid as invalid:
        return invalid.problems, ()


def _entry(file: Path) -> Path:
    """The gateway.yaml to load for a file: itself, or the one beside it that names it."""
    import yaml

    beside = file.parent / "gateway.yaml"
    if file == beside or not beside.exists():
        return file
    try:
        named = yaml.safe_load(beside.read_bytes())
    except (OSError, yaml.YAMLError):
        return file
    if isinstance(named, dict) and file.name in {named.get(name) for name in ("plans", "rate_card", "routes")}:
        return beside
    return file
