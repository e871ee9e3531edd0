"""Index v2, the reading half: retrieval answers at once. Indexes are names only: nothing is embedded or searched.

The index `idx-demo` is everybody's, so that a first call needs no set-up. Exports and syncs are not billed here.
"""

from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.prices import RETRIEVAL
from gateway.edges.demo.services.replies import body_of, not_found, reply
from gateway.edges.demo.services.vendor import Record, new_id, owner_of, vendor_of

SHARED_INDEX = "idx-demo"
_TOP_K = 5


class _Create(BaseModel):
    source_directory_id: str
    name: str | None = None
    description: str | None = None


class _Retrieve(BaseModel):
    index_id: str
    query: Annotated[str, Field(min_length=1)]
    top_k: Annotated[int, Field(ge=1, le=100)] | None = None


class _Files(BaseModel):
    index_id: str
    file_id: str | None = None
    pattern: str | None = None
    file_name: str | None = None
    page_size: int | None = None
    page_token: str | None = None


def require_index(request: Request, index_id: str) -> None:
    """404 unless the index is the caller's own or the shared one."""
    if index_id != SHARED_INDEX and vendor_of(request).indexes.find(owner_of(request), index_id) is None:
        raise not_found("Index", index_id)


async def _retrieve(request: Request) -> Response:
    wanted = await body_of(request, _Retrieve)
    require_index(request, wanted.index_id)
    vendor_of(request).record(owner_of(request), "index_retrieve_query", RETRIEVAL, wanted.index_id)
    return reply(
        {
            "results": [
                {
                    "content": f"Passage {rank} that answers: {wanted.query}",
                    "metadata": {"file_name": "handbook.pdf"},
                    "score": round(0.99 - rank / 200, 3),
                    "rerank_score": None,
                    "static_fields": {"chunk_index": rank, "page_range_start": rank + 1, "page_range_end": rank + 1},
                }
                for rank in range(wanted.top_k or _TOP_K)
            ]
        }
    )


async def _find(request: Request) -> Response:
    wanted = await body_of(request, _Files)
    require_index(request, wanted.index_id)
    hit = {"file_id": "dfl-handbook", "file_name": wanted.file_name or "handbook.pdf"}
    return reply(page_of(wanted.model_dump(), [hit], dict))


async def _grep(request: Request) -> Response:
    wanted = await body_of(request, _Files)
    require_index(request, wanted.index_id)
    pattern = wanted.pattern or ""
    hit = {"content": f"… {pattern} …", "start_char": 2, "end_char": 2 + len(pattern)}
    return reply(page_of(wanted.model_dump(), [hit], dict))


async def _read(request: Request) -> Response:
    wanted = await body_of(request, _Files)
    require_index(request, wanted.index_id)
    return reply({"content": f"Made-up content of {wanted.file_id}"})


def _index(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "project_id": record.owner.project_id,
        "created_at": record.created_at,
        "sync_in_progress": False,
        **record.content,
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
    }
    record = Record(index_id, owner, vendor.now(), content)
    vendor.indexes.put(record)
    return reply(_index(record), 201)


async def _list(request: Request) -> Response:
    return reply(page_of(request, vendor_of(request).indexes.of_project(owner_of(request)), _index))


def _own(request: Request) -> Record:
    index_id = request.path_params["index_id"]
    record = vendor_of(request).indexes.find(owner_of(request), index_id)
    if record is None:
        raise not_found("Index", index_id)
    return record


async def _get(request: Request) -> Response:
    return reply(_index(_own(request)))


async def _delete(request: Request) -> Response:
    vendor_of(request).indexes.remove(_own(request))
    return Response(status_code=204)


async def _sync(request: Request) -> Response:
    return reply(_index(_own(request)), 202)


ROUTES = [
    Route("/api/v1/retrieval/retrieve", _retrieve, methods=["POST"]),
    Route("/api/v1/retrieval/files/find", _find, methods=["POST"]),
    Route("/api/v1/retrieval/files/grep", _grep, methods=["POST"]),
    Route("/api/v1/retrieval/files/read", _read, methods=["POST"]),
    Route("/api/v1/indexes", _create, methods=["POST"]),
    Route("/api/v1/indexes", _list, methods=["GET"]),
    Route("/api/v1/indexes/{index_id}", _get, methods=["GET"]),
    Route("/api/v1/indexes/{index_id}", _delete, methods=["DELETE"]),
    Route("/api/v1/indexes/{index_id}/sync", _sync, methods=["POST"]),
    Route("/api/v1/indexes/{index_id}/sync/cancel", _sync, methods=["POST"]),
]
