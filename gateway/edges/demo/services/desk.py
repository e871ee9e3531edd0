"""The routes that every product's jobs share: list, look at, cancel, delete.

Does not create jobs and does not know what a reply holds: each product renders its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.edges.demo.services.jobs import Job, State
from gateway.edges.demo.services.replies import Refused, expand_of, instant, invalid, reply
from gateway.edges.demo.services.vendor import owner_of, vendor_of

_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 1000
_T = TypeVar("_T")
_ENDED = (State.COMPLETED, State.FAILED, State.CANCELLED)


def page_of(
    query: "Request | dict[str, Any]", things: Iterable[_T], render: Callable[[_T], dict[str, Any]]
) -> dict[str, Any]:
    """One page of a cursor list; `page_size` and `page_token` come from the query, or from the body of a POST list."""
    asked: Any = query.query_params if isinstance(query, Request) else query
    size = _number(asked.get("page_size"), "page_size", _PAGE_SIZE)
    start = _number(asked.get("page_token"), "page_token", 0)
    if not 1 <= size <= _MAX_PAGE_SIZE:
        raise invalid(("query", "page_size"), f"Input should be between 1 and {_MAX_PAGE_SIZE}", "value_error")
    everything = list(things)
    end = start + size
    return {
        "items": [render(thing) for thing in everything[start:end]],
        "next_page_token": str(end) if end < len(everything) else None,
        "total_size": len(everything),
    }


def _number(value: object, name: str, default: int) -> int:
    if value is None:
        return default
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        raise invalid(("query", name), "Input should be a valid integer", "int_parsing")
    return int(text)


@dataclass(frozen=True, slots=True)
class Desk:
    """One product's jobs. `flat` renders a job in lists and replies; `one` what a look at a single job answers."""

    product: str
    flat: Callable[[Job, datetime, frozenset[str]], dict[str, Any]]
    one: Callable[[Job, datetime, frozenset[str]], dict[str, Any]]
    wording: Callable[[State], str] = str

    def routes(self, path: str) -> list[Route]:
        """The shared routes below `path`."""
        return [
            Route(path, self._list, methods=["GET"]),
            Route(f"{path}/{{job_id}}", self._get, methods=["GET"]),
            Route(f"{path}/{{job_id}}", self._delete, methods=["DELETE"]),
            Route(f"{path}/{{job_id}}/cancel", self._cancel, methods=["POST"]),
        ]

    def find(self, request: Request) -> Job:
        """The caller's own job of this product, or 404."""
        return vendor_of(request).job(owner_of(request), self.product, request.path_params["job_id"])

    async def _list(self, request: Request) -> Response:
        vendor, owner, expand = vendor_of(request), owner_of(request), expand_of(request)
        now = vendor.now()
        ids = request.query_params.getlist("job_ids")
        status = request.query_params.get("status")
        first, last = instant(request, "created_at_on_or_after"), instant(request, "created_at_on_or_before")
        wanted = (
            job
            for job in vendor.jobs.of_project(owner)
            if job.product == self.product
            and (not ids or job.id in ids)
            and (status is None or self.wording(job.state(now)) == status)
            and (first is None or job.created_at >= first)
            and (last is None or job.created_at <= last)
        )
        return reply(page_of(request, wanted, lambda job: self.flat(job, now, expand)))

    async def _get(self, request: Request) -> Response:
        return reply(self.one(self.find(request), vendor_of(request).now(), expand_of(request)))

    async def _cancel(self, request: Request) -> Response:
        job, now = self.find(request), vendor_of(request).now()
        if job.state(now) in _ENDED:
            raise Refused(400, f"Job {job.id} has ended and cannot be cancelled")
        job.cancelled_at = now
        return reply(self.flat(job, now, frozenset()))

    async def _delete(self, request: Request) -> Response:
        vendor, job = vendor_of(request), self.find(request)
        if job.state(vendor.now()) not in _ENDED and request.query_params.get("force") != "true":
            raise Refused(400, f"Job {job.id} is still running: cancel it first")
        vendor.jobs.remove(job)
        return reply({"id": job.id, "project_id": job.owner.project_id})
