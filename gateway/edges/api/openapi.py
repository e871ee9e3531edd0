"""The OpenAPI 3.1 document, made from the same declarations that are served: it cannot say anything else.

Kept as bytes once made. It tells shapes and problems, never an account's data, so it needs no key.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from pydantic import TypeAdapter
from starlette.responses import Response

import gateway
from gateway.edges.api.endpoint import JSON, Ask, Code, Door, Endpoint
from gateway.edges.api.serve import LONGEST_KEY, PRODUCTS_ONLY
from gateway.wire.problems import PROBLEMS, Fault

PROBLEM: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_UNPROCESSABLE: Final = 422
_SCHEMES: Final = {
    "api_key": {"type": "http", "scheme": "bearer", "description": "An account's API key, `cgw_live_…`"},
    "admin_token": {"type": "http", "scheme": "bearer", "description": "`admin.token` of gateway.yaml"},
}
_CHANGE: Final = (
    Fault.BAD_REQUEST,
    Fault.IDEMPOTENCY_IN_PROGRESS,
    Fault.IDEMPOTENCY_REPLY_GONE,
    Fault.IDEMPOTENCY_MISMATCH,
    Fault.NOT_POSSIBLE,
)
_BODY: Final = (Fault.BAD_REQUEST, Fault.BODY_TOO_LARGE, Fault.UNSUPPORTED_MEDIA_TYPE, Fault.INVALID_BODY)
_COMPLAINT: Final = {
    "type": "object",
    "required": ["loc", "msg", "type"],
    "properties": {
        "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
        "msg": {"type": "string"},
        "type": {"type": "string"},
    },
}
_A_COMPLAINT: Final = {"$ref": _REF.format(model="Complaint")}
_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "RFC 9457. Each code has a page in the documentation; a 422 lists everything that is wrong.",
    "required": ["type", "title", "status", "detail", "code", "retryable", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"anyOf": [{"type": "string"}, {"type": "array", "items": _A_COMPLAINT}]},
        "code": {"type": "string"},
        "retryable": {"type": "boolean"},
        "request_id": {"type": "string"},
    },
}
_HEADERS: Final = {
    "X-Request-Id": {"description": "Of this request, for support", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The limits that were looked at", "schema": {"type": "string"}},
    "RateLimit": {"description": "What is left of them", "schema": {"type": "string"}},
    "ETag": {"description": "Of what was read, for If-Match", "schema": {"type": "string"}},
    "X-Credits-Remaining": {
        "description": "Of the included credits; on calls to products",
        "schema": {"type": "number"},
    },
    "X-Credits-Charged": {"description": "What the call cost; on calls to products", "schema": {"type": "number"}},
    "X-Credits-Held": {
        "description": "Set aside while its job runs; on calls to products",
        "schema": {"type": "number"},
    },
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag that was read: the change is made only if nothing has changed since",
    "schema": {"type": "string"},
}
_ACTOR: Final = {
    "name": "X-Actor",
    "in": "header",
    "required": False,
    "description": "Who is asking, for the audit log",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.@+-]{1,64}$"},
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeat within 24 hours harmless: it gets the first answer",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[ -~]+$"},
}

Doors = Sequence[tuple[Door, Sequence[Endpoint]]]


def openapi_endpoint(path: str, title: str, about: str, doors: Doors) -> Endpoint:
    """The document of these doors, itself among what it describes. Made at its first reading."""
    made: list[bytes] = []

    async def answer(_: Ask) -> Response:
        if not made:
            # In a thread: making it takes a tenth of a second.
            made.append(await asyncio.to_thread(lambda: orjson.dumps(document(title, about, doors))))
        return Response(made[0], media_type=JSON)

    return Endpoint("GET", path, answer, "This document", "health", files={JSON: {"type": "object"}})


def document(title: str, about: str, doors: Doors) -> dict[str, Any]:
    """The whole document."""
    everything = [(door, endpoint) for door, endpoints in doors for endpoint in endpoints]
    schemas, named = _schemas([endpoint for _, endpoint in everything])
    paths: dict[str, dict[str, Any]] = {}
    for door, endpoint in everything:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(door, endpoint, schemas)
    used = {door.name for door, _ in doors if door.name is not None}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": gateway.__version__, "description": about},
        "paths": paths,
        "components": {
            "schemas": {**named, "Problem": _PROBLEM_SCHEMA, "Complaint": _COMPLAINT},
            "headers": _HEADERS,
            "responses": {str(code): _problem_response([code]) for code in PROBLEMS},
            "securitySchemes": {name: scheme for name, scheme in _SCHEMES.items() if name in used},
        },
    }


def _schemas(endpoints: Iterable[Endpoint]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """A schema for every reply and body, and what they refer to."""
    wanted: dict[Any, Any] = {}
    for endpoint in endpoints:
        if endpoint.reply is not None:
            wanted["reply", id(endpoint.reply)] = ("serialization", endpoint.reply)
        for model in (endpoint.body, endpoint.query):
            if model is not None:
                wanted["asked", id(model)] = ("validation", model)
    inputs = [(key, mode, TypeAdapter(kind)) for key, (mode, kind) in wanted.items()]
    found, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    return {key: schema for (key, _), schema in found.items()}, definitions.get("$defs", {})


def _operation(door: Door, endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [*_parameters(endpoint), *([_ACTOR] if door.name == "admin_token" else [])],
        "responses": _responses(door, endpoint, schemas),
        "security": [] if door.name is None else [{door.name: []}],
    }
    if endpoint.whole_key:
        said["description"] = f"Not with a key that is for some products only. {PRODUCTS_ONLY}"
    if endpoint.body is not None:
        said["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas["asked", id(endpoint.body)]}}}
    return said


def _operation_id(endpoint: Endpoint) -> str:
    return "_".join([endpoint.method.lower(), *re.findall(r"[A-Za-z0-9]+", endpoint.path.removeprefix("/api/v1"))])


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(endpoint.path)
    ]
    if endpoint.query is not None:
        schema = endpoint.query.model_json_schema(ref_template=_REF)
        required = schema.get("required", [])
        for name, one in schema["properties"].items():
            told = {"name": name, "in": "query", "required": name in required, "schema": _without_null(one)}
            if "description" in one:
                told["description"] = one["description"]
            found.append(told)
    if endpoint.changes:
        found.append(_IDEMPOTENCY_KEY)
        if endpoint.edits is not None:
            found.append(_IF_MATCH)
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that may be left out cannot be null: a query has no such thing."""
    kept = {name: value for name, value in schema.items() if name not in {"title", "description"}}
    if "anyOf" in kept:
        kinds = [kind for kind in kept.pop("anyOf") if kind != {"type": "null"}]
        kept |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if kept.get("default", 0) is None:
        del kept["default"]
    return kept


