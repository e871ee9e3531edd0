"""Index v2, the filling half: an index over a directory, exported when it is made and when it is synced.

Every exported page of a new index is billed under the index's id.
"""

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.directories import documents_of
from gateway.edges.demo.services.jobs import Job, State
from gateway.edges.demo.services.prices import INDEX_EXPORT, per_page
from gateway.edges.demo.services.replies import Refused, body_of, expand_of, not_found, reply
from gateway.edges.demo.services.vendor import Record, Vendor, new_id, owner_of, vendor_of

_RUNNING: Final = (State.PENDING, State.RUNNING)


class _Create(BaseModel):
    source_directory_id: str
    name: str | None = None
    description: str | None = None


def _export(vendor: Vendor, record: Record, job_id: str) -> None:
    directory = vendor.directories.find(record.owner, record.content["source_directory_id"])
    documents = [] if directory is None else [document for _, document in documents_of(vendor, directory)]
    pages = range(1, sum(document.pages for document in documents) + 1)
    if not pages:
        return
    record.content["job"] = vendor.open_job(
        "export",
        job_id,
        documents[0],
        owner=record.owner,
        pages=pages,
        charges={"export": per_page(INDEX_EXPORT, pages)},
        mode="export",
        request={},
    )


def _render(record: Record, now: datetime, expand: frozenset[str]) -> dict[str, Any]:
    job: Job | None = record.content["job"]
    shown = {name: value for name, value in record.content.items() if name != "job"}
    at_work = job is not None and job.state(now) in _RUNNING
    return {
        "id": record.id,
        "project_id": record.owner.project_id,
        "created_at": record.created_at,
        "last_exported_at": None if job is None else job.ended_at(now),
        "sync_in_progress": at_work if "sync_in_progress" in expand else None,
        **shown,
    }


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Create)
    index_id = new_id("idx")
    content = {
        "name": wanted.name or index_id,
        "description": wanted.description,
        "source_directory_id": wanted.source_directory_id,
        "output_directory_id": new_id("dir"),
        "export_config_id": new_id("exp"),
        "sync_config_id": new_id("syn"),
        "job": None,
    }
    record = Record(index_id, owner, vendor.now(), content)
    vendor.indexes.put(record)
    _export(vendor, record, index_id)
    return reply(_render(record, vendor.now(), frozenset()), 201)


async def _list(request: Request) -> Response:
    vendor = vendor_of(request)
    now = vendor.now()
    found = vendor.indexes.of_project(owner_of(request))
    return reply(page_of(request, found, lambda record: _render(record, now, frozenset())))


def _own(request: Request) -> Record:
    index_id = request.path_params["index_id"]
    record = vendor_of(request).indexes.find(owner_of(request), index_id)
    if record is None:
        raise not_found("Index", index_id)
    return record


async def _get(request: Request) -> Response:
    return reply(_render(_own(request), vendor_of(request).now(), expand_of(request)))


async def _delete(request: Request) -> Response:
    vendor_of(request).indexes.remove(_own(request))
    return Response(status_code=204)


async def _sync(request: Request) -> Response:
    record, vendor = _own(request), vendor_of(request)
    _export(vendor, record, new_id("syj"))
    return reply(_render(record, vendor.now(), frozenset()), 202)


async def _cancel(request: Request) -> Response:
    record, now = _own(request), vendor_of(request).now()
    job: Job | None = record.content["job"]
    if job is None or job.state(now) not in _RUNNING:
        raise Refused(400, f"Index {record.id} is not being synced")
    job.cancelled_at = now
    return reply(_render(record, now, frozenset()))


_PATH: Final = "/api/v1/indexes"
ROUTES = [
    Route(_PATH, _create, methods=["POST"]),
    Route(_PATH, _list, methods=["GET"]),
    Route(f"{_PATH}/{{index_id}}", _get, methods=["GET"]),
    Route(f"{_PATH}/{{index_id}}", _delete, methods=["DELETE"]),
    Route(f"{_PATH}/{{index_id}}/sync", _sync, methods=["POST"]),
    Route(f"{_PATH}/{{index_id}}/sync/cancel", _cancel, methods=["POST"]),
]
