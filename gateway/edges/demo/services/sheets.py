"""Sheets: the tables of a spreadsheet. Billed by the sheet: those that are named, or the first."""

import uuid
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.jobs import V1_WORDS, Job, State
from gateway.edges.demo.services.prices import SHEET, per_page
from gateway.edges.demo.services.replies import body_of, reply
from gateway.edges.demo.services.vendor import owner_of, vendor_of

_PRODUCT: Final = "sheets"


class _Config(BaseModel):
    sheet_names: list[str] | None = None


class _Create(BaseModel):
    file_id: str
    config: _Config | None = None


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Create)
    config = wanted.config or _Config()
    names = config.sheet_names or ["Sheet1"]
    sheets = range(1, len(names) + 1)
    job = vendor.open_job(
        _PRODUCT,
        str(uuid.uuid4()),
        vendor.document(owner, wanted.file_id),
        owner=owner,
        pages=sheets,
        charges={"sheet": per_page(SHEET, sheets)},
        mode="spreadsheet",
        request={"config": config.model_dump(), "names": names},
    )
    return reply(_render(job, job.created_at))


def _render(job: Job, now: datetime) -> dict[str, Any]:
    state = job.state(now)
    names = job.request["names"][: len(job.delivered(now))]
    return {
        "id": job.id,
        "user_id": job.owner.account_id,
        "project_id": job.owner.project_id,
        "file_id": job.document.id,
        "file": {"id": job.document.id, "name": job.document.name, "project_id": job.owner.project_id},
        "config": job.request["config"],
        "status": V1_WORDS[state],
        "success": state is State.COMPLETED,
        "worksheet_metadata": [{"sheet_name": name, "title": name, "description": None} for name in names],
        "regions": [
            {"region_id": f"r{at}", "region_type": "table", "sheet_name": name, "location": "A1:C9"}
            for at, name in enumerate(names)
        ],
        "errors": ["The file could not be read"] if state is State.FAILED else [],
        "created_at": job.created_at,
        "updated_at": job.ended_at(now) or now,
    }


def _find(request: Request) -> Job:
    return vendor_of(request).job(owner_of(request), _PRODUCT, request.path_params["job_id"])


async def _get(request: Request) -> Response:
    return reply(_render(_find(request), vendor_of(request).now()))


async def _list(request: Request) -> Response:
    vendor = vendor_of(request)
    now = vendor.now()
    jobs = (job for job in vendor.jobs.of_project(owner_of(request)) if job.product == _PRODUCT)
    return reply(page_of(request, jobs, lambda job: _render(job, now)))


async def _delete(request: Request) -> Response:
    vendor_of(request).jobs.remove(_find(request))
    return Response(status_code=204)


async def _region(request: Request) -> Response:
    job = _find(request)
    url = f"https://storage.invalid/{job.id}/{request.path_params['region_id']}"
    return reply({"url": url, "expires_at": vendor_of(request).now(), "form_fields": None})


_PATH: Final = "/api/v1/beta/sheets/jobs"
ROUTES = [
    Route(_PATH, _create, methods=["POST"]),
    Route(_PATH, _list, methods=["GET"]),
    Route(f"{_PATH}/{{job_id}}", _get, methods=["GET"]),
    Route(f"{_PATH}/{{job_id}}", _delete, methods=["DELETE"]),
    Route(f"{_PATH}/{{job_id}}/regions/{{region_id}}/result/{{region_type}}", _region, methods=["GET"]),
]
