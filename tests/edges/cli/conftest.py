"""The `gateway` command as it is typed, over real stores."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from gateway.configuration import load
from gateway.edges.cli.commands import app
from gateway.stores import Stores, open_stores

CONFIG = Path(__file__).parents[3] / "config"
T = TypeVar("T")


@dataclass
class Typed:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one document and nothing else."""
        return json.loads(self.out)


@dataclass
class Terminal:
    """Types commands, all on the same configuration."""

    config: Path
    data: Path

    def __call__(self, *words: str) -> Typed:
        return self.raw(*words, "--config", str(self.config))

    def raw(self, *words: str) -> Typed:
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        return Typed(result.exit_code, result.stdout, result.stderr)

    def account(self, plan: str = "starter") -> str:
        account_id: str = self("account", "create", "--name", "Acme", "--plan", plan, "--json").json["id"]
        return account_id

    def beside(self, work: Callable[[Stores], Awaitable[T]]) -> T:
        """What a gateway does meanwhile, on the same stores."""

        async def run() -> T:
            configuration = load(self.config)
            async with open_stores(configuration.settings, configuration.catalog) as stores:
                return await work(stores)

        return asyncio.run(run())


@pytest.fixture
def terminal(tmp_path: Path, sqlite_template: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    shutil.copytree(CONFIG, tmp_path / "config")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    shutil.copy(sqlite_template, data / "books.sqlite")
    monkeypatch.setenv("GATEWAY_DATA", str(data))
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", "")
    # It would give the loggers of all later tests this command's standard error, which ends with it.
    monkeypatch.setattr("gateway.observe.configure_logging", lambda _: None)
    return Terminal(tmp_path / "config" / "gateway.yaml", data)
