"""Holds a file against its shape: every mistake as one sentence with its place, and the rest of the file usable.

What is wrong in one entry (a plan, a route, an upstream) does not hide what is wrong in its neighbours, nor stop them
from being checked against the other files.
"""

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config_files.shape import MUST_BE, MUST_BE_UNSHOWN
from gateway.config_files.yaml_source import ValuePath, YamlSource

ShapeT = TypeVar("ShapeT", bound=BaseModel)
SHOWN_CHARACTERS: Final = 60
_MAPPING: Final = {"model_type", "model_attributes_type", "dict_type", "mapping_type"}
_LIST: Final = {"list_type", "tuple_type", "set_type", "frozen_set_type"}


def judge(shape: type[ShapeT], source: YamlSource) -> ShapeT | None:
    """The file as its shape; the problems are reported to `source`.

    Entries with problems are left out of what is returned; None where nothing can be made of the rest.
    """
    if source.value is None and source.problems:
        return None  # it could not be read at all
    value = source.value if source.value is not None else {}
    if not isinstance(value, dict):
        source.report((), "must be a mapping of settings")
        return None
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        wrong = [_report(shape, source, details) for details in error.errors(include_url=False)]
    kept = _without(value, [_entry(shape, path) for path in wrong])
    try:
        return shape.model_validate(kept)
    except ValidationError:
        return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'reads'?` where something alike is known, else nothing."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""


def shown(value: object) -> str:
    """A wrong value as it is quoted in a sentence."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return str(value)[:SHOWN_CHARACTERS]
        case str():
            return f"'{value[:SHOWN_CHARACTERS]}'"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


def _report(shape: type[BaseModel], source: YamlSource, details: ErrorDetails) -> ValuePath:
    """Note one error of pydantic's as a problem; answers where."""
    loc: ValuePath = details["loc"]
    if details["type"] == "extra_forbidden":
        known = _settings_at(shape, loc[:-1])
        source.report(loc, f"unknown setting{did_you_mean(str(loc[-1]), known)}", at_key=True)
        return loc
    if details["type"] == "missing":
        around = source.known(loc[:-1])
        source.problems.append(source.problem((*around, loc[-1]), "is missing", at_key=True))
        return (*around, loc[-1])
    path = source.known(loc)
    if not any(path[: len(bad)] == bad for bad in source.unusable):
        hidden = path in source.from_environment
        source.report(path, _sentence(details, value="what its variable holds" if hidden else shown(details["input"])))
    return path


def _sentence(details: ErrorDetails, *, value: str) -> str:
    kind, context = details["type"], details.get("ctx", {})
    bounds = {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("above", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("below", "lt"),
    }
    if kind == MUST_BE:
        return f"must be {context['expected']}, not {value}"
    if kind == MUST_BE_UNSHOWN:
        return f"must be {context['expected']}"
    if kind in bounds:
        word, key = bounds[kind]
        return f"must be {word} {_plain(context[key])}, not {value}"
    if kind in {"enum", "literal_error"}:
        expected = str(context["expected"])
        return f"must be {expected}, not {value}{did_you_mean(value.strip(chr(39)), expected.split(chr(39))[1::2])}"
    if kind in _MAPPING:
        return f"must be a mapping of settings, not {value}"
    if kind in _LIST:
        return f"must be a list, not {value}"
    if kind in {"string_too_short", "too_short"}:
        return "must not be empty"
    if kind in {"string_type", "path_type"}:
        return "must be text: put it in quotes"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}, not {value}"
    if kind.startswith("date"):
        return f"must be a date such as 2026-11-01, not {value}"
    return details["msg"][:1].lower() + details["msg"][1:]


def _plain(bound: object) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _settings_at(shape: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The names of the settings that the mapping at `loc` knows."""
    inner: Any = shape
    for part in loc:
        inner = _inner(inner, part)
    return [field.alias or name for name, field in inner.model_fields.items()] if _is_shape(inner) else []


def _inner(annotation: Any, part: str | int) -> Any:
    """The type of what stands under `part` of a value of this type; None where that is unknown."""
    if _is_shape(annotation):
        if issubclass(annotation, RootModel):
            return _inner(annotation.model_fields["root"].annotation, part)
        fields: dict[str, FieldInfo] = annotation.model_fields
        for name, field in fields.items():
            if part == (field.alias or name):
                return _bare(field.annotation)
        return None
    arguments = get_args(annotation)
    if not arguments:
        return None
    return _bare(arguments[0] if isinstance(part, int) else arguments[-1])


def _bare(annotation: Any) -> Any:
    """A type without `Annotated` and without `| None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return _bare(next(one for one in get_args(annotation) if one is not types.NoneType))
    return annotation


def _is_shape(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _entry(shape: type[BaseModel], path: ValuePath) -> ValuePath:
    """What is left out because of a problem at `path`: one entry of a collection, else the whole setting."""
    around = _inner(shape, path[0]) if path else None
    is_collection = get_origin(around) is not None and issubclass(get_origin(around) or object, Mapping)
    return path[:2] if is_collection else path[:1]


def _without(value: Mapping[str, Any], entries: Iterable[ValuePath]) -> dict[str, Any]:
    """A copy of two levels of a file without these entries."""
    kept: dict[str, Any] = dict(value)
    for entry in entries:
        match entry:
            case [name, inner] if isinstance(kept.get(str(name)), dict):
                kept[str(name)] = {key: one for key, one in kept[str(name)].items() if key != inner}
            case [name, *_]:
                kept.pop(str(name), None)
            case _:
                kept = {}
    return kept
