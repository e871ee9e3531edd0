"""The script that makes a newcomer's environment and becomes the command."""

import importlib.util
import os
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "dev.py"


@pytest.mark.parametrize(("asked", "found"), [("1", ".venv/pycache"), ("", None)])
def test_byte_code_is_kept_even_for_those_who_want_none_between_the_sources(
    monkeypatch: pytest.MonkeyPatch, asked: str, found: str | None
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: became.append(command))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", asked)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX")
    spec = importlib.util.spec_from_file_location("dev", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    dev = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dev)
    dev.become(["gateway", "demo"])
    assert became == [["gateway", "demo"]]
    assert not os.environ.get("PYTHONDONTWRITEBYTECODE")
    assert os.environ.get("PYTHONPYCACHEPREFIX") == (found and str(SCRIPT.parent / found))
