"""Usage metrics: what was billed, job by job. The only place that tells what a split or a v1 job cost."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.desk import page_of
from gateway.edges.demo.services.jobs import Job, wire_credits
from gateway.edges.demo.services.replies import invalid, reply
from gateway.edges.demo.services.shelf import Owner
from gateway.edges.demo.services.vendor import Metric, owner_of, vendor_of

_EVENT_TYPES: Final = {
    "parse": "pages_parsed",
    "sheet": "sheets_parsed",
    "extract": "extraction_num_pages",
    "split": "pages_split",
    "index": "pages_indexed",
    "export": "pages_exported",
}
_CLASSIFY: Final = frozenset({"classify", "classify_v1"})  # whose only part is the parse it runs


async def _list(request: Request) -> Response:
    vendor, owner = vendor_of(request), owner_of(request)
    if "organization_id" not in request.query_params:
        raise invalid(("query", "organization_id"), "Field required", "missing")
    now = vendor.now()
    key = request.query_params.get("event_aggregation_key")
    types = request.query_params.getlist("event_types")
    if key is None:
        jobs: Iterator[Job] = vendor.jobs.of_project(owner)
    else:
        job = vendor.jobs.find(owner, key)
        jobs = iter(() if job is None else (job,))
    items = [item for job in jobs for item in _of_job(job, now)]
    items += [_of_metric(metric) for metric in vendor.metrics if metric.owner == owner and key in (None, metric.key)]
    return reply(page_of(request, (item for item in items if not types or item["event_type"] in types), dict))


def _of_job(job: Job, now: datetime) -> Iterator[dict[str, Any]]:
    """One item for each part of the price; none until billing has recorded the job, and none for a failed one."""
    pages = len(job.delivered(now))
    bill = job.bill(now)
    if bill is None or not pages:
        return
    for part, amount in bill.items():
        yield _whose(job.owner, job.created_at) | {
            "id": f"{job.id}.{part}",
            "event_type": "pages_classified" if job.product in _CLASSIFY else _EVENT_TYPES[part],
            "event_aggregation_key": job.id,
            "event_aggregation_type": f"{job.product}_job",
            "properties": {"mode": job.mode, "tier": job.mode},
            "value": pages,
            "credits": wire_credits(amount),
        }


def _of_metric(metric: Metric) -> dict[str, Any]:
    return _whose(metric.owner, metric.at) | {
        "id": metric.id,
        "event_type": metric.event_type,
        "event_aggregation_key": metric.key,
        "event_aggregation_type": "request",
        "properties": {},
        "value": metric.value,
        "credits": wire_credits(metric.credits_billed),
    }


def _whose(owner: Owner, at: datetime) -> dict[str, Any]:
    return {
        "user_id": owner.account_id,
        "organization_id": owner.account_id,
        "project_id": owner.project_id,
        "day": at.date().isoformat(),
    }


ROUTES = [Route("/api/v1/beta/usage-metrics", _list, methods=["GET"])]
