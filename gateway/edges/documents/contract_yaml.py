"""A contract as a person reads and writes it: in the words of its file."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import orjson

from gateway.domain.contract import Contract
from gateway.edges.documents.contract_json import terms_json


def terms_yaml(contract: Contract) -> str:
    """A contract in the words of its file, without what is left out there."""
    said = json.loads(orjson.dumps(terms_json(contract)), parse_float=Decimal)
    return "".join(f"{line}\n" for line in _lines(said, ""))


def _lines(said: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in said.items():
        if value in (None, {}, []):
            continue
        match value:
            case dict():
                yield f"{indent}{name}:"
                yield from _lines(value, f"{indent}  ")
            case list():
                yield f"{indent}{name}:"
                for one in value:
                    inner = ", ".join(f"{key}: {part}" for key, part in one.items() if part is not None)
                    yield f"{indent}  - {{{inner}}}"
            case _:
                yield f"{indent}{name}: {value}"
