"""Index v1: pipelines, and the ingestion jobs that fill them, billed by the page with its parse; queries and chat.

Each call that brings something in is one ingestion job. The pipeline's status names the latest, and is "in progress"
while any of them runs. Nothing is embedded or searched.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.documents import Document, Intake
from gateway.edges.demo.services.jobs import Job, State
from gateway.edges.demo.services.parse_v1 import mode_of
from gateway.edges.demo.services.prices import CHAT_TURN, INDEX_V1, RETRIEVAL
from gateway.edges.demo.services.replies import body_of, invalid, json_body, not_found, reply
from gateway.edges.demo.services.vendor import Record, Vendor, owner_of, vendor_of

_WORDS: Final = {
    State.PENDING: "IN_PROGRESS",
    State.RUNNING: "IN_PROGRESS",
    State.COMPLETED: "SUCCESS",
    State.FAILED: "ERROR",
    State.CANCELLED: "CANCELLED",
}
_RUNNING: Final = (State.PENDING, State.RUNNING)
_MAX_FILES: Final = 1_000
_MAX_JOBS: Final = 100
_EMBEDDING: Final = {"type": "MANAGED_OPENAI_EMBEDDING", "component": {"model_name": "openai-text-embedding-3-small"}}


class _Pipeline(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str
    llama_parse_parameters: dict[str, Any] | None = None


class _Changed(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str | None = None
    llama_parse_parameters: dict[str, Any] | None = None


class _File(BaseModel):
    file_id: str
    custom_metadata: dict[str, Any] | None = None


class _Text(BaseModel):
    text: str
    metadata: dict[str, Any] = Field(default_factory=dict)
    id: str | None = None


class _Query(BaseModel):
    query: Annotated[str, Field(min_length=1)]
    dense_similarity_top_k: Annotated[int, Field(ge=1, le=100)] | None = None


_FILES: Final = TypeAdapter(list[_File])
_TEXTS: Final = TypeAdapter(list[_Text])


def _price(parameters: dict[str, Any] | None) -> int:
    """Credits per page of a pipeline's parse."""
    fields = {name: str(value) for name, value in (parameters or {}).items() if value is not None}
    return mode_of(fields)[1]


def _render(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.content["name"],
        "project_id": record.owner.project_id,
        "pipeline_type": "MANAGED",
        "embedding_config": _EMBEDDING,
        "llama_parse_parameters": record.content["llama_parse_parameters"],
        "status": "CREATED",
        "created_at": record.created_at,
        "updated_at": record.created_at,
    }


def _own(request: Request) -> Record:
    pipeline_id = request.path_params["pipeline_id"]
    record = vendor_of(request).pipelines.find(owner_of(request), pipeline_id)
    if record is None:
        raise not_found("Pipeline", pipeline_id)
    return record


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Pipeline)
    _price(wanted.llama_parse_parameters)
    if request.method == "PUT":
        for record in vendor.pipelines.of_project(owner):
            if record.content["name"] == wanted.name:
                return reply(_changed(vendor, record, wanted.llama_parse_parameters))
    content: dict[str, Any] = {
        "name": wanted.name,
        "llama_parse_parameters": wanted.llama_parse_parameters,
        "files": {},
        "texts": {},
        "jobs": [],
    }
    record = Record(str(uuid.uuid4()), owner, vendor.now(), content)
    vendor.pipelines.put(record)
    return reply(_render(record))


async def _change(request: Request) -> Response:
    wanted = await body_of(request, _Changed)
    record = _own(request)
    if wanted.name is not None:
        record.content["name"] = wanted.name
    return reply(_changed(vendor_of(request), record, wanted.llama_parse_parameters))


def _changed(vendor: Vendor, record: Record, parameters: dict[str, Any] | None) -> dict[str, Any]:
    """Other parse parameters mean that everything is indexed once more."""
    if parameters is not None and parameters != record.content["llama_parse_parameters"]:
        record.content["llama_parse_parameters"] = parameters
        _sync_all(vendor, record)
    return _render(record)


