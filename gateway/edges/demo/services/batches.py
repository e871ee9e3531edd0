"""Batches: one job for every file of a directory, by a saved configuration. Billed as those jobs, not by itself."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services import extract, parse
from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.directories import documents_of, find_directory
from gateway.edges.demo.services.jobs import Job, State
from gateway.edges.demo.services.replies import Refused, body_of, expand_of, not_found, reply
from gateway.edges.demo.services.vendor import Record, new_id, owner_of, vendor_of

_ENDED: Final = (State.COMPLETED, State.FAILED, State.CANCELLED)


class _Job(BaseModel):
    type: Literal["parse_v2", "extract_v2"]
    configuration_id: str


class _Config(BaseModel):
    job: _Job


class _Create(BaseModel):
    config: _Config
    source_directory_id: str


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Create)
    configuration_id = wanted.config.job.configuration_id
    documents = documents_of(vendor, find_directory(vendor, owner, wanted.source_directory_id))
    jobs: dict[str, Job] = {}
    if wanted.config.job.type == "parse_v2":
        saved = parse.saved_parameters(vendor, owner, configuration_id, ("body", "config", "job", "configuration_id"))
        for entry, document in documents:
            jobs[entry] = parse.start(vendor, owner, document, parse.Wanted(), saved)
    else:
        configuration = extract.saved_configuration(vendor, owner, configuration_id)
        for entry, document in documents:
            jobs[entry] = extract.start(vendor, owner, document.id, configuration, configuration_id)
    record = Record(new_id("bat"), owner, vendor.now(), {**wanted.model_dump(), "jobs": jobs, "cancelled": False})
    vendor.batches.put(record)
    return reply(_render(record, vendor.now(), frozenset()) | {"status": State.PENDING})


def _state(record: Record, now: datetime) -> State:
    jobs: dict[str, Job] = record.content["jobs"]
    if record.content["cancelled"]:
        return State.CANCELLED
    return State.COMPLETED if all(job.state(now) in _ENDED for job in jobs.values()) else State.RUNNING


def _render(record: Record, now: datetime, expand: frozenset[str]) -> dict[str, Any]:
    state, kind = _state(record, now), record.content["config"]["job"]["type"]
    results = [
        {"source_directory_file_id": entry, "job_reference": {"type": kind, "id": job.id}, "error_message": None}
        for entry, job in record.content["jobs"].items()
    ]
    return {
        "id": record.id,
        "project_id": record.owner.project_id,
        "source_directory_id": record.content["source_directory_id"],
        "config": record.content["config"],
        "status": state,
        "results": results if "results" in expand and state in _ENDED else None,
        "created_at": record.created_at,
        "updated_at": now,
    }


def _own(request: Request) -> Record:
    record = vendor_of(request).batches.find(owner_of(request), request.path_params["batch_id"])
    if record is None:
        raise not_found("Batch", request.path_params["batch_id"])
    return record


async def _get(request: Request) -> Response:
    return reply(_render(_own(request), vendor_of(request).now(), expand_of(request)))


async def _list(request: Request) -> Response:
    vendor = vendor_of(request)
    now = vendor.now()
    found = vendor.batches.of_project(owner_of(request))
    return reply(page_of(request, found, lambda record: _render(record, now, frozenset())))


async def _cancel(request: Request) -> Response:
    record, now = _own(request), vendor_of(request).now()
    if _state(record, now) in _ENDED:
        raise Refused(400, f"Batch {record.id} has ended and cannot be cancelled")
    for job in record.content["jobs"].values():
        if job.state(now) not in _ENDED:
            job.cancelled_at = now
    record.content["cancelled"] = True
    return reply(_render(record, now, frozenset()))


_PATH: Final = "/api/v2/batches"
ROUTES = [
    Route(_PATH, _create, methods=["POST"]),
    Route(_PATH, _list, methods=["GET"]),
    Route(f"{_PATH}/{{batch_id}}", _get, methods=["GET"]),
    Route(f"{_PATH}/{{batch_id}}/cancel", _cancel, methods=["POST"]),
]
