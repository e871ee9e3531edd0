"""Chat over indexes: sessions, and a turn answered as server-sent events, one at a time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.prices import CHAT_TURN
from gateway.edges.demo.services.replies import body_of, json_body, not_found, parse_as, reply
from gateway.edges.demo.services.retrieval import require_index
from gateway.edges.demo.services.vendor import Record, Vendor, new_id, owner_of, vendor_of

_MAX_EVENTS = 200


class _Create(BaseModel):
    index_ids: list[str] | None = None
    shared_access: Literal["query", "read_only"] = "query"


class _Turn(BaseModel):
    index_ids: Annotated[list[str], Field(min_length=1)]
    prompt: Annotated[str, Field(min_length=1)]
    require_all_indexes: bool = False


def _summary(record: Record) -> dict[str, Any]:
    content = record.content
    return {
        "session_id": record.id,
        "shared_access": content["shared_access"],
        "index_ids": content["index_ids"],
        "generated_title": None,
        "last_updated_at": content["last_updated_at"].isoformat(),
    }


async def _create(request: Request) -> Response:
    vendor = vendor_of(request)
    wanted = parse_as(_Create, await json_body(request) or b"{}")
    now = vendor.now()
    content = {**wanted.model_dump(), "last_updated_at": now, "events": []}
    record = Record(new_id("cht"), owner_of(request), now, content)
    vendor.sessions.put(record)
    return reply(_summary(record))


def _own(request: Request) -> Record:
    session_id = request.path_params["session_id"]
    record = vendor_of(request).sessions.find(owner_of(request), session_id)
    if record is None:
        raise not_found("Session", session_id)
    return record


async def _list(request: Request) -> Response:
    return reply(page_of(request, vendor_of(request).sessions.of_project(owner_of(request)), _summary))


async def _get(request: Request) -> Response:
    record = _own(request)
    return reply(_summary(record) | {"events": record.content["events"]})


async def _get_summary(request: Request) -> Response:
    return reply(_summary(_own(request)))


async def _delete(request: Request) -> Response:
    vendor_of(request).sessions.remove(_own(request))
    return Response(status_code=204)


async def _stream(request: Request) -> Response:
    vendor, record = vendor_of(request), _own(request)
    turn = await body_of(request, _Turn)
    for index_id in turn.index_ids:
        require_index(request, index_id)
    vendor.record(record.owner, "chat_message_sent", CHAT_TURN, record.id)
    return StreamingResponse(
        _events(vendor, record, turn.prompt),
        media_type="text/event-stream",
        headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
    )


async def _events(vendor: Vendor, record: Record, prompt: str) -> AsyncIterator[bytes]:
    """The turn, event by event: each leaves before the next is made."""
    kept: list[dict[str, Any]] = record.content["events"]
    kept.append({"type": "user_input", "content": prompt})
    answer = f"You asked: {prompt} The handbook says so on page two."
    for word in answer.split(" "):
        usage = {"usage": {"words": 1}} if vendor.behaviour.metered_chat else {}
        yield _event({"type": "text_delta", "content": f"{word} "} | usage)
        await asyncio.sleep(vendor.behaviour.chunk_delay_seconds)
    stop = {"type": "stop", "is_error": False, "error": None, "usage": {"turns": 1, "duration_ms": 1.0}}
    kept += [{"type": "text", "content": answer}, stop]
    del kept[:-_MAX_EVENTS]
    record.content["last_updated_at"] = vendor.now()
    yield _event({"type": "text", "content": answer})
    yield _event(stop)


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


ROUTES = [
    Route("/api/v1/chat", _create, methods=["POST"]),
    Route("/api/v1/chat", _list, methods=["GET"]),
    Route("/api/v1/chat/{session_id}", _get, methods=["GET"]),
    Route("/api/v1/chat/{session_id}", _delete, methods=["DELETE"]),
    Route("/api/v1/chat/{session_id}/summary", _get_summary, methods=["GET"]),
    Route("/api/v1/chat/{session_id}/messages/stream", _stream, methods=["POST"]),
]