async def _list(request: Request) -> Response:
    name = request.query_params.get("pipeline_name")
    found = vendor_of(request).pipelines.of_project(owner_of(request))
    return reply([_render(record) for record in found if name is None or record.content["name"] == name])


async def _get(request: Request) -> Response:
    return reply(_render(_own(request)))


async def _delete(request: Request) -> Response:
    vendor_of(request).pipelines.remove(_own(request))
    return Response(status_code=204)


# Filling


def _ingest(vendor: Vendor, record: Record, documents: list[Document], *, parsed: bool) -> None:
    """One ingestion job over these documents; none where there is nothing to do."""
    pages = range(1, sum(document.pages for document in documents) + 1)
    if not pages:
        return
    charges = {"index": [INDEX_V1] * len(pages)}
    if parsed:
        charges["parse"] = [_price(record.content["llama_parse_parameters"])] * len(pages)
    job = vendor.open_job(
        "ingestion",
        str(uuid.uuid4()),
        documents[0],
        owner=record.owner,
        pages=pages,
        charges=charges,
        mode="managed",
        request={},
    )
    jobs: list[Job] = record.content["jobs"]
    jobs.append(job)
    del jobs[:-_MAX_JOBS]


def _sync_all(vendor: Vendor, record: Record) -> None:
    documents = [vendor.documents.find(record.owner, file_id) for file_id in record.content["files"]]
    _ingest(vendor, record, [document for document in documents if document is not None], parsed=True)


async def _items(request: Request, items: TypeAdapter[Any]) -> Any:
    try:
        return items.validate_json(await json_body(request))
    except ValidationError as fault:
        raise invalid(("body",), "Input should be a valid list") from fault


def _render_file(vendor: Vendor, record: Record, file_id: str) -> dict[str, Any]:
    document = vendor.documents.find(record.owner, file_id)
    return {
        "id": record.content["files"][file_id],
        "file_id": file_id,
        "pipeline_id": record.id,
        "project_id": record.owner.project_id,
        "name": document.name if document else None,
        "status": _status(record, vendor.now())["status"],
        "indexed_page_count": document.pages if document else None,
        "created_at": record.created_at,
        "updated_at": record.created_at,
    }


async def _add_files(request: Request) -> Response:
    record, vendor = _own(request), vendor_of(request)
    wanted: list[_File] = await _items(request, _FILES)
    documents = [vendor.document(record.owner, file.file_id) for file in wanted]
    files: dict[str, str] = record.content["files"]
    for document in documents:
        if len(files) < _MAX_FILES:
            files.setdefault(document.id, str(uuid.uuid4()))
    _ingest(vendor, record, documents, parsed=True)
    return reply([_render_file(vendor, record, document.id) for document in documents if document.id in files])


async def _list_files(request: Request) -> Response:
    record, vendor = _own(request), vendor_of(request)
    files = [_render_file(vendor, record, file_id) for file_id in record.content["files"]]
    return reply({"files": files, "limit": len(files), "offset": 0, "total_count": len(files)})


def _file_of(request: Request) -> tuple[Record, str]:
    record, file_id = _own(request), request.path_params["file_id"]
    if file_id not in record.content["files"]:
        raise not_found("Pipeline file", file_id)
    return record, file_id


async def _file_status(request: Request) -> Response:
    record, _ = _file_of(request)
    return reply(_status(record, vendor_of(request).now()))


async def _delete_file(request: Request) -> Response:
    record, file_id = _file_of(request)
    del record.content["files"][file_id]
    return Response(status_code=204)


async def _put_texts(request: Request) -> Response:
    record, vendor = _own(request), vendor_of(request)
    wanted: list[_Text] = await _items(request, _TEXTS)
    texts: dict[str, _Text] = record.content["texts"]
    documents = []
    for text in wanted:
        text_id = text.id or str(uuid.uuid4())
        if len(texts) < _MAX_FILES:
            texts[text_id] = text.model_copy(update={"id": text_id})
        intake = Intake(f"{text_id}.txt")
        intake.feed(text.text.encode())
        documents.append(await vendor.take_in(intake, record.owner))
    _ingest(vendor, record, documents, parsed=False)
    return reply([text.model_dump() for text in list(texts.values())[-len(wanted) :]])


