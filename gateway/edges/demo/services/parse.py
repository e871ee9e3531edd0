"""Parse v2: jobs from an upload, a file or a URL, by tier. The reply to a poll nests the job, as upstream's does."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, PositiveInt, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import Desk
from gateway.edges.demo.services.documents import Document
from gateway.edges.demo.services.inputs import Input, pages_of
from gateway.edges.demo.services.jobs import Job, State, wire_credits
from gateway.edges.demo.services.prices import parse_pages
from gateway.edges.demo.services.replies import invalid, json_body, parse_as, reply
from gateway.edges.demo.services.shelf import Owner
from gateway.edges.demo.services.vendor import Vendor, new_id, owner_of, vendor_of

Tier = Literal["fast", "cost_effective", "agentic", "agentic_plus"]
_LATEST: Final = {
    "fast": "2026-06-15",
    "cost_effective": "2026-09-28",
    "agentic": "2026-10-16",
    "agentic_plus": "2026-09-28",
}
_CACHE_LIFE: Final = timedelta(hours=48)


class _PageRanges(BaseModel):
    target_pages: str | None = None
    max_pages: PositiveInt | None = None


class _CostOptimizer(BaseModel):
    enable: bool = False


class _ProcessingOptions(BaseModel):
    cost_optimizer: _CostOptimizer | None = None
    confidence_score_effort: Literal["high"] | None = None


class Parameters(BaseModel):
    """What a saved configuration may hold as well."""

    tier: Tier
    version: str = "latest"
    page_ranges: _PageRanges = _PageRanges()
    processing_options: _ProcessingOptions = _ProcessingOptions()
    disable_cache: bool | None = None


class Wanted(BaseModel):
    """The fields of a call that are not the configuration's."""

    configuration_id: str | None = None
    file_id: str | None = None
    source_url: str | None = None
    user_metadata: dict[str, str] | None = None


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    body = await json_body(request)
    wanted = parse_as(Wanted, body)
    parameters = _parameters(vendor, owner, wanted, body, ("body",))
    if (wanted.file_id is None) == (wanted.source_url is None):
        raise invalid(("body", "file_id"), "Provide either file_id or source_url")
    if wanted.file_id is not None:
        document = vendor.document(owner, wanted.file_id)
    else:
        document = vendor.linked_document(owner, wanted.source_url or "")
    return _opened(start(vendor, owner, document, wanted, parameters))


