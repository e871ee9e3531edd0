"""A program of somebody who uses `LlamaParse` and `LlamaExtract`: does what standard input says, call by call.

Runs under the interpreter that has them, so it imports nothing but them and the standard library. What they print is
told beside what they return: some of their failures are told in no other way.
"""

import asyncio
import contextlib
import importlib
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from tests.journeys.one_way import OneWay


def _stream(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(OneWay(content))


def _parsed(call: dict[str, Any]) -> Any:
    services: Any = importlib.import_module("llama_cloud_services")
    reader = services.LlamaParse(
        api_key=call["key"],
        base_url=call["url"],
        check_interval=0,
        backoff_pattern="constant",
        **call["options"],
    )
    path = Path(call["document"])
    document: Any = {"path": str(path), "bytes": path.read_bytes(), "stream": None}[call["as"]]
    document = _stream(path.read_bytes()) if document is None else document
    named = {"file_name": path.name}
    if call["awaits"]:
        found = asyncio.run(reader.aload_data(document, extra_info=named))
    else:
        found = reader.load_data(document, extra_info=named)
    return [one.text for one in found]


def _extracted(call: dict[str, Any]) -> Any:
    services: Any = importlib.import_module("llama_cloud_services")
    types: Any = importlib.import_module("llama_cloud")
    config = types.ExtractConfig(extraction_mode=types.ExtractMode[call["options"]["mode"]])
    path = Path(call["document"])

    async def run() -> Any:
        # Its own client is made for the loop that it is first used in.
        extract = services.LlamaExtract(api_key=call["key"], base_url=call["url"], check_interval=0)
        return await extract.aextract(call["options"]["schema"], config, _source(services, call["as"], path))

    if call["awaits"]:
        return json.loads(asyncio.run(run()).json())
    extract = services.LlamaExtract(api_key=call["key"], base_url=call["url"], check_interval=0)
    found = extract.extract(call["options"]["schema"], config, _source(services, call["as"], path))
    return json.loads(found.json())


def _source(services: Any, kind: str, path: Path) -> Any:
    if kind == "path":
        return str(path)
    content: Any = path.read_bytes() if kind == "bytes" else _stream(path.read_bytes())
    return services.SourceText(file=content, filename=path.name)


def _agents(call: dict[str, Any]) -> Any:
    """Several agents, one after the other: the calls that this client tries again by itself."""
    services: Any = importlib.import_module("llama_cloud_services")
    extract = services.LlamaExtract(api_key=call["key"], base_url=call["url"], check_interval=0)
    return [extract.create_agent(name, call["options"]["schema"]).name for name in call["options"]["names"]]


_DOES = {"parse": _parsed, "extract": _extracted, "agents": _agents}


def _answered(call: dict[str, Any]) -> dict[str, Any]:
    printed = io.StringIO()
    told: dict[str, Any]
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            told = {"answer": _DOES[call["what"]](call)}
        except Exception as raised:  # noqa: BLE001 - whatever the client raises is what the test asks about
            told = {"error": type(raised).__name__, "text": str(raised), "status": getattr(raised, "status_code", None)}
    return {**told, "printed": printed.getvalue()}


def main() -> None:
    """Answers each line with a line, until there are no more."""
    for line in sys.stdin:
        print(json.dumps(_answered(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
