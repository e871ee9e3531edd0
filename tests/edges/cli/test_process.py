"""The command as a process of its own: quick help, clean output, and embedded stores shared with who runs on them."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.ledger.server import EmbeddedValkey
from tests.edges.cli.conftest import CONFIG


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Embedded stores in a folder that is not there yet."""
    return {
        **os.environ,
        "GATEWAY_CONFIG": str(CONFIG / "gateway.yaml"),
        "GATEWAY_DATA": str(tmp_path / "data"),
        "REDIS_URL": "",
        "DATABASE_URL": "",
    }


def test_help_loads_no_store_driver_and_no_server() -> None:
    look = (
        "import sys, gateway.edges.cli.commands;"
        "print([name for name in ('sqlalchemy', 'redis', 'uvicorn', 'starlette', 'rich', 'gateway.stores') "
        "if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


async def test_it_works_beside_a_running_server_and_alone_on_the_same_stores(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    async def run(*words: str) -> tuple[int | None, bytes, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", *words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await process.communicate()
        return process.returncode, out, err

    async with EmbeddedValkey(tmp_path / "data") as server:
        code, out, err = await run("account", "create", "--name", "Acme", "--plan", "free", "--json")
        assert (code, err) == (0, b"")
        account_id = json.loads(out)["id"]
        assert server.owner
    code, out, err = await run("usage", account_id, "--json")
    assert (code, err, json.loads(out)["live"]) == (0, b"", True)


def test_a_failure_writes_nothing_to_standard_output(environ: dict[str, str]) -> None:
    environ["GATEWAY_CONFIG"] = "nowhere.yaml"
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "account", "list", "--json"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
