"""Extract v1: agents that keep a schema and a mode, jobs they run on a file or on many, and a run for each job.

The mode stands in the agent unless the call overrides it. The page's parse is in the price.
"""

import base64
import binascii
import json
import uuid
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.documents import Document, Intake
from gateway.edges.demo.services.inputs import Input, pages_of
from gateway.edges.demo.services.jobs import V1_WORDS, Job, State
from gateway.edges.demo.services.made_up import value_of
from gateway.edges.demo.services.prices import EXTRACT_V1, per_page
from gateway.edges.demo.services.replies import body_of, invalid, not_found, reply
from gateway.edges.demo.services.shelf import Owner
from gateway.edges.demo.services.vendor import Record, Vendor, owner_of, vendor_of

_PRODUCT: Final = "extract_v1"
_MAX_FILES: Final = 100


class _Config(BaseModel):
    model_config = ConfigDict(extra="allow")

    extraction_mode: Literal["FAST", "BALANCED", "MULTIMODAL", "PREMIUM"] | None = None
    page_range: str | None = None


class _Agent(BaseModel):
    name: str
    data_schema: dict[str, Any] | str
    config: _Config = _Config()


class _ChangedAgent(BaseModel):
    data_schema: dict[str, Any]
    config: _Config


class _Create(BaseModel):
    extraction_agent_id: str
    file_id: str
    config_override: _Config | None = None
    data_schema_override: dict[str, Any] | None = None


class _CreateBatch(BaseModel):
    extraction_agent_id: str
    file_ids: list[str] = Field(min_length=1, max_length=_MAX_FILES)
    config_override: _Config | None = None
    data_schema_override: dict[str, Any] | None = None


class _FileData(BaseModel):
    data: str
    mime_type: str = "application/pdf"


class _Run(BaseModel):
    config: _Config
    data_schema: dict[str, Any] | str
    file_id: str | None = None
    file: _FileData | None = None
    text: str | None = None


class _Schema(BaseModel):
    data_schema: dict[str, Any]


def _schema(schema: dict[str, Any] | str) -> dict[str, Any]:
    """Schemas also come as JSON in a text."""
    found = schema
    if isinstance(schema, str):
        try:
            found = json.loads(schema)
        except ValueError as fault:
            raise invalid(("body", "data_schema"), "The schema is no JSON") from fault
    if not isinstance(found, dict):
        raise invalid(("body", "data_schema"), "The schema is no JSON object")
    return found


# Agents


def _render_agent(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "project_id": record.owner.project_id,
        "created_at": record.created_at,
        "updated_at": record.created_at,
        **record.content,
    }


def _new_agent(vendor: Vendor, owner: Owner, name: str, schema: dict[str, Any], config: _Config) -> Record:
    content = {"name": name, "data_schema": schema, "config": config.model_dump(exclude_none=True)}
    record = Record(str(uuid.uuid4()), owner, vendor.now(), content)
    vendor.agents.put(record)
    return record


async def _create_agent(request: Request) -> Response:
    wanted = await body_of(request, _Agent)
    record = _new_agent(vendor_of(request), owner_of(request), wanted.name, _schema(wanted.data_schema), wanted.config)
    return reply(_render_agent(record))


def _agent(vendor: Vendor, owner: Owner, agent_id: str) -> Record:
    record = vendor.agents.find(owner, agent_id)
    if record is None:
        raise not_found("Extraction agent", agent_id)
    return record


def _own_agent(request: Request) -> Record:
    return _agent(vendor_of(request), owner_of(request), request.path_params["agent_id"])


async def _list_agents(request: Request) -> Response:
    return reply([_render_agent(record) for record in vendor_of(request).agents.of_project(owner_of(request))])


async def _agent_by_name(request: Request) -> Response:
    name = request.path_params["name"]
    for record in vendor_of(request).agents.of_project(owner_of(request)):
        if record.content["name"] == name:
            return reply(_render_agent(record))
    raise not_found("Extraction agent", name)


async def _get_agent(request: Request) -> Response:
    return reply(_render_agent(_own_agent(request)))


async def _change_agent(request: Request) -> Response:
    record = _own_agent(request)
    wanted = await body_of(request, _ChangedAgent)
    record.content.update(data_schema=wanted.data_schema, config=wanted.config.model_dump(exclude_none=True))
    return reply(_render_agent(record))


