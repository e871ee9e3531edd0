"""Usage of the key's own account: of all of it, or of one of its projects. Other accounts' ids are not there."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.books.reports import By
from gateway.domain.plan import Plan
from gateway.edges.api.caller import for_callers
from gateway.edges.api.json_reply import json_reply
from gateway.edges.api.query import only_own_organization
from gateway.edges.api.usage_document import amount, usage_and_plan
from gateway.flows.authenticate import Caller, Directory
from gateway.flows.faults import NoSuchThing
from gateway.flows.usage_report import BY_DEFAULT, UsageReports


def usage_routes(
    directory: Directory,
    reports: UsageReports,
    *,
    plans: Callable[[], Mapping[str, Plan]],
    clock: Callable[[], datetime],
) -> list[Route]:
    """`?by=product,mode,day,project,key` tells usage apart by more, or less, than product and mode."""

    async def of_organization(request: Request, caller: Caller) -> Response:
        if request.path_params["organization_id"] != caller.account_id:
            raise NoSuchThing("organization", request.path_params["organization_id"])
        only_own_organization(request, caller)
        report = await reports.of_account(caller.account_id, clock(), by=_by(request))
        return json_reply(usage_and_plan(report, plans().get(report.plan_id)))

    async def of_project(request: Request, caller: Caller) -> Response:
        """Credits are the account's, which all its projects share; buckets are the project's."""
        project_id: str = request.path_params["project_id"]
        only_own_organization(request, caller)
        await reports.must_own(caller.account_id, project_id)
        by = [name for name in _by(request) if name != By.PROJECT]
        whole = await reports.of_account(caller.account_id, clock(), by=[By.PROJECT, *by])
        mine = tuple(bucket for bucket in whole.buckets if bucket.project == project_id)
        report = replace(whole, by=whole.by[1:], buckets=mine)
        project = {"id": project_id, "used": amount(report.bucket_millicredits)}
        return json_reply({**usage_and_plan(report, plans().get(report.plan_id)), "project": project})

    return [
        Route(
            "/api/v1/organizations/{organization_id}/usage",
            for_callers(directory, of_organization),
            methods=["GET"],
        ),
        Route("/api/v1/projects/{project_id}/usage", for_callers(directory, of_project), methods=["GET"]),
    ]


def _by(request: Request) -> list[str]:
    asked = request.query_params.get("by")
    return list(BY_DEFAULT) if asked is None else [name for name in asked.split(",") if name]
