"""Usage of the key's own account: of all of it, or of one of its projects. Other accounts' ids are not there."""

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.requests import Request

from gateway.books.reports import By
from gateway.edges.api.endpoint import Ask, Document, Endpoint
from gateway.edges.api.query import flag, only_own_organization
from gateway.edges.api.replies.usage import UsageAndPlan
from gateway.edges.api.usage_document import amount, usage_and_plan
from gateway.edges.desk import Desk
from gateway.flows.alerts import vendor_names
from gateway.flows.faults import NoSuchThing
from gateway.flows.usage_report import BY_DEFAULT, UsageReport
from gateway.wire.problems import Fault


class UsageQuery(BaseModel):
    """How usage is told apart, and what LlamaCloud's clients send along."""

    by: str | None = Field(None, description="Some of product, mode, day, project, key, with commas")
    get_current_invoice_total: Literal["true", "false"] | None = Field(
        None, description="Tell `usage.current_invoice_total_usd_cents`, of the running period's draft"
    )
    organization_id: str | None = Field(None, description="The key's own account")


def usage_endpoints(desk: Desk) -> list[Endpoint]:
    """Of the whole account, and of one of its projects."""

    async def told(ask: Ask, report: UsageReport) -> dict[str, Any]:
        active = vendor_names(await desk.alerts.active(report))
        document = usage_and_plan(report, desk.plans().get(report.plan_id), active)
        if flag(ask.request, "get_current_invoice_total"):
            cents = await desk.invoices.running_total_cents(ask.account_id)
            document["usage"] = {**document["usage"], "current_invoice_total_usd_cents": cents}
        return document

    async def of_organization(ask: Ask) -> Document:
        if ask.path("organization_id") != ask.account_id:
            raise NoSuchThing("organization", ask.path("organization_id"))
        only_own_organization(ask.request, ask.caller)
        return await told(ask, await desk.reports.of_account(ask.account_id, desk.clock(), by=_by(ask.request)))

    async def of_project(ask: Ask) -> Document:
        """Credits are the account's, which all its projects share; buckets are the project's."""
        project_id = ask.path("project_id")
        only_own_organization(ask.request, ask.caller)
        await desk.reports.must_own(ask.account_id, project_id)
        by = [name for name in _by(ask.request) if name != By.PROJECT]
        whole = await desk.reports.of_account(ask.account_id, desk.clock(), by=[By.PROJECT, *by])
        mine = tuple(bucket for bucket in whole.buckets if bucket.project == project_id)
        report = replace(whole, by=whole.by[1:], buckets=mine)
        project = {"id": project_id, "used": amount(report.bucket_millicredits)}
        return {**await told(ask, report), "project": project}

    return [
        Endpoint(
            "GET",
            path,
            answer,
            summary,
            "usage",
            reply=UsageAndPlan,
            query=UsageQuery,
            query_is_read=False,
            more_is_sent=True,
            problems=(Fault.NO_SUCH_PROJECT, Fault.INVALID_QUERY, Fault.BAD_REQUEST),
        )
        for path, answer, summary in (
            ("/api/v1/organizations/{organization_id}/usage", of_organization, "Usage of the account's billing period"),
            ("/api/v1/projects/{project_id}/usage", of_project, "Usage of one project in the billing period"),
        )
    ]


def _by(request: Request) -> list[str]:
    asked = request.query_params.get("by")
    return list(BY_DEFAULT) if asked is None else [name for name in asked.split(",") if name]