def _responses(door: Door, endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {"schema": dict(schema)} for kind, schema in endpoint.files.items()}
    if endpoint.reply is not None:
        content = {JSON: {"schema": schemas["reply", id(endpoint.reply)]}, **content}
    headers = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
    if door.name == "api_key":
        headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in ("RateLimit-Policy", "RateLimit")}
    if endpoint.edits is not None and endpoint.method != "DELETE":
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    answers = {str(endpoint.status): {"description": endpoint.summary, "headers": headers, "content": content}}
    for status, what in endpoint.other_statuses.items():
        answers[str(status)] = {"description": what, "headers": headers, "content": content}
    codes = [*door.problems, *endpoint.problems, *_implied(endpoint, behind=door.name is not None)]
    for status in sorted({PROBLEMS[code].status for code in codes}):
        of_status = [code for code in dict.fromkeys(codes) if PROBLEMS[code].status == status]
        if str(status) not in answers:
            answers[str(status)] = _problem_response(of_status)
    return answers


def _implied(endpoint: Endpoint, *, behind: bool) -> list[Code]:
    """The problems that follow from what an endpoint reads, `behind` a door or in the open."""
    codes: list[Code] = []
    if (endpoint.query is not None and endpoint.query_is_read) or (behind and not endpoint.more_is_sent):
        codes += [Fault.INVALID_QUERY]
    if endpoint.changes:
        codes += _CHANGE
        if endpoint.body is not None:
            codes += _BODY
        if endpoint.edits is not None:
            codes += [Fault.STALE_EDIT]
    if endpoint.whole_key:
        codes += [Fault.KEY_NOT_ALLOWED]
    return codes


def _problem_response(codes: Sequence[Code]) -> dict[str, Any]:
    told = "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes)
    detail: dict[str, Any] = {"type": "string"}
    if PROBLEMS[codes[0]].status == _UNPROCESSABLE:
        detail = {"type": "array", "items": _A_COMPLAINT, "minItems": 1}
    schema = {
        "allOf": [{"$ref": _REF.format(model="Problem")}],
        "properties": {"code": {"enum": [str(code) for code in codes]}, "detail": detail},
    }
    return {"description": told, "content": {PROBLEM: {"schema": schema}}}
