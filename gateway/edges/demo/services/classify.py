"""Classify v2: one of the caller's own types for a document. Billed as the parse job it runs; free on one of yours."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, PositiveInt, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import Desk
from gateway.edges.demo.services.inputs import pages_of, resolve
from gateway.edges.demo.services.jobs import Job, State, wire_credits
from gateway.edges.demo.services.prices import CLASSIFY, per_page
from gateway.edges.demo.services.replies import body_of, invalid, reply
from gateway.edges.demo.services.vendor import new_id, owner_of, vendor_of


class _Rule(BaseModel):
    type: str
    description: str


class _Parsing(BaseModel):
    lang: str | None = None
    target_pages: str | None = None
    max_pages: PositiveInt | None = None


class _Configuration(BaseModel):
    rules: list[_Rule] = Field(min_length=1)
    mode: Literal["FAST"] = "FAST"
    parsing_configuration: _Parsing | None = None


class _Create(BaseModel):
    configuration: _Configuration | None = None
    configuration_id: str | None = None
    file_input: str | None = None
    file_id: str | None = None
    parse_job_id: str | None = None
    transaction_id: str | None = None


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Create)
    sent = [value for value in (wanted.file_input, wanted.file_id, wanted.parse_job_id) if value is not None]
    if len(sent) != 1:
        raise invalid(("body", "file_input"), "Provide exactly one of file_input, file_id and parse_job_id")
    configuration = wanted.configuration
    if configuration is None:
        if wanted.configuration_id is None:
            raise invalid(("body", "configuration"), "Provide either configuration or configuration_id")
        try:
            configuration = _Configuration.model_validate(
                vendor.configuration(owner, wanted.configuration_id, "classify_v2")
            )
        except ValidationError as fault:
            raise invalid(("body", "configuration_id"), "The saved configuration has no rules") from fault
    found = resolve(vendor, owner, sent[0])
    parsing = configuration.parsing_configuration or _Parsing()
    where = ("body", "configuration", "parsing_configuration", "target_pages")
    pages = pages_of(found, parsing.target_pages, parsing.max_pages, where)
    own_parse = found.parse_job is not None
    job = vendor.open_job(
        "classify",
        new_id("clj"),
        found.document,
        owner=owner,
        pages=pages,
        charges={} if own_parse else {"parse": per_page(CLASSIFY[configuration.mode], pages)},
        mode=configuration.mode,
        request={
            "configuration": configuration.model_dump(),
            "configuration_id": wanted.configuration_id,
            "document_input_type": found.kind,
            "file_input": sent[0],
            "parse_job_id": found.parse_job.id if found.parse_job is not None else new_id("pjb"),
            "transaction_id": wanted.transaction_id,
        },
    )
    return reply(_flat(job, job.created_at, frozenset()) | {"status": State.PENDING, "result": None})


def _usage(job: Job, now: datetime) -> dict[str, Any]:
    bill = job.bill(now)
    if bill is None:
        return {"credits": None, "parse_credits": None}
    return {"credits": wire_credits(sum(bill.values())), "parse_credits": wire_credits(bill.get("parse"))}


def _flat(job: Job, now: datetime, expand: frozenset[str]) -> dict[str, Any]:
    state = job.state(now)
    answer = {
        "id": job.id,
        "project_id": job.owner.project_id,
        "user_id": job.owner.account_id,
        "status": state,
        "created_at": job.created_at,
        "updated_at": job.ended_at(now) or now,
        "error_message": "The document could not be read" if state is State.FAILED else None,
        "result": _result(job) if state is State.COMPLETED else None,
        "usage": _usage(job, now) if "usage" in expand else None,
    }
    return answer | job.request


def _result(job: Job) -> dict[str, Any]:
    """The first type whose name is in the document's, else the first of all."""
    types = [rule["type"] for rule in job.request["configuration"]["rules"]]
    name = job.document.name.lower()
    found = next((kind for kind in types if kind.lower() in name), types[0])
    return {"type": found, "confidence": 0.93, "reasoning": f"{job.document.name} reads like {found}."}


DESK = Desk("classify", flat=_flat, one=_flat)
ROUTES = [Route("/api/v2/classify", _create, methods=["POST"]), *DESK.routes("/api/v2/classify")]
