"""Extract v2: made-up values for the fields of a schema, from a file or from a parse job.

On a file the job parses too and bills both parts; on a parse job it bills the extraction only, but reports the parse
job's cost in its total all the same, as upstream does.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import Desk
from gateway.edges.demo.services.inputs import pages_of, resolve
from gateway.edges.demo.services.jobs import Job, State, wire_credits
from gateway.edges.demo.services.prices import EXTRACT, parse_pages, per_page
from gateway.edges.demo.services.replies import body_of, invalid, reply
from gateway.edges.demo.services.vendor import new_id, owner_of, vendor_of

_MAX_DEPTH = 8
_SCALARS: Mapping[str, object] = {"integer": 42, "number": 42.5, "boolean": True, "null": None}


class _Configuration(BaseModel):
    model_config = ConfigDict(extra="allow")  # `expand=configuration` gives all of it back

    data_schema: dict[str, Any]
    tier: Literal["cost_effective", "agentic", "agentic_plus", "turbo"] = "cost_effective"
    parse_tier: Literal["fast", "cost_effective", "agentic", "agentic_plus"] | None = None
    extraction_target: Literal["per_doc", "per_page", "per_table_row"] = "per_doc"
    target_pages: str | None = None
    max_pages: PositiveInt | None = None


class _Create(BaseModel):
    file_input: str
    configuration: _Configuration | None = None
    configuration_id: str | None = None


class _Schema(BaseModel):
    data_schema: dict[str, Any]


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Create)
    if (wanted.configuration is None) == (wanted.configuration_id is None):
        raise invalid(("body", "configuration"), "Provide either configuration or configuration_id")
    configuration = wanted.configuration
    if wanted.configuration_id is not None:
        try:
            configuration = _Configuration.model_validate(
                vendor.configuration(owner, wanted.configuration_id, "extract_v2")
            )
        except ValidationError as fault:
            raise invalid(("body", "configuration_id"), "The saved configuration has no schema") from fault
    if configuration is None:
        raise invalid(("body", "configuration"), "Field required", "missing")
    found = resolve(vendor, owner, wanted.file_input)
    where = ("body", "configuration", "target_pages")
    pages = pages_of(found, configuration.target_pages, configuration.max_pages, where)
    charges: dict[str, Sequence[int]] = {"extract": per_page(EXTRACT[configuration.tier], pages)}
    parse_tier = None if configuration.tier == "turbo" else configuration.parse_tier or configuration.tier
    if parse_tier is not None and found.parse_job is None:
        charges["parse"] = parse_pages(parse_tier, pages, optimized=False, high_confidence=False)
    job = vendor.open_job(
        "extract",
        new_id("exj"),
        found.document,
        owner=owner,
        pages=pages,
        charges=charges,
        mode=configuration.tier,
        request={
            "file_input": wanted.file_input,
            "configuration": configuration.model_dump(),
            "configuration_id": wanted.configuration_id,
            "parse_tier": parse_tier,
            "parse_job": found.parse_job,
        },
    )
    return reply(_flat(job, job.created_at, frozenset()) | {"status": State.PENDING, "extract_result": None})


def _usage(job: Job, now: datetime) -> dict[str, Any]:
    bill = job.bill(now)
    if bill is None:
        return {"credits": None, "extract_credits": None, "parse_credits": None}
    parse_job: Job | None = job.request["parse_job"]
    parse: int | None = bill.get("parse")
    if parse_job is not None:
        parse_bill = parse_job.bill(now, look=False)
        parse = None if parse_bill is None else parse_bill["parse"]
    return {
        "credits": wire_credits(bill["extract"] + (parse or 0)),
        "extract_credits": wire_credits(bill["extract"]),
        "parse_credits": wire_credits(parse),
    }


def _flat(job: Job, now: datetime, expand: frozenset[str]) -> dict[str, Any]:
    state = job.state(now)
    pages = job.delivered(now)
    configuration = job.request["configuration"]
    parse_job: Job | None = job.request["parse_job"]
    details = {
        "field_metadata": None,
        "parse_job_id": parse_job and parse_job.id,
        "parse_tier": job.request["parse_tier"],
    }
    return {
        "id": job.id,
        "project_id": job.owner.project_id,
        "status": state,
        "file_input": job.request["file_input"],
        "created_at": job.created_at,
        "updated_at": job.ended_at(now) or now,
        "configuration_id": job.request["configuration_id"],
        "configuration": configuration if "configuration" in expand else None,
        "error_message": "The document could not be read" if state is State.FAILED else None,
        "extract_result": _result(job, configuration, pages) if state is State.COMPLETED else None,
        "extract_metadata": details if "extract_metadata" in expand else None,
        "metadata": {"usage": {"num_pages_extracted": len(pages), "num_pages_billed": len(pages)}},
        "usage": _usage(job, now) if "usage" in expand else None,
    }


def _result(job: Job, configuration: dict[str, Any], pages: Sequence[int]) -> Any:
    schema = configuration["data_schema"]
    if configuration["extraction_target"] == "per_doc":
        return _value(schema, f"found in {job.document.name}", 0)
    return [_value(schema, f"found on page {page}", 0) for page in pages]


def _value(schema: Any, hint: str, depth: int) -> Any:
    """A made-up value of a JSON schema. `$ref` and combinations are not followed: they give the hint."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return hint
    if "enum" in schema and isinstance(schema["enum"], list) and schema["enum"]:
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        return {name: _value(inner, f"{name} {hint}", depth + 1) for name, inner in known.items()}
    if kind == "array":
        return [_value(schema.get("items"), hint, depth + 1)]
    return _SCALARS.get(kind, hint) if isinstance(kind, str) else hint


async def _validate(request: Request) -> Response:
    return reply((await body_of(request, _Schema)).model_dump())


DESK = Desk("extract", flat=_flat, one=_flat)
ROUTES = [
    Route("/api/v2/extract", _create, methods=["POST"]),
    Route("/api/v2/extract/schema/validation", _validate, methods=["POST"]),
    *DESK.routes("/api/v2/extract"),
]