async def _list_texts(request: Request) -> Response:
    return reply([text.model_dump() for text in _own(request).content["texts"].values()])


async def _sync(request: Request) -> Response:
    record = _own(request)
    _sync_all(vendor_of(request), record)
    return reply(_render(record))


async def _cancel(request: Request) -> Response:
    record, now = _own(request), vendor_of(request).now()
    for job in record.content["jobs"]:
        if job.state(now) in _RUNNING:
            job.cancelled_at = now
    return reply(_render(record))


def _status(record: Record, now: datetime) -> dict[str, Any]:
    jobs: list[Job] = record.content["jobs"]
    if not jobs:
        return {"status": "NOT_STARTED", "job_id": None}
    running = any(job.state(now) in _RUNNING for job in jobs)
    return {
        "status": "IN_PROGRESS" if running else _WORDS[jobs[-1].state(now)],
        "job_id": jobs[-1].id,
        "deployment_date": jobs[-1].created_at,
        "effective_at": jobs[-1].ended_at(now),
        "error": None,
    }


async def _get_status(request: Request) -> Response:
    return reply(_status(_own(request), vendor_of(request).now()))


# Asking


async def _retrieve(request: Request) -> Response:
    record, wanted = _own(request), await body_of(request, _Query)
    vendor_of(request).record(record.owner, "index_retrieve_query", RETRIEVAL, record.id)
    nodes = [
        {
            "node": {"id_": f"node-{rank}", "text": f"Passage {rank} that answers: {wanted.query}", "metadata": {}},
            "score": round(0.99 - rank / 200, 3),
        }
        for rank in range(wanted.dense_similarity_top_k or 3)
    ]
    return reply({"pipeline_id": record.id, "retrieval_nodes": nodes, "image_nodes": [], "metadata": {}})


async def _chat(request: Request) -> Response:
    record, vendor = _own(request), vendor_of(request)
    await json_body(request)
    vendor.record(record.owner, "chat_message_sent", CHAT_TURN, record.id)
    return StreamingResponse(_words(vendor), media_type="text/event-stream", headers={"cache-control": "no-cache"})


async def _words(vendor: Vendor) -> AsyncIterator[bytes]:
    for word in ("The", "handbook", "says", "so", "on", "page", "two."):
        yield b"data: " + orjson.dumps({"type": "text_delta", "content": f"{word} "}) + b"\n\n"
        await asyncio.sleep(vendor.behaviour.chunk_delay_seconds)


async def _paginated(request: Request) -> Response:
    return reply(page_of(request, vendor_of(request).pipelines.of_project(owner_of(request)), _render))


_PATH: Final = "/api/v1/pipelines"
_ONE: Final = f"{_PATH}/{{pipeline_id}}"
ROUTES = [
    Route(_PATH, _create, methods=["POST", "PUT"]),
    Route(_PATH, _list, methods=["GET"]),
    Route("/api/v2/pipelines", _paginated, methods=["GET"]),
    Route(_ONE, _get, methods=["GET"]),
    Route(_ONE, _change, methods=["PUT"]),
    Route(_ONE, _delete, methods=["DELETE"]),
    Route(f"{_ONE}/status", _get_status, methods=["GET"]),
    Route(f"{_ONE}/files", _add_files, methods=["PUT"]),
    Route(f"{_ONE}/files2", _list_files, methods=["GET"]),
    Route(f"{_ONE}/files/{{file_id}}/status", _file_status, methods=["GET"]),
    Route(f"{_ONE}/files/{{file_id}}", _delete_file, methods=["DELETE"]),
    Route(f"{_ONE}/documents", _put_texts, methods=["POST", "PUT"]),
    Route(f"{_ONE}/documents", _list_texts, methods=["GET"]),
    Route(f"{_ONE}/sync", _sync, methods=["POST"]),
    Route(f"{_ONE}/sync/cancel", _cancel, methods=["POST"]),
    Route(f"{_ONE}/retrieve", _retrieve, methods=["POST"]),
    Route(f"{_ONE}/chat", _chat, methods=["POST"]),
]
