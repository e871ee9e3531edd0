"""Index v2, the reading half: retrieval answers at once. Nothing is embedded or searched.

The index `idx-demo` is everybody's, so that a first call needs no set-up.
"""

from typing import Annotated

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.prices import RETRIEVAL
from gateway.edges.demo.services.replies import body_of, not_found, reply
from gateway.edges.demo.services.vendor import owner_of, vendor_of

SHARED_INDEX = "idx-demo"
_TOP_K = 5


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


ROUTES = [
    Route("/api/v1/retrieval/retrieve", _retrieve, methods=["POST"]),
    Route("/api/v1/retrieval/files/find", _find, methods=["POST"]),
    Route("/api/v1/retrieval/files/grep", _grep, methods=["POST"]),
    Route("/api/v1/retrieval/files/read", _read, methods=["POST"]),
]
