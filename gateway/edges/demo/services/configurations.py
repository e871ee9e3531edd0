"""Saved configurations, which hide a call's tier behind an id; and the caller's project. Free of charge."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.replies import body_of, not_found, reply
from gateway.edges.demo.services.vendor import Record, new_id, owner_of, vendor_of


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="allow")

    product_type: Literal["parse_v2", "extract_v2", "classify_v2", "split_v1", "spreadsheet_v1", "unknown"]


class _Create(BaseModel):
    name: str
    parameters: _Parameters


class _Update(BaseModel):
    name: str | None = None
    parameters: _Parameters | None = None


def _render(record: Record) -> dict[str, Any]:
    content = record.content
    return {
        "id": record.id,
        "name": content["name"],
        "product_type": content["parameters"]["product_type"],
        "parameters": content["parameters"],
        "version": "1",
        "created_at": record.created_at,
        "updated_at": record.created_at,
    }


async def _create(request: Request) -> Response:
    vendor = vendor_of(request)
    wanted = await body_of(request, _Create)
    record = Record(new_id("cfg"), owner_of(request), vendor.now(), wanted.model_dump())
    vendor.configurations.put(record)
    return reply(_render(record))


def _own(request: Request) -> Record:
    configuration_id = request.path_params["configuration_id"]
    record = vendor_of(request).configurations.find(owner_of(request), configuration_id)
    if record is None:
        raise not_found("Configuration", configuration_id)
    return record


async def _list(request: Request) -> Response:
    product_type = request.query_params.get("product_type")
    wanted = (
        record
        for record in vendor_of(request).configurations.of_project(owner_of(request))
        if product_type is None or record.content["parameters"]["product_type"] == product_type
    )
    return reply(page_of(request, wanted, _render))


async def _get(request: Request) -> Response:
    return reply(_render(_own(request)))


async def _update(request: Request) -> Response:
    record = _own(request)
    record.content.update((await body_of(request, _Update)).model_dump(exclude_none=True))
    return reply(_render(record))


async def _delete(request: Request) -> Response:
    vendor_of(request).configurations.remove(_own(request))
    return Response(status_code=204)


def _project(request: Request) -> dict[str, Any]:
    owner = owner_of(request)
    return {"id": owner.project_id, "name": "Default", "organization_id": owner.account_id, "is_default": True}


async def _projects(request: Request) -> Response:
    return reply([_project(request)])


async def _get_project(request: Request) -> Response:
    if request.path_params["project_id"] != owner_of(request).project_id:
        raise not_found("Project", request.path_params["project_id"])
    return reply(_project(request))


_PATH = "/api/v1/beta/configurations"
ROUTES = [
    Route(_PATH, _create, methods=["POST"]),
    Route(_PATH, _list, methods=["GET"]),
    Route(f"{_PATH}/{{configuration_id}}", _get, methods=["GET"]),
    Route(f"{_PATH}/{{configuration_id}}", _update, methods=["PUT"]),
    Route(f"{_PATH}/{{configuration_id}}", _delete, methods=["DELETE"]),
    Route("/api/v1/projects", _projects, methods=["GET"]),
    Route("/api/v1/projects/{project_id}", _get_project, methods=["GET"]),
]
