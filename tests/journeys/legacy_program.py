"""A program of somebody who still uses the client before its rewrite: does what standard input says, call by call.

Runs under the interpreter that has that client, so it imports nothing but it and the standard library.
"""

import asyncio
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from tests.journeys.one_way import OneWay

_clients: dict[tuple[bool, str, str], Any] = {}


def _client(call: dict[str, Any]) -> Any:
    which = (call["awaits"], call["url"], call["key"])
    if which not in _clients:
        made = importlib.import_module("llama_cloud.client")
        kind = made.AsyncLlamaCloud if call["awaits"] else made.LlamaCloud
        _clients[which] = kind(base_url=call["url"], token=call["key"])
    return _clients[which]


def _argument(value: Any) -> Any:
    """A document, where one is meant, in the way it is to be handed over."""
    if not (isinstance(value, dict) and "document" in value):
        return value
    path = Path(value["document"])
    if value["as"] == "path":
        return path.open("rb")
    if value["as"] == "bytes":
        return path.read_bytes()
    return (path.name, OneWay(path.read_bytes()))


def _answered(runner: asyncio.Runner, call: dict[str, Any]) -> dict[str, Any]:
    method = _client(call)
    for name in call["method"].split("."):
        method = getattr(method, name)
    jsonable: Any = importlib.import_module("llama_cloud.core.jsonable_encoder").jsonable_encoder
    options = {name: _argument(value) for name, value in call["options"].items()}
    try:
        answer = method(**options)
        return {"answer": jsonable(runner.run(answer) if call["awaits"] else answer)}
    except Exception as raised:  # noqa: BLE001 - whatever the client raises is what the test asks about
        told = {"error": type(raised).__name__, "text": str(raised)}
        return {**told, "status": getattr(raised, "status_code", None), "body": jsonable(getattr(raised, "body", None))}


def main() -> None:
    """Answers each line with a line, until there are no more."""
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            print(json.dumps(_answered(runner, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
