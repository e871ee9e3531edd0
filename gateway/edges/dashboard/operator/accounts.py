"""All accounts: found by name, plan and status, with what each has used and owes; and opening another one."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.domain.credit_summary import CreditSummary
from gateway.domain.terms import AccountStatus
from gateway.edges.dashboard.operator.change_page import ChangePage, Input, change_routes
from gateway.edges.dashboard.operator.lists import after, onward, text
from gateway.edges.dashboard.operator.parts import OperatorParts
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.accounts import ListedAccount
from gateway.flows.faults import CallerFault, WrongParameter
from gateway.flows.overview import AccountStanding

PAGE: Final = 25
STATUSES: Final = {
    AccountStatus.ACTIVE: ("Active", "good"),
    AccountStatus.PAYMENT_FAILED: ("Payment failed", "warn"),
    AccountStatus.CLOSED: ("Closed", "plain"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One account. `credits` None: it has no running period."""

    one: ListedAccount
    credits: CreditSummary | None
    stands: AccountStanding


def accounts_routes(pages: Pages, parts: OperatorParts) -> list[Route]:
    """`/admin/accounts`, `/admin/accounts/new`."""
    home = f"{pages.door.home}/accounts"
    desk = pages.parts.desk

    async def listed(visit: Visit) -> Response:
        name, plan_id, status = text(visit, "name"), text(visit, "plan"), text(visit, "status")
        if status and status not in set(AccountStatus):
            raise WrongParameter("status", f"there is no status {status!r} of an account")
        found, place = await desk.accounts.page(
            name=name or None,
            plan_id=plan_id or None,
            status=AccountStatus(status) if status else None,
            after=after(visit, "accounts", name, plan_id, status),
            size=PAGE,
        )
        standing = await parts.overviews.standing([one.account.id for one in found])
        stands = [standing[one.account.id] for one in found]
        rows = [Row(one, await _credits(desk, one, each), each) for one, each in zip(found, stands, strict=True)]
        given = {"name": name, "plan": plan_id, "status": status}
        return visit.page(
            "admin/accounts.html",
            title="Accounts",
            section="accounts",
            rows=rows,
            given=given,
            plans=list(dict.fromkeys([*desk.plans(), *([plan_id] if plan_id else [])])),
            statuses=STATUSES,
            onward=onward(place, given, "accounts", name, plan_id, status),
        )

    async def opening(_visit: Visit) -> ChangePage:
        return ChangePage(
            "Open an account",
            "accounts",
            ("Accounts", home),
            [
                "Its first period begins now, with the plan's credits. A plan with a price is invoiced at once.",
                "Names need not be unique.",
                "Its first key is made with gateway key create.",
            ],
            [
                Input("name", "Name"),
                Input("plan", "Plan", "select", options=[(plan.id, plan.name) for plan in desk.plans().values()]),
            ],
            "Open the account",
        )

    async def opened(visit: Visit) -> tuple[str, str]:
        made = await desk.accounts.create(visit.form["name"], visit.form["plan"], actor=visit.visitor.actor)
        return f"{home}/{made.id}", f"{made.name} is open, on {desk.plans()[made.plan_id].name}."

    return [pages.get(home, listed), *change_routes(pages, f"{home}/new", opening, opened)]


async def _credits(desk: Desk, one: ListedAccount, stands: AccountStanding) -> CreditSummary | None:
    """Of the running period, which is booked now where nobody has called since it began."""
    if one.account.status is AccountStatus.CLOSED:
        return None
    if stands.credits is not None:
        return stands.credits
    try:
        return (await desk.reports.of_account(one.account.id, desk.clock())).credits
    except CallerFault:
        return None
