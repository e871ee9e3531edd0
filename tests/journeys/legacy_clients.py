"""The public client before its rewrite, in an environment of its own that is made once, and calls made with it.

It and the newer one are the same package: they cannot be installed side by side.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.journeys.client_environments import set_up
from tests.journeys.gateway_process import ROOT, Account

LOCK: Final = "legacy-clients"


class LegacyError(Exception):
    """What the client raised."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(told["text"])
        self.kind, self.status, self.body = told["error"], told["status"], told["body"]


class Program:
    """A running program that uses the client."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, call: dict[str, Any]) -> Any:
        """What a call gave, as JSON has it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the program with the older client is gone; what it said stands above"
        told = json.loads(line)
        if "error" in told:
            raise LegacyError(told)
        return told["answer"]


@dataclass(frozen=True)
class LegacyClient:
    """A client of one account, in that program."""

    program: Program
    awaits: bool
    url: str
    account: Account

    def __call__(self, method: str, **options: Any) -> Any:
        """Calls `files.upload_file` and the like."""
        which = {"awaits": self.awaits, "url": self.url, "key": self.account.key}
        return self.program.ask({**which, "method": method, "options": options})


@pytest.fixture(scope="session")
def legacy_program() -> Iterator[Program]:
    """One program for all tests: the client takes a second to import."""
    command = [str(set_up(LOCK)), "-m", "tests.journeys.legacy_program"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Program(process)
        with contextlib.suppress(BrokenPipeError):
            process.communicate(timeout=10)
