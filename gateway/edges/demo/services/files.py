"""Files: upload, list, look, delete. Free of charge. Content is not given back: little of it is kept."""

from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.documents import Document
from gateway.edges.demo.services.replies import body_of, invalid, reply
from gateway.edges.demo.services.vendor import owner_of, vendor_of

_PURPOSES = frozenset({"user_data", "parse", "extract", "split", "classify", "sheet", "agent_app"})


class _Filter(BaseModel):
    external_file_id: str | None = None
    file_ids: list[str] | None = None
    file_name: str | None = None


class _Query(BaseModel):
    filter: _Filter | None = None
    page_size: int | None = None
    page_token: str | None = None


def _render(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "name": document.name,
        "project_id": document.owner.project_id,
        "external_file_id": document.external_file_id,
        "file_type": document.name.rpartition(".")[2].lower() or None,
        "last_modified_at": document.created_at,
        "expires_at": None,
        "purpose": document.purpose,
        "download_url": None,
    }


async def _create(request: Request) -> Response:
    vendor = vendor_of(request)
    form, document = await vendor.upload(request)
    purpose = form.fields.get("purpose")
    if purpose not in _PURPOSES:
        raise invalid(("body", "purpose"), "Field required" if purpose is None else "Not a purpose", "value_error")
    filed = document.filed_as(purpose=purpose, external_file_id=form.fields.get("external_file_id"))
    vendor.documents.put(filed)
    return reply(_render(filed))


async def _create_v1(request: Request) -> Response:
    """The older route: one field `upload_file`, no purpose."""
    vendor = vendor_of(request)
    _, document = await vendor.upload(request)
    vendor.documents.put(document)
    return reply(_render(document))


async def _list(request: Request) -> Response:
    params = request.query_params
    wanted = _Filter(
        external_file_id=params.get("external_file_id"),
        file_ids=params.getlist("file_ids") or None,
        file_name=params.get("file_name"),
    )
    return reply(page_of(request, _matching(request, wanted), _render))


async def _query(request: Request) -> Response:
    query = await body_of(request, _Query)
    return reply(page_of(query.model_dump(), _matching(request, query.filter or _Filter()), _render))


def _matching(request: Request, wanted: _Filter) -> list[Document]:
    return [
        document
        for document in vendor_of(request).documents.of_project(owner_of(request))
        if (wanted.external_file_id is None or document.external_file_id == wanted.external_file_id)
        and (wanted.file_ids is None or document.id in wanted.file_ids)
        and (wanted.file_name is None or document.name == wanted.file_name)
    ]


async def _get(request: Request) -> Response:
    return reply(_render(vendor_of(request).document(owner_of(request), request.path_params["file_id"])))


async def _delete(request: Request) -> Response:
    vendor = vendor_of(request)
    vendor.documents.remove(vendor.document(owner_of(request), request.path_params["file_id"]))
    return Response(status_code=204)


ROUTES = [
    Route("/api/v1/beta/files", _create, methods=["POST"]),
    Route("/api/v1/beta/files", _list, methods=["GET"]),
    Route("/api/v1/beta/files/query", _query, methods=["POST"]),
    Route("/api/v1/beta/files/{file_id}", _get, methods=["GET"]),
    Route("/api/v1/beta/files/{file_id}", _delete, methods=["DELETE"]),
    Route("/api/v1/files", _create_v1, methods=["POST"]),
    Route("/api/v1/files/{file_id}", _get, methods=["GET"]),
    Route("/api/v1/files/{file_id}", _delete, methods=["DELETE"]),
]
