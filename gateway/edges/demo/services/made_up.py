"""Made-up values for the fields of a JSON schema. `$ref` and combinations are not followed: they give the hint."""

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 8
_SCALARS: Mapping[str, object] = {"integer": 42, "number": 42.5, "boolean": True, "null": None}


def value_of(schema: Any, hint: str, depth: int = 0) -> Any:
    """A value that fits the schema; texts say `hint`."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return hint
    if "enum" in schema and isinstance(schema["enum"], list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        return {name: value_of(inner, f"{name} {hint}", depth + 1) for name, inner in known.items()}
    if kind == "array":
        return [value_of(schema.get("items"), hint, depth + 1)]
    return _SCALARS.get(kind, hint) if isinstance(kind, str) else hint