async def _upload(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    form, document = await vendor.upload(request)
    configuration = form.fields.get("configuration")
    if configuration is None:
        raise invalid(("body", "configuration"), "Field required", "missing")
    loc = ("body", "configuration")
    wanted = parse_as(Wanted, configuration, loc=loc)
    parameters = _parameters(vendor, owner, wanted, configuration, loc)
    vendor.documents.put(document)
    return _opened(start(vendor, owner, document, wanted, parameters))


def _opened(job: Job) -> Response:
    return reply(_flat(job, job.created_at, frozenset()) | {"status": State.PENDING})


def _parameters(vendor: Vendor, owner: Owner, wanted: Wanted, body: bytes | str, loc: Sequence[str]) -> Parameters:
    """The call's own parameters, or those saved under its configuration id."""
    if wanted.configuration_id is None:
        return parse_as(Parameters, body, loc=loc)
    return saved_parameters(vendor, owner, wanted.configuration_id, (*loc, "configuration_id"))


def saved_parameters(vendor: Vendor, owner: Owner, configuration_id: str, loc: Sequence[str]) -> Parameters:
    """The parameters saved under an id."""
    saved = vendor.configuration(owner, configuration_id, "parse_v2")
    try:
        return Parameters.model_validate(saved)
    except ValidationError as fault:
        raise invalid(loc, "The saved configuration has no tier") from fault


def start(vendor: Vendor, owner: Owner, document: Document, wanted: Wanted, parameters: Parameters) -> Job:
    """Start a parse job on a document."""
    options = parameters.processing_options
    ranges = parameters.page_ranges
    pages = pages_of(Input(document), ranges.target_pages, ranges.max_pages, ("body", "page_ranges", "target_pages"))
    prices: Sequence[int] = parse_pages(
        parameters.tier,
        pages,
        optimized=options.cost_optimizer is not None and options.cost_optimizer.enable,
        high_confidence=options.confidence_score_effort == "high",
    )
    fingerprint = f"{document.fingerprint} {parameters.model_dump_json(exclude={'disable_cache'})}"
    if vendor.behaviour.parse_cache and not parameters.disable_cache and _cached(vendor, owner, fingerprint):
        prices = (0,) * len(prices)
    return vendor.open_job(
        "parse",
        new_id("pjb"),
        document,
        owner=owner,
        pages=pages,
        charges={"parse": prices},
        mode=parameters.tier,
        request={"user_metadata": wanted.user_metadata, "fingerprint": fingerprint},
    )


def _cached(vendor: Vendor, owner: Owner, fingerprint: str) -> bool:
    now = vendor.now()
    return any(
        job.product == "parse"
        and job.request.get("fingerprint") == fingerprint
        and job.state(now) is State.COMPLETED
        and now - job.created_at < _CACHE_LIFE
        for job in vendor.jobs.of_project(owner)
    )


def _flat(job: Job, now: datetime, expand: frozenset[str]) -> dict[str, Any]:
    usage = None
    if "usage" in expand:
        bill = job.bill(now)
        usage = {"credits": wire_credits(None if bill is None else bill["parse"])}
    state = job.state(now)
    return {
        "id": job.id,
        "project_id": job.owner.project_id,
        "status": state,
        "created_at": job.created_at,
        "updated_at": job.ended_at(now) or now,
        "name": job.document.name,
        "tier": job.mode,
        "user_metadata": job.request.get("user_metadata"),
        "error_message": "The document could not be parsed" if state is State.FAILED else None,
        "usage": usage,
    }


def _nested(job: Job, now: datetime, expand: frozenset[str]) -> dict[str, Any]:
    answer: dict[str, Any] = {"job": _flat(job, now, expand)}
    pages = job.delivered(now)
    if job.ended_at(now) is not None:
        answer |= {name: result(job, pages) for name, result in _RESULTS.items() if name in expand}
    return answer


def _markdown(job: Job, page: int) -> str:
    return f"# {job.document.name}, page {page}\n\n{job.document.text_of(page)}"


_RESULTS: Final[dict[str, Callable[[Job, Sequence[int]], Any]]] = {
    "markdown": lambda job, pages: {
        "pages": [{"page_number": page, "markdown": _markdown(job, page), "success": True} for page in pages]
    },
    "markdown_full": lambda job, pages: "\n\n".join(_markdown(job, page) for page in pages),
    "text": lambda job, pages: {"pages": [{"page_number": page, "text": job.document.text_of(page)} for page in pages]},
    "text_full": lambda job, pages: "\n".join(job.document.text_of(page) for page in pages),
    "items": lambda job, pages: {
        "pages": [
            {
                "page_number": page,
                "page_width": 612.0,
                "page_height": 792.0,
                "success": True,
                "items": [{"type": "text", "md": _markdown(job, page), "value": job.document.text_of(page)}],
            }
            for page in pages
        ]
    },
    "metadata": lambda _job, pages: {"pages": [{"page_number": page, "confidence": 0.98} for page in pages]},
    "job_metadata": lambda job, pages: {"tier": job.mode, "pages": len(pages), "file_name": job.document.name},
}


async def _versions(_request: Request) -> Response:
    return reply({tier: [version] for tier, version in _LATEST.items()} | {"latest": _LATEST})


DESK = Desk("parse", flat=_flat, one=_nested)
ROUTES = [
    Route("/api/v2/parse", _create, methods=["POST"]),
    Route("/api/v2/parse/upload", _upload, methods=["POST"]),
    Route("/api/v2/parse/versions", _versions, methods=["GET"]),
    *DESK.routes("/api/v2/parse"),
]
