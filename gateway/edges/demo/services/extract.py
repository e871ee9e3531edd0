"""Extract v2: made-up values for the fields of a schema, from a file or from a parse job.

On a file the job parses too and bills both parts; on a parse job it bills the extraction only, but reports the parse
job's cost in its total all the same, as upstream does.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import Desk
from gateway.edges.demo.services.inputs import pages_of, resolve
from gateway.edges.demo.services.jobs import Job, State, wire_credits
from gateway.edges.demo.services.made_up import value_of
from gateway.edges.demo.services.prices import EXTRACT, parse_pages, per_page
from gateway.edges.demo.services.replies import body_of, invalid, reply
from gateway.edges.demo.services.shelf import Owner
from gateway.edges.demo.services.vendor import Vendor, new_id, owner_of, vendor_of


class Configuration(BaseModel):
    """What a saved configuration may hold as well."""

    model_config = ConfigDict(extra="allow")  # `expand=configuration` gives all of it back

    data_schema: dict[str, Any]
    tier: Literal["cost_effective", "agentic", "agentic_plus", "turbo"] = "cost_effective"
    parse_tier: Literal["fast", "cost_effective", "agentic", "agentic_plus"] | None = None
    extraction_target: Literal["per_doc", "per_page", "per_table_row"] = "per_doc"
    target_pages: str | None = None
    max_pages: PositiveInt | None = None


class _Create(BaseModel):
    file_input: str
    configuration: Configuration | None = None
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
        configuration = saved_configuration(vendor, owner, wanted.configuration_id)
    if configuration is None:
        raise invalid(("body", "configuration"), "Field required", "missing")
    job = start(vendor, owner, wanted.file_input, configuration, wanted.configuration_id)
    return reply(_flat(job, job.created_at, frozenset()) | {"status": State.PENDING, "extract_result": None})


def saved_configuration(vendor: Vendor, owner: Owner, configuration_id: str) -> Configuration:
    """The configuration saved under an id."""
    try:
        return Configuration.model_validate(vendor.configuration(owner, configuration_id, "extract_v2"))
    except ValidationError as fault:
        raise invalid(("body", "configuration_id"), "The saved configuration has no schema") from fault


def start(
    vendor: Vendor, owner: Owner, file_input: str, configuration: Configuration, configuration_id: str | None
) -> Job:
    """Start an extract job on a file or on a parse job."""
    found = resolve(vendor, owner, file_input)
    where = ("body", "configuration", "target_pages")
    pages = pages_of(found, configuration.target_pages, configuration.max_pages, where)
    charges: dict[str, Sequence[int]] = {"extract": per_page(EXTRACT[configuration.tier], pages)}
    parse_tier = None if configuration.tier == "turbo" else configuration.parse_tier or configuration.tier
    if parse_tier is not None and found.parse_job is None:
        charges["parse"] = parse_pages(parse_tier, pages, optimized=False, high_confidence=False)
    return vendor.open_job(
        "extract",
        new_id("exj"),
        found.document,
        owner=owner,
        pages=pages,
        charges=charges,
        mode=configuration.tier,
        request={
            "file_input": file_input,
            "configuration": configuration.model_dump(),
            "configuration_id": configuration_id,
            "parse_tier": parse_tier,
            "parse_job": found.parse_job,
        },
    )


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
        return value_of(schema, f"found in {job.document.name}")
    return [value_of(schema, f"found on page {page}") for page in pages]


async def _validate(request: Request) -> Response:
    return reply((await body_of(request, _Schema)).model_dump())


DESK = Desk("extract", flat=_flat, one=_flat)
ROUTES = [
    Route("/api/v2/extract", _create, methods=["POST"]),
    Route("/api/v2/extract/schema/validation", _validate, methods=["POST"]),
    *DESK.routes("/api/v2/extract"),
]
