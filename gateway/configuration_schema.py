"""JSON Schema of the four files and of a contract's, for completion and checks in an editor.

One document: point an editor at `…#/$defs/plans`, `rate_card`, `routes`, `gateway` or `contract`. It knows shapes;
names that must exist in another file are checked by `gateway config check` alone.
"""

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.config_files.contract_file import ContractShape
from gateway.config_files.interpolation import LOOKS_INTERPOLATED
from gateway.config_files.plans_file import PlansFile
from gateway.config_files.rate_card_file import RateCardFile
from gateway.config_files.routes_shape import RoutesFile
from gateway.settings import Settings

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_FILES: Final[dict[str, type[BaseModel]]] = {
    "gateway": Settings,
    "plans": PlansFile,
    "rate_card": RateCardFile,
    "routes": RoutesFile,
    "contract": ContractShape,
}
_NOT_TEXT: Final = ["integer", "number", "boolean"]
# pydantic's own words for bounds behind a validator, and JSON Schema's.
_BOUNDS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_VARIABLE: Final = {"type": "string", "pattern": LOOKS_INTERPOLATED, "description": "Read from the environment."}


def json_schema() -> dict[str, Any]:
    """One schema document with a definition per file, and per kind of entry below it."""
    refs, generated = models_json_schema([(model, "validation") for model in _FILES.values()])
    definitions = {name: _with_variables(schema) for name, schema in generated["$defs"].items()}
    files = {name: refs[model, "validation"] for name, model in _FILES.items()}
    return {
        "$schema": DIALECT,
        "title": "Credit Gateway configuration",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in files],
        "$defs": files | definitions,
    }


def _with_variables(schema: Any) -> Any:
    """The schema with `${VAR}` allowed wherever something else than any text is asked for."""
    if isinstance(schema, list):
        return [_with_variables(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    narrow = {"enum", "pattern"} & schema.keys() or schema.get("type") in _NOT_TEXT
    inner = {
        _BOUNDS.get(key, key): {name: _with_variables(one) for name, one in value.items()}
        if key in {"properties", "$defs"}
        else _with_variables(value)
        for key, value in schema.items()
        if key not in {"default", "enum", "examples"}
    } | {key: schema[key] for key in ("default", "enum", "examples") if key in schema}
    if not narrow or "propertyNames" in schema:
        return inner
    described = {key: inner.pop(key) for key in ("title", "description", "default") if key in inner}
    return {"anyOf": [inner, _VARIABLE], **described}
