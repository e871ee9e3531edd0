"""Split: pages into the caller's categories. States in lowercase, no credits in any reply; the older beta path too."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import Desk
from gateway.edges.demo.services.inputs import pages_of, resolve
from gateway.edges.demo.services.jobs import Job, State
from gateway.edges.demo.services.prices import SPLIT, per_page
from gateway.edges.demo.services.replies import body_of, invalid, reply
from gateway.edges.demo.services.vendor import new_id, owner_of, vendor_of

_WORDS: Final = {
    State.PENDING: "pending",
    State.RUNNING: "processing",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


class _Category(BaseModel):
    name: str
    description: str | None = None


class _Strategy(BaseModel):
    allow_uncategorized: Literal["include", "forbid", "omit"] = "include"
    custom_instructions: str | None = None
    min_pages_per_split: int = 1


class _Configuration(BaseModel):
    categories: list[_Category] = Field(min_length=1)
    parse_tier: Literal["fast", "cost_effective", "agentic", "agentic_plus"] = "fast"
    splitting_strategy: _Strategy = _Strategy()
    target_pages: str | None = None


class _DocumentInput(BaseModel):
    type: str
    value: str


class _Create(BaseModel):
    file_input: str | None = None
    document_input: _DocumentInput | None = None  # the beta route's
    configuration: _Configuration | None = None
    configuration_id: str | None = None
    transaction_id: str | None = None


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Create)
    file_input = wanted.document_input.value if wanted.document_input is not None else wanted.file_input
    if file_input is None:
        raise invalid(("body", "file_input"), "Field required", "missing")
    configuration = wanted.configuration
    if configuration is None:
        if wanted.configuration_id is None:
            raise invalid(("body", "configuration"), "Provide either configuration or configuration_id")
        try:
            configuration = _Configuration.model_validate(
                vendor.configuration(owner, wanted.configuration_id, "split_v1")
            )
        except ValidationError as fault:
            raise invalid(("body", "configuration_id"), "The saved configuration has no categories") from fault
    found = resolve(vendor, owner, file_input)
    pages = pages_of(found, configuration.target_pages, None, ("body", "configuration", "target_pages"))
    job = vendor.open_job(
        "split",
        new_id("spj"),
        found.document,
        owner=owner,
        pages=pages,
        charges={"split": per_page(SPLIT, pages)},
        mode=configuration.parse_tier,
        request={
            **configuration.model_dump(),
            "configuration_id": wanted.configuration_id,
            "document_input_type": found.kind,
            "document_input": {"type": found.kind, "value": file_input},
            "file_input": file_input,
            "transaction_id": wanted.transaction_id,
        },
    )
    return reply(_flat(job, job.created_at, frozenset()) | {"status": _WORDS[State.PENDING], "result": None})


def _flat(job: Job, now: datetime, _expand: frozenset[str]) -> dict[str, Any]:
    state = job.state(now)
    answer = {
        "id": job.id,
        "project_id": job.owner.project_id,
        "user_id": job.owner.account_id,
        "status": _WORDS[state],
        "created_at": job.created_at,
        "updated_at": job.ended_at(now) or now,
        "error_message": "The document could not be read" if state is State.FAILED else None,
        "result": {"segments": _segments(job)} if state is State.COMPLETED else None,
    }
    return answer | job.request


def _segments(job: Job) -> list[dict[str, Any]]:
    """The pages in as many even runs as there are categories."""
    names = [category["name"] for category in job.request["categories"]]
    size = -(-len(job.pages) // len(names))
    runs: list[Sequence[int]] = [job.pages[start : start + size] for start in range(0, len(job.pages), size)]
    return [
        {"category": name, "confidence_category": "high", "pages": list(run)}
        for name, run in zip(names, runs, strict=False)
    ]


DESK = Desk("split", flat=_flat, one=_flat, wording=lambda state: _WORDS[state])
ROUTES = [
    route
    for path in ("/api/v1/split/jobs", "/api/v1/beta/split/jobs")
    for route in (Route(path, _create, methods=["POST"]), *DESK.routes(path))
]
