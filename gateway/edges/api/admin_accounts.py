"""Accounts for the operator: find, open, look at, put on a plan, correct, close; their projects."""

from typing import Annotated, Any, Final

from pydantic import Field

from gateway.books.accounts import Project
from gateway.domain.terms import AccountStatus
from gateway.edges.api.amounts import SignedCredits, millicredits
from gateway.edges.api.endpoint import Answer, Area, Ask, Document, Endpoint, Strict
from gateway.edges.api.paging import PageQuery, page, place, scope_of
from gateway.edges.api.replies import admin as replies
from gateway.edges.api.replies.billing import ChangedSubscription, Preview, Subscription
from gateway.edges.api.subscription import (
    PlanWish,
    changed_document,
    known_plan,
    preview_document,
    subscription_document,
)
from gateway.edges.api.usage_document import amount, instant, usage_document
from gateway.edges.desk import Desk
from gateway.flows.accounts import AccountView, ListedAccount
from gateway.flows.usage_report import UsageReport
from gateway.wire.problems import Fault

BASE: Final = "/admin/v1/accounts"
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S", description="The owner may read it")]


class AccountsQuery(PageQuery):
    """Which accounts."""

    name: str | None = Field(None, min_length=1, max_length=200, description="A part of the name, or the whole id")
    plan: str | None = Field(None, min_length=1, max_length=64)
    status: AccountStatus | None = Field(None)


class AccountWish(Strict):
    """A new account. Names need not be unique."""

    name: Name
    plan: str = Field(min_length=1, max_length=64)
    sandbox: bool = Field(default=False, description="With a clock of its own, for tests; a real account never has one")


class AdminPlanWish(PlanWish):
    """Another plan, also at once where an owner would have to wait."""

    reason: str = Field("", max_length=500)


class AdjustWish(Strict):
    """A correction of the current period's credits; below zero they are taken back."""

    credits: SignedCredits
    reason: Reason


class CloseWish(Strict):
    """Why."""

    reason: Reason


class ProjectWish(Strict):
    """A further project; names are unique within an account."""

    name: Name


def account_admin_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """All accounts, and one of them."""

    async def listed(ask: Ask) -> Document:
        wanted: AccountsQuery = ask.query
        within = scope_of(ask, wanted.name, wanted.plan, wanted.status)
        found, after = await desk.accounts.page(
            name=wanted.name,
            plan_id=wanted.plan,
            status=wanted.status,
            after=place(ask, within),
            size=wanted.page_size,
        )
        return page([_listed(one) for one in found], after, within)

    async def created(ask: Ask) -> Document:
        wish: AccountWish = ask.body
        known_plan(desk, wish.plan)
        opened = await desk.accounts.create(wish.name, wish.plan, sandbox=wish.sandbox, actor=ask.actor)
        return {"id": opened.id, "name": opened.name, "plan": opened.plan_id, "project_id": opened.project_id}

    async def shown(ask: Ask) -> Document:
        account_id = area.account_of(ask)
        view = await desk.accounts.show(account_id)
        return _in_full(view, await desk.reports.of_account(account_id, desk.clock()))

    async def adjusted(ask: Ask) -> Document:
        wish: AdjustWish = ask.body
        taken = millicredits("credits", wish.credits)
        made = await desk.accounts.adjust(area.account_of(ask), taken, reason=wish.reason, actor=ask.actor)
        return {
            "grant_id": made.grant_id,
            "period_start": instant(made.period_start_ms),
            "granted_credits": amount(made.granted_millicredits),
        }

    async def closed(ask: Ask) -> Document:
        wish: CloseWish = ask.body
        await desk.accounts.close(area.account_of(ask), reason=wish.reason, actor=ask.actor)
        return {"id": area.account_of(ask), "status": AccountStatus.CLOSED.value}

    return [
        _endpoint("GET", BASE, listed, "Accounts, the oldest first", replies.Accounts, query=AccountsQuery),
        _endpoint("POST", BASE, created, "Open an account", replies.CreatedAccount, body=AccountWish, status=201),
        _endpoint("GET", area.base, shown, "One account as it stands", replies.AccountInFull),
        _endpoint(
            "POST",
            f"{area.base}/adjust",
            adjusted,
            "Give or take back credits of the current period",
            replies.Adjusted,
            body=AdjustWish,
        ),
        _endpoint("POST", f"{area.base}/close", closed, "End an account", replies.ClosedAccount, body=CloseWish),
        *_plan_endpoints(desk, area),
        *_project_endpoints(desk, area),
    ]


def _plan_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    path = f"{area.base}/subscription"

    async def shown(ask: Ask) -> Document:
        return subscription_document(desk, await desk.accounts.show(area.account_of(ask)))

    async def changed(ask: Ask) -> Document:
        wish: AdminPlanWish = ask.body
        known_plan(desk, wish.plan)
        change = await desk.accounts.change_plan(
            area.account_of(ask), wish.plan, when=wish.at(), actor=ask.actor, reason=wish.reason
        )
        return await changed_document(desk, change)

    async def previewed(ask: Ask) -> Document:
        wish: PlanWish = ask.body
        known_plan(desk, wish.plan)
        return preview_document(await desk.accounts.preview(area.account_of(ask), wish.plan, when=wish.at()))

    return [
        _endpoint("GET", path, shown, "What the account is on", Subscription, edits=shown),
        _endpoint("PUT", path, changed, "Change the plan", ChangedSubscription, body=AdminPlanWish, edits=shown),
        _endpoint("POST", f"{path}/preview", previewed, "What a change of plan would do", Preview, body=PlanWish),
    ]


def _project_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    path = f"{area.base}/projects"

    async def listed(ask: Ask) -> Document:
        return {"items": [_project(project) for project in await desk.accounts.projects(area.account_of(ask))]}

    async def created(ask: Ask) -> Document:
        wish: ProjectWish = ask.body
        return _project(await desk.accounts.create_project(area.account_of(ask), wish.name, actor=ask.actor))

    return [
        _endpoint("GET", path, listed, "Projects, the default one first", replies.Projects),
        _endpoint("POST", path, created, "Make a project", replies.Project, body=ProjectWish, status=201),
    ]


def _endpoint(method: str, path: str, answer: Answer, summary: str, reply: Any, **more: Any) -> Endpoint:
    return Endpoint(method, path, answer, summary, "accounts", reply=reply, problems=(Fault.NO_SUCH_RESOURCE,), **more)


def _listed(one: ListedAccount) -> dict[str, Any]:
    return {
        "id": one.account.id,
        "name": one.account.name,
        "plan": one.plan_id,
        "status": one.account.status.value,
        "sandbox": one.account.sandbox,
        "created_at": instant(one.account.created_ms),
    }


def _in_full(view: AccountView, report: UsageReport) -> dict[str, Any]:
    usage = usage_document(report)
    return {
        **_listed(ListedAccount(view.account, view.plan_id)),
        "pending_plan": view.pending_plan_id,
        "period": usage["period"],
        "credits": usage["credits"],
        "projects": [_project(project) for project in view.projects],
        "live": report.live,
    }


def _project(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "account_id": project.account_id,
        "name": project.name,
        "created_at": instant(project.created_ms),
    }
