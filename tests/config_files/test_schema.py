"""The schema that editors complete from agrees with the files, as far as a shape can tell."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.config_files.yaml_source import read_yaml
from gateway.configuration import json_schema

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "config"
SCHEMA = json_schema()
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, Decimal),
    "boolean": (bool,),
    "null": (type(None),),
}


class Unquoted(dict[str, str]):
    """An environment in which every variable is its own reference: what an editor sees."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:
        return f"${{{name}}}"


def fits(schema: dict[str, Any], value: object) -> bool:
    """Whether a value fits, by the part of JSON Schema that pydantic writes."""
    if "$ref" in schema:
        target = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return fits(target, value) and fits({key: one for key, one in schema.items() if key != "$ref"}, value)
    checks = [
        "anyOf" not in schema or any(fits(one, value) for one in schema["anyOf"]),
        "enum" not in schema or value in schema["enum"],
        "const" not in schema or value == schema["const"],
        "type" not in schema or _is(schema["type"], value),
    ]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        more = schema.get("additionalProperties", True)
        checks += [key in value for key in schema.get("required", ())]
        checks += [fits(known[key], one) for key, one in value.items() if key in known]
        checks += [
            more if isinstance(more, bool) else fits(more, one) for key, one in value.items() if key not in known
        ]
        checks.append(len(value) >= schema.get("minProperties", 0))
    if isinstance(value, list):
        checks += [fits(schema.get("items", {}), one) for one in value]
    if isinstance(value, str):
        checks.append(re.search(schema.get("pattern", ""), value) is not None)
        checks.append(len(value) >= schema.get("minLength", 0))
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        checks += [
            value >= Decimal(str(schema.get("minimum", value))),
            value <= Decimal(str(schema.get("maximum", value))),
        ]
    return all(checks)


def _is(names: str | list[str], value: object) -> bool:
    wanted = [names] if isinstance(names, str) else names
    return any(isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in wanted)


def fits_file(name: str, file: Path) -> bool:
    return fits(SCHEMA["$defs"][name], read_yaml(file.name, file.read_bytes(), Unquoted()).value)


@pytest.mark.parametrize("name", ["gateway", "plans", "rate_card", "routes"])
@pytest.mark.parametrize("folder", [ROOT / "config", DATA / "good"])
def test_files_without_problems_fit_the_schema(name: str, folder: Path) -> None:
    assert fits_file(name, folder / f"{name}.yaml")


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("plans", "misspelled_setting"),
        ("plans", "plan_is_no_mapping"),
        ("plans", "rate_limit_without_a_unit"),
        ("plans", "unknown_when_exhausted"),
        ("plans", "number_for_a_name"),
        ("gateway", "port_out_of_range"),
        ("gateway", "no_upstreams"),
        ("gateway", "unknown_isolation"),
        ("rate_card", "price_is_text"),
        ("rate_card", "no_version"),
        ("routes", "charged_status_unknown"),
        ("routes", "pointer_without_a_slash"),
    ],
)
def test_mistakes_of_shape_do_not_fit_the_schema(name: str, mistake: str) -> None:
    assert not fits_file(name, DATA / mistake / f"{name}.yaml")


def test_every_reference_leads_somewhere() -> None:
    targets = re.findall(r"'\$ref': '#/\$defs/([^']+)'", repr(SCHEMA))
    assert set(targets) <= set(SCHEMA["$defs"])


def test_settings_carry_their_explanations() -> None:
    assert SCHEMA["$defs"]["PlanShape"]["properties"]["monthly_credits"]["description"].startswith("Granted")
