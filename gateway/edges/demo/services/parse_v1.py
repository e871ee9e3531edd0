"""Parse v1 and the still older paths without a version: a flat form in, other states, no credits in any reply.

Its credit fields are there and 0, as upstream's are: pages in the JSON result are what a bill can be made from.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.jobs import V1_WORDS, Job, State
from gateway.edges.demo.services.pages import BadRange, selected
from gateway.edges.demo.services.prices import (
    AUTO_MODE_PAGE,
    LAYOUT,
    PARSE,
    PARSE_V1,
    PARSE_V1_DEFAULT,
    PARSE_V1_MODELS,
    PARSE_V1_PRESETS,
    STRUCTURED,
)
from gateway.edges.demo.services.replies import Refused, invalid, reply
from gateway.edges.demo.services.uploads import read_form
from gateway.edges.demo.services.vendor import owner_of, vendor_of

_PRODUCT: Final = "parse_v1"
_ADD_ONS: Final = {"extract_layout": LAYOUT, "structured_output": STRUCTURED}


def _is_on(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in {"true", "1", "yes", "on"}


def mode_of(fields: Mapping[str, str]) -> tuple[str, int]:
    """Name and credits per page of the mode that a form asks for; 422 for one that does not exist.

    A preset overrides everything else. Auto mode is priced page by page: see `_upload`.
    """
    for field, known in (("preset", PARSE_V1_PRESETS), ("tier", PARSE), ("parse_mode", PARSE_V1)):
        if value := fields.get(field):
            if value not in known:
                raise invalid(("body", field), f"Unknown {field}: {value}", "enum")
            return value, _by_model(value, fields.get("model"), known[value])
    for flag in ("premium_mode", "fast_mode"):
        if _is_on(fields, flag):
            return flag, PARSE_V1[flag]
    return "default", PARSE_V1_DEFAULT


def _by_model(mode: str, model: str | None, price: int) -> int:
    if not model or mode not in PARSE_V1_MODELS:
        return price
    if model not in PARSE_V1_MODELS[mode]:
        raise invalid(("body", "model"), f"Unknown model: {model}", "enum")
    return PARSE_V1_MODELS[mode][model]


def _pages(fields: Mapping[str, str], total: int) -> Sequence[int]:
    """The pages to parse. In v1, `target_pages` counts from 0."""
    max_pages = fields.get("max_pages") or None
    if max_pages is not None and not (max_pages.isascii() and max_pages.isdigit()):
        raise invalid(("body", "max_pages"), "Input should be a valid integer", "int_parsing")
    try:
        # 0 has always meant no limit here.
        return selected(total, fields.get("target_pages"), int(max_pages or 0) or None, first=0)
    except BadRange as fault:
        raise invalid(("body", "target_pages"), str(fault)) from fault


async def _upload(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    form = await read_form(request)
    url = form.fields.get("input_url")
    if form.intake is not None:
        document = await vendor.take_in(form.intake, owner)
    elif url:
        document = vendor.linked_document(owner, url)
    else:
        raise invalid(("body", "file"), "Field required", "missing")
    mode, price = mode_of(form.fields)
    pages = _pages(form.fields, document.pages)
    extra = sum(more for flag, more in _ADD_ONS.items() if _is_on(form.fields, flag))
    prices = [price + extra for _ in pages]
    if _is_on(form.fields, "auto_mode"):
        # The rules pick the first page: nobody can know that beforehand.
        mode, prices[:1] = "auto_mode", [AUTO_MODE_PAGE + extra][: len(prices)]
    job = vendor.open_job(
        _PRODUCT,
        str(uuid.uuid4()),
        document,
        owner=owner,
        pages=pages,
        charges={"parse": prices},
        mode=mode,
        request={},
    )
    return reply({"id": job.id, "status": "PENDING"})


def _find(request: Request) -> tuple[Job, datetime]:
    vendor = vendor_of(request)
    return vendor.job(owner_of(request), _PRODUCT, request.path_params["job_id"]), vendor.now()


async def _get(request: Request) -> Response:
    job, now = _find(request)
    state = job.state(now)
    answer: dict[str, Any] = {"id": job.id, "status": V1_WORDS[state]}
    if state is State.FAILED:
        answer |= {"error_code": "PARSE_FAILED", "error_message": "The document could not be parsed"}
    return reply(answer)


async def _cancel(request: Request) -> Response:
    job, now = _find(request)
    if job.ended_at(now) is not None:
        raise Refused(400, f"Job {job.id} has ended and cannot be cancelled")
    job.cancelled_at = now
    return reply({"id": job.id, "status": V1_WORDS[State.CANCELLED]})


async def _parameters(request: Request) -> Response:
    job, _ = _find(request)
    return reply({"mode": job.mode})


async def _extensions(_request: Request) -> Response:
    return reply([".pdf", ".docx", ".pptx", ".xlsx", ".txt", ".md", ".html", ".png", ".jpg", ".mp3"])


async def _details(request: Request) -> Response:
    job, now = _find(request)
    return reply({"id": job.id, "status": V1_WORDS[job.state(now)], "parameters": {"mode": job.mode}, "error": []})


def _page(job: Job, page: int) -> dict[str, Any]:
    text = job.document.text_of(page)
    return {
        "page": page,
        "text": text,
        "md": f"# {job.document.name}, page {page}\n\n{text}",
        "images": [],
        "charts": [],
        "items": [{"type": "text", "value": text, "md": text}],
        "status": "OK",
        "links": [],
        "width": 612.0,
        "height": 792.0,
        "triggeredAutoMode": False,
        "structuredData": None,
        "noStructuredContent": False,
        "noTextContent": False,
    }


_RESULTS: Final[dict[str, Callable[[list[dict[str, Any]]], dict[str, Any]]]] = {
    "json": lambda pages: {"pages": pages},
    "markdown": lambda pages: {"markdown": "\n---\n".join(page["md"] for page in pages)},
    "text": lambda pages: {"text": "\n---\n".join(page["text"] for page in pages)},
}


async def _result(request: Request) -> Response:
    job, now = _find(request)
    kind = request.path_params["kind"]
    if kind not in _RESULTS:
        raise Refused(404, f"No result of type {kind}")
    if job.state(now) not in (State.COMPLETED, State.CANCELLED):
        raise Refused(404, "Result not found: the job has not completed")
    pages = job.delivered(now)
    metadata = {
        "job_pages": len(pages),
        "job_auto_mode_triggered_pages": 0,
        "job_is_cache_hit": False,
        "job_credits_usage": 0,
        "credits_used": 0,
        "credits_max": 0,
    }
    return reply(_RESULTS[kind]([_page(job, page) for page in pages]) | {"job_metadata": metadata})


async def _read(request: Request) -> Response:
    job, _ = _find(request)
    url = f"https://storage.invalid/{job.id}/{request.path_params['file_name']}"
    return reply({"url": url, "expires_at": vendor_of(request).now(), "form_fields": None})


ROUTES = [
    route
    for path in ("/api/v1/parsing", "/api/parsing")
    for route in (
        Route(f"{path}/upload", _upload, methods=["POST"]),
        Route(f"{path}/job/{{job_id}}", _get, methods=["GET"]),
        Route(f"{path}/job/{{job_id}}/cancel", _cancel, methods=["POST"]),
        Route(f"{path}/job/{{job_id}}/details", _details, methods=["GET"]),
        Route(f"{path}/job/{{job_id}}/parameters", _parameters, methods=["GET"]),
        Route(f"{path}/supported_file_extensions", _extensions, methods=["GET"]),
        Route(f"{path}/job/{{job_id}}/result/{{kind}}", _result, methods=["GET"]),
        Route(f"{path}/job/{{job_id}}/read/{{file_name}}", _read, methods=["GET"]),
    )
]
