"""Directories of files, which batches and indexes work through. Free of charge."""

from typing import Any, Final

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.documents import Document
from gateway.edges.demo.services.replies import body_of, not_found, reply
from gateway.edges.demo.services.shelf import Owner
from gateway.edges.demo.services.vendor import Record, Vendor, new_id, owner_of, vendor_of

_MAX_FILES: Final = 1_000


class _Create(BaseModel):
    name: str
    description: str | None = None
    type: str = "user"


class _Change(BaseModel):
    name: str | None = None
    description: str | None = None


class _Add(BaseModel):
    file_id: str
    display_name: str | None = None
    unique_id: str | None = None


def find_directory(vendor: Vendor, owner: Owner, directory_id: str) -> Record:
    """The account's directory, or 404."""
    record = vendor.directories.find(owner, directory_id)
    if record is None:
        raise not_found("Directory", directory_id)
    return record


def documents_of(vendor: Vendor, directory: Record) -> list[tuple[str, Document]]:
    """Its files that still exist, each with its id within the directory."""
    found = (
        (entry, vendor.documents.find(directory.owner, file)) for entry, file in directory.content["files"].items()
    )
    return [(entry, document) for entry, document in found if document is not None]


def _own(request: Request) -> Record:
    return find_directory(vendor_of(request), owner_of(request), request.path_params["directory_id"])


def _render(record: Record) -> dict[str, Any]:
    shown = {name: value for name, value in record.content.items() if name != "files"}
    return {"id": record.id, "project_id": record.owner.project_id, "created_at": record.created_at, **shown}


def _render_file(directory: Record, entry: str, document: Document) -> dict[str, Any]:
    return {
        "id": entry,
        "directory_id": directory.id,
        "project_id": directory.owner.project_id,
        "file_id": document.id,
        "display_name": document.name,
        "unique_id": document.external_file_id or document.id,
        "created_at": document.created_at,
    }


async def _create(request: Request) -> Response:
    vendor, wanted = vendor_of(request), await body_of(request, _Create)
    record = Record(new_id("dir"), owner_of(request), vendor.now(), {**wanted.model_dump(), "files": {}})
    vendor.directories.put(record)
    return reply(_render(record))


async def _list(request: Request) -> Response:
    return reply(page_of(request, vendor_of(request).directories.of_project(owner_of(request)), _render))


async def _get(request: Request) -> Response:
    return reply(_render(_own(request)))


async def _change(request: Request) -> Response:
    record = _own(request)
    record.content.update((await body_of(request, _Change)).model_dump(exclude_none=True))
    return reply(_render(record))


async def _delete(request: Request) -> Response:
    vendor_of(request).directories.remove(_own(request))
    return Response(status_code=204)


def _filed(directory: Record, document: Document) -> Response:
    entry, files = new_id("dfl"), directory.content["files"]
    if len(files) >= _MAX_FILES:
        files.pop(next(iter(files)))
    files[entry] = document.id
    return reply(_render_file(directory, entry, document))


async def _add(request: Request) -> Response:
    directory = _own(request)
    wanted = await body_of(request, _Add)
    return _filed(directory, vendor_of(request).document(owner_of(request), wanted.file_id))


async def _upload(request: Request) -> Response:
    directory, vendor = _own(request), vendor_of(request)
    _, document = await vendor.upload(request)
    vendor.documents.put(document)
    return _filed(directory, document)


async def _list_files(request: Request) -> Response:
    directory = _own(request)
    files = documents_of(vendor_of(request), directory)
    return reply(page_of(request, files, lambda file: _render_file(directory, *file)))


async def _get_file(request: Request) -> Response:
    directory, entry = _own(request), request.path_params["file_id"]
    for found, document in documents_of(vendor_of(request), directory):
        if found == entry:
            return reply(_render_file(directory, entry, document))
    raise not_found("Directory file", entry)


async def _delete_file(request: Request) -> Response:
    directory, entry = _own(request), request.path_params["file_id"]
    if directory.content["files"].pop(entry, None) is None:
        raise not_found("Directory file", entry)
    return Response(status_code=204)


_PATH: Final = "/api/v1/beta/directories"
_ONE: Final = f"{_PATH}/{{directory_id}}"
ROUTES = [
    Route(_PATH, _create, methods=["POST"]),
    Route(_PATH, _list, methods=["GET"]),
    Route(_ONE, _get, methods=["GET"]),
    Route(_ONE, _change, methods=["PATCH"]),
    Route(_ONE, _delete, methods=["DELETE"]),
    Route(f"{_ONE}/files", _add, methods=["POST"]),
    Route(f"{_ONE}/files", _list_files, methods=["GET"]),
    Route(f"{_ONE}/files/upload", _upload, methods=["POST"]),
    Route(f"{_ONE}/files/{{file_id}}", _get_file, methods=["GET"]),
    Route(f"{_ONE}/files/{{file_id}}", _delete_file, methods=["DELETE"]),
]
