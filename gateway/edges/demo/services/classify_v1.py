"""Classify v1: one of the caller's types for each of many files, in one job, billed by its mode for every page."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.documents import Document
from gateway.edges.demo.services.jobs import V1_WORDS, Job, State
from gateway.edges.demo.services.prices import CLASSIFY, per_page
from gateway.edges.demo.services.replies import body_of, reply
from gateway.edges.demo.services.vendor import owner_of, vendor_of

_PRODUCT: Final = "classify_v1"


class _Rule(BaseModel):
    type: str
    description: str


class _Parsing(BaseModel):
    lang: str | None = None
    target_pages: list[NonNegativeInt] | None = None
    max_pages: PositiveInt | None = None


class _Create(BaseModel):
    file_ids: list[str] = Field(min_length=1, max_length=500)
    rules: list[_Rule] = Field(min_length=1)
    mode: Literal["FAST", "MULTIMODAL"] = "FAST"
    parsing_configuration: _Parsing | None = None


def _pages(document: Document, parsing: _Parsing) -> int:
    """How many of its pages are looked at; `target_pages` counts from 0."""
    pages = range(document.pages)
    chosen = pages if parsing.target_pages is None else set(parsing.target_pages) & set(pages)
    return len(chosen) if parsing.max_pages is None else min(len(chosen), parsing.max_pages)


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Create)
    documents = [vendor.document(owner, file_id) for file_id in wanted.file_ids]
    parsing = wanted.parsing_configuration or _Parsing()
    pages = range(1, sum(_pages(document, parsing) for document in documents) + 1)
    job = vendor.open_job(
        _PRODUCT,
        str(uuid.uuid4()),
        documents[0],
        owner=owner,
        pages=pages,
        charges={"parse": per_page(CLASSIFY[wanted.mode], pages)},
        mode=wanted.mode,
        request={"documents": documents, **wanted.model_dump(exclude={"file_ids"})},
    )
    return reply(_render(job, job.created_at))


def _render(job: Job, now: datetime) -> dict[str, Any]:
    state = job.state(now)
    return {
        "id": job.id,
        "project_id": job.owner.project_id,
        "user_id": job.owner.account_id,
        "status": V1_WORDS[state],
        "mode": job.mode,
        "rules": job.request["rules"],
        "parsing_configuration": job.request["parsing_configuration"],
        "error_message": "A document could not be read" if state is State.FAILED else None,
        "created_at": job.created_at,
        "updated_at": job.ended_at(now) or now,
    }


def _find(request: Request) -> tuple[Job, datetime]:
    vendor = vendor_of(request)
    return vendor.job(owner_of(request), _PRODUCT, request.path_params["job_id"]), vendor.now()


async def _get(request: Request) -> Response:
    return reply(_render(*_find(request)))


async def _list(request: Request) -> Response:
    vendor = vendor_of(request)
    now = vendor.now()
    jobs = (job for job in vendor.jobs.of_project(owner_of(request)) if job.product == _PRODUCT)
    return reply(page_of(request, jobs, lambda job: _render(job, now)))


async def _results(request: Request) -> Response:
    job, now = _find(request)
    documents: Sequence[Document] = job.request["documents"] if job.state(now) is State.COMPLETED else ()
    types = [rule["type"] for rule in job.request["rules"]]
    items = [
        {
            "id": f"{job.id}.{at}",
            "classify_job_id": job.id,
            "file_id": document.id,
            "result": {
                "type": next((kind for kind in types if kind.lower() in document.name.lower()), types[0]),
                "confidence": 0.93,
                "reasoning": f"{document.name} reads like it.",
            },
        }
        for at, document in enumerate(documents)
    ]
    return reply({"items": items, "next_page_token": None, "total_size": len(items)})


_PATH: Final = "/api/v1/classifier/jobs"
ROUTES = [
    Route(_PATH, _create, methods=["POST"]),
    Route(_PATH, _list, methods=["GET"]),
    Route(f"{_PATH}/{{job_id}}", _get, methods=["GET"]),
    Route(f"{_PATH}/{{job_id}}/results", _results, methods=["GET"]),
]
