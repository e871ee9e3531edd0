"""`gateway doctor`: each part on one line, whether it is well, and how to mend it where it is not."""

import asyncio
import sys
from typing import TYPE_CHECKING

import typer

from gateway.edges.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from gateway.edges.cli.printing import print_json

if TYPE_CHECKING:
    from gateway.edges.cli.checks import Finding

_COLOURS = {"ok": "\x1b[32m", "warn": "\x1b[33m", "fail": "\x1b[31m"}


def doctor(config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Look at configuration, data folder, stores, clocks, upstreams and versions; exit 1 if one of them fails."""
    from gateway.edges.cli.checks import Status, examine

    findings = asyncio.run(examine(config))
    well = all(finding.status is not Status.FAIL for finding in findings)
    if as_json:
        shown = [{"part": one.part, "status": one.status.value, "said": one.said, "mend": one.mend} for one in findings]
        print_json({"ok": well, "checks": shown})
    else:
        width = max(len(finding.part) for finding in findings)
        for finding in findings:
            print(_line(finding, width))
    if not well:
        raise typer.Exit(1)


def _line(finding: "Finding", width: int) -> str:
    word = f"{finding.status.value:<4}"
    if sys.stdout.isatty():
        word = f"{_COLOURS[finding.status.value]}{word}\x1b[0m"
    mend = f"; {finding.mend}" if finding.mend else ""
    return f"{word}  {finding.part:<{width}}  {finding.said}{mend}"