async def _delete_agent(request: Request) -> Response:
    vendor_of(request).agents.remove(_own_agent(request))
    return reply({})  # the client reads JSON


async def _validate(request: Request) -> Response:
    return reply((await body_of(request, _Schema)).model_dump())


# Jobs


def _open(vendor: Vendor, agent: Record, document: Document, override: _Config | None, schema: Any) -> Job:
    config = {**agent.content["config"], **(override.model_dump(exclude_none=True) if override else {})}
    mode = config.get("extraction_mode", "BALANCED")
    pages = pages_of(Input(document), config.get("page_range"), None, ("body", "config_override", "page_range"))
    return vendor.open_job(
        _PRODUCT,
        str(uuid.uuid4()),
        document,
        owner=agent.owner,
        pages=pages,
        charges={"extract": per_page(EXTRACT_V1[mode], pages)},
        mode=mode,
        request={
            "agent": agent,
            "config": config,
            "schema": schema if isinstance(schema, dict) else agent.content["data_schema"],
            "run_id": str(uuid.uuid4()),
        },
    )


def _render(job: Job, now: datetime) -> dict[str, Any]:
    state = job.state(now)
    return {
        "id": job.id,
        "status": V1_WORDS[state],
        "extraction_agent": _render_agent(job.request["agent"]),
        "file_id": job.document.id,
        "file": {"id": job.document.id, "name": job.document.name, "project_id": job.owner.project_id},
        "error": "The document could not be read" if state is State.FAILED else None,
    }


async def _create(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Create)
    agent = _agent(vendor, owner, wanted.extraction_agent_id)
    document = vendor.document(owner, wanted.file_id)
    job = _open(vendor, agent, document, wanted.config_override, wanted.data_schema_override)
    return reply(_render(job, job.created_at))


async def _create_batch(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _CreateBatch)
    agent = _agent(vendor, owner, wanted.extraction_agent_id)
    documents = [vendor.document(owner, file_id) for file_id in wanted.file_ids]
    jobs = [
        _open(vendor, agent, document, wanted.config_override, wanted.data_schema_override) for document in documents
    ]
    return reply([_render(job, job.created_at) for job in jobs])


