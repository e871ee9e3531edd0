"""Queries and bodies, read strictly: everything that is wrong at once, and near misses of names told.

Bounds what is read: 64 KiB, 32 levels, 50 complaints.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, TypeVar, get_args

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from gateway.edges.api.endpoint import InFileWords, Refuse
from gateway.wire.problems import Fault

MOST_BYTES: Final = 65_536
DEEPEST: Final = 32
_MOST_COMPLAINTS: Final = 50
_LONGEST_PARAMETER: Final = 1_024

Model = TypeVar("Model", bound=BaseModel)


class _SentTwice(Exception):
    """A member that an object has two of."""


async def body_of(request: Request, *, most: int = MOST_BYTES) -> bytes:
    """The body as sent. Refuse."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise Refuse(Fault.BODY_TOO_LARGE, f"The body is larger than {most} bytes.")
    except ClientDisconnect:
        raise Refuse(Fault.BAD_REQUEST) from None
    return bytes(body)


def read_body(model: type[Model], body: bytes, content_type: str | None) -> Model:
    """The body as the model. Refuse."""
    if content_type is not None and content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refuse(Fault.UNSUPPORTED_MEDIA_TYPE)
    document = _well_formed(body)
    try:
        if issubclass(model, InFileWords):
            return model.model_validate(document)
        # From here on a fraction is a double: what that cannot tell from its neighbour is refused, never rounded.
        if rounded := next(_rounded(document, ["body"]), None):
            raise Refuse(Fault.INVALID_BODY, found=[_complaint(rounded, "has too many digits", "too_precise")])
        return model.model_validate_json(body, strict=True)
    except ValidationError as wrong:
        raise Refuse(Fault.INVALID_BODY, found=_complaints(wrong, "body", model)) from None


def read_query(model: type[Model], request: Request) -> Model:
    """The query as the model; each parameter once. Refuse."""
    sent: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    for name, value in request.query_params.multi_items():
        if sent.setdefault(name, value) != value:
            found.append(_complaint(["query", name[:64]], "was sent more than once", "duplicate"))
        if len(value) > _LONGEST_PARAMETER or not value.isprintable():
            found.append(_complaint(["query", name[:64]], "is too long or cannot be printed", "unreadable"))
    if found:
        raise Refuse(Fault.INVALID_QUERY, found=found[:_MOST_COMPLAINTS])
    try:
        return model.model_validate(sent)
    except ValidationError as wrong:
        raise Refuse(Fault.INVALID_QUERY, found=_complaints(wrong, "query", model)) from None


def only_known(model: type[BaseModel] | None, request: Request) -> None:
    """Refuse where the query has a parameter that the model has not; a misspelt one would answer another question."""
    known = [] if model is None else _members(model, [])
    found = [
        _complaint(["query", name[:64]], f"is not known{did_you_mean(name[:64], known)}", "extra_forbidden")
        for name in dict.fromkeys(request.query_params)
        if name not in known
    ]
    if found:
        raise Refuse(Fault.INVALID_QUERY, found=found[:_MOST_COMPLAINTS])


def did_you_mean(name: str, known: list[str]) -> str:
    """The end of a complaint about a name that nobody knows."""
    close = get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}" if known else ""


def _well_formed(body: bytes) -> Any:
    """The document, its fractions exact. Of few levels, with no member twice: which one is meant is not guessed."""
    try:
        orjson.loads(body)
        document = json.loads(body, object_pairs_hook=_once, parse_float=Decimal)
    except _SentTwice as twice:
        raise Refuse(
            Fault.INVALID_BODY, found=[_complaint(["body", str(twice)], "is there twice", "duplicate")]
        ) from None
    except (orjson.JSONDecodeError, ValueError, RecursionError):
        message = "is not valid JSON" if body else "is missing"
        raise Refuse(Fault.INVALID_BODY, found=[_complaint(["body"], message, "json_invalid")]) from None
    if _deeper_than(document, DEEPEST):
        raise Refuse(Fault.INVALID_BODY, found=[_complaint(["body"], f"has more than {DEEPEST} levels", "too_deep")])
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _SentTwice(name[:64])
        found[name] = value
    return found


def _rounded(document: Any, loc: list[str | int]) -> Iterator[list[str | int]]:
    """Where a number stands that has more digits than a double."""
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(document, Decimal) and Decimal(repr(float(document))) != document:
        yield loc
    elif isinstance(document, dict):
        inner = ((name[:64], value) for name, value in document.items())
    elif isinstance(document, list):
        inner = enumerate(document)
    for name, value in inner:
        yield from _rounded(value, [*loc, name])


def _deeper_than(document: Any, most: int) -> bool:
    level = [document]
    for _ in range(most):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _complaints(wrong: ValidationError, place: str, model: type[BaseModel]) -> list[dict[str, Any]]:
    found = []
    for error in wrong.errors(include_url=False, include_context=False, include_input=False)[:_MOST_COMPLAINTS]:
        message = error["msg"]
        loc = [part if isinstance(part, int) else part[:64] for part in error["loc"]]
        if error["type"] == "extra_forbidden":
            message = f"is not known{did_you_mean(str(loc[-1]), _members(model, loc[:-1]))}"
        found.append(_complaint([place, *loc], message, error["type"]))
    return found


def _members(model: type[BaseModel], loc: list[str | int]) -> list[str]:
    """The members that are known at that place; none where that is no object of ours."""
    for part in loc:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = None if field is None else next(_models_in(field.annotation), None)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _complaint(loc: list[Any], message: str, kind: str) -> dict[str, Any]:
    return {"loc": loc, "msg": message, "type": kind}


def etag_matches(header: str, etag: str) -> bool:
    """If-Match (RFC 9110, 13.1.1): any of the tags listed, compared strongly, or `*`."""
    return header.strip() == "*" or etag in {one.strip() for one in header.split(",")}


def header_once(headers: Mapping[str, str], raw: list[tuple[bytes, bytes]], name: str) -> str | None:
    """A header that decides something. Refuse where it came twice."""
    if sum(sent == name.encode() for sent, _ in raw) > 1:
        raise Refuse(Fault.BAD_REQUEST, f"more than one {name} header")
    return headers.get(name)