async def _create_on_file(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    form, document = await vendor.upload(request)
    agent = _agent(vendor, owner, form.fields.get("extraction_agent_id", ""))
    try:
        override = _Config.model_validate_json(form.fields.get("config_override") or "{}")
    except ValidationError as fault:
        raise invalid(("body", "config_override"), "Not a configuration") from fault
    schema = form.fields.get("data_schema_override")
    job = _open(vendor, agent, document, override, _schema(schema) if schema else None)
    return reply(_render(job, job.created_at))


async def _run_once(request: Request) -> Response:
    """Without an agent of the caller's: one is made for the call."""
    vendor, owner = vendor_of(request), owner_of(request)
    wanted = await body_of(request, _Run)
    if wanted.file_id is not None:
        document = vendor.document(owner, wanted.file_id)
    elif wanted.text is not None:
        document = await _taken_in(vendor, owner, "text.txt", wanted.text.encode())
    elif wanted.file is not None:
        try:
            content = base64.b64decode(wanted.file.data, validate=True)
        except binascii.Error as fault:
            raise invalid(("body", "file", "data"), "Not base64") from fault
        document = await _taken_in(vendor, owner, "upload.pdf", content)
    else:
        raise invalid(("body", "file_id"), "Provide one of file_id, file and text")
    agent = _new_agent(vendor, owner, f"stateless-{uuid.uuid4()}", _schema(wanted.data_schema), wanted.config)
    job = _open(vendor, agent, document, None, None)
    return reply(_render(job, job.created_at))


async def _taken_in(vendor: Vendor, owner: Owner, name: str, content: bytes) -> Document:
    intake = Intake(name)
    intake.feed(content)
    return await vendor.take_in(intake, owner)


def _find(request: Request) -> tuple[Job, datetime]:
    vendor = vendor_of(request)
    return vendor.job(owner_of(request), _PRODUCT, request.path_params["job_id"]), vendor.now()


async def _get(request: Request) -> Response:
    return reply(_render(*_find(request)))


async def _list(request: Request) -> Response:
    vendor, agent_id = vendor_of(request), request.query_params.get("extraction_agent_id")
    now = vendor.now()
    jobs = (job for job in vendor.jobs.of_project(owner_of(request)) if job.product == _PRODUCT)
    return reply([_render(job, now) for job in jobs if job.request["agent"].id == agent_id])


# Results


def _metadata(job: Job, now: datetime) -> dict[str, Any]:
    return {"field_metadata": {}, "usage": {"num_pages_extracted": len(job.delivered(now))}}


def _data(job: Job, now: datetime) -> Any:
    ended = job.state(now) is State.COMPLETED
    return value_of(job.request["schema"], f"found in {job.document.name}") if ended else None


async def _result(request: Request) -> Response:
    job, now = _find(request)
    return reply(
        {
            "run_id": job.request["run_id"],
            "extraction_agent_id": job.request["agent"].id,
            "data": _data(job, now),
            "extraction_metadata": _metadata(job, now),
        }
    )


def _run(job: Job, now: datetime) -> dict[str, Any]:
    return {
        "id": job.request["run_id"],
        "job_id": job.id,
        "project_id": job.owner.project_id,
        "extraction_agent_id": job.request["agent"].id,
        "config": job.request["config"],
        "data_schema": job.request["schema"],
        "data": _data(job, now),
        "extraction_metadata": _metadata(job, now),
        "file": {"id": job.document.id, "name": job.document.name, "project_id": job.owner.project_id},
        "file_id": job.document.id,
        "status": V1_WORDS[job.state(now)],
        "error": None,
        "from_ui": False,
        "created_at": job.created_at,
        "updated_at": job.ended_at(now) or now,
    }


async def _run_by_job(request: Request) -> Response:
    return reply(_run(*_find(request)))


def _runs(request: Request) -> list[Job]:
    agent_id = request.query_params.get("extraction_agent_id")
    return [
        job
        for job in vendor_of(request).jobs.of_project(owner_of(request))
        if job.product == _PRODUCT and agent_id in (None, job.request["agent"].id)
    ]


async def _list_runs(request: Request) -> Response:
    now, found = vendor_of(request).now(), _runs(request)
    return reply({"items": [_run(job, now) for job in found], "total": len(found), "skip": 0, "limit": len(found)})


def _own_run(request: Request) -> Job:
    for job in _runs(request):
        if job.request["run_id"] == request.path_params["run_id"]:
            return job
    raise not_found("Run", request.path_params["run_id"])


async def _get_run(request: Request) -> Response:
    return reply(_run(_own_run(request), vendor_of(request).now()))


async def _delete_run(request: Request) -> Response:
    vendor_of(request).jobs.remove(_own_run(request))
    return reply({})


_PATH: Final = "/api/v1/extraction"
_AGENTS: Final = f"{_PATH}/extraction-agents"
ROUTES = [
    Route(_AGENTS, _create_agent, methods=["POST"]),
    Route(_AGENTS, _list_agents, methods=["GET"]),
    Route(f"{_AGENTS}/schema/validation", _validate, methods=["POST"]),
    Route(f"{_AGENTS}/by-name/{{name}}", _agent_by_name, methods=["GET"]),
    Route(f"{_AGENTS}/{{agent_id}}", _get_agent, methods=["GET"]),
    Route(f"{_AGENTS}/{{agent_id}}", _change_agent, methods=["PUT"]),
    Route(f"{_AGENTS}/{{agent_id}}", _delete_agent, methods=["DELETE"]),
    Route(f"{_PATH}/jobs", _create, methods=["POST"]),
    Route(f"{_PATH}/jobs", _list, methods=["GET"]),
    Route(f"{_PATH}/jobs/file", _create_on_file, methods=["POST"]),
    Route(f"{_PATH}/jobs/batch", _create_batch, methods=["POST"]),
    Route(f"{_PATH}/run", _run_once, methods=["POST"]),
    Route(f"{_PATH}/jobs/{{job_id}}", _get, methods=["GET"]),
    Route(f"{_PATH}/jobs/{{job_id}}/result", _result, methods=["GET"]),
    Route(f"{_PATH}/runs", _list_runs, methods=["GET"]),
    Route(f"{_PATH}/runs/by-job/{{job_id}}", _run_by_job, methods=["GET"]),
    Route(f"{_PATH}/runs/{{run_id}}", _get_run, methods=["GET"]),
    Route(f"{_PATH}/runs/{{run_id}}", _delete_run, methods=["DELETE"]),
]
