"""One account: how it stands, its keys and invoices, what was changed of it lately, and the way to every change."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.books.keys import KeyRecord
from gateway.domain.plan import NO_CEILING_MILLICREDITS, Plan
from gateway.domain.terms import AccountStatus
from gateway.edges.dashboard.invoices import Shown
from gateway.edges.dashboard.operator.accounts import STATUSES
from gateway.edges.dashboard.operator.audit import Line, shown_line
from gateway.edges.dashboard.operator.lists import after, onward
from gateway.edges.dashboard.operator.parts import OperatorParts
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.accounts import AccountView
from gateway.flows.contracts import ContractView
from gateway.flows.limits import LimitsView
from gateway.flows.usage_report import UsageReport

KEYS: Final = 20
INVOICES: Final = 6
ENTRIES: Final = 8
AUDIT_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Standing:
    """The account as it stands. `plan` None: it is sold no more. `more_keys`: there are others than `keys`."""

    view: AccountView
    plan: Plan | None
    pending: Plan | None
    report: UsageReport
    limits: LimitsView
    contract: ContractView
    keys: tuple[KeyRecord, ...]
    more_keys: bool
    invoices: tuple[Shown, ...]
    more_invoices: bool
    entries: tuple[Line, ...]
    due: tuple[int, int]

    @property
    def closed(self) -> bool:
        """Whether the account has ended."""
        return self.view.account.status is AccountStatus.CLOSED

    @property
    def has_no_ceiling(self) -> bool:
        """Whether pay-as-you-go goes on for ever."""
        return self.limits.ceiling.millicredits >= NO_CEILING_MILLICREDITS


def account_routes(pages: Pages, parts: OperatorParts) -> list[Route]:
    """`/admin/accounts/{account_id}` and its audit log."""
    desk = pages.parts.desk
    here = f"{pages.door.home}/accounts/{{account_id}}"

    async def look(visit: Visit) -> Response:
        standing = await _standing(desk, parts, visit, visit.request.path_params["account_id"])
        return visit.page(
            "admin/account.html",
            title=standing.view.account.name,
            section="accounts",
            it=standing,
            statuses=STATUSES,
        )

    async def audited(visit: Visit) -> Response:
        account_id = visit.request.path_params["account_id"]
        place = after(visit, "audit", account_id)
        found, further = await desk.audit.page(account_id, before=place, size=AUDIT_PAGE)
        return visit.page(
            "admin/audit.html",
            title="Audit log",
            section="accounts",
            lines=[shown_line(entry_id, entry) for entry_id, entry in found],
            account=(await desk.accounts.show(account_id)).account,
            here=visit.request.url.path,
            onward=onward(further, {}, "audit", account_id),
        )

    return [pages.get(f"{here}/audit", audited), pages.get(here, look)]


async def _standing(desk: Desk, parts: OperatorParts, visit: Visit, account_id: str) -> Standing:
    # One after the other: of several at once, those beside one that fails would go on behind the answer's back.
    view, plans = await desk.accounts.show(account_id), desk.plans()
    keys, more_keys = await desk.keys.page(account_id, after=None, size=KEYS)
    invoices, more_invoices = await desk.invoices.page(account_id, size=INVOICES)
    entries, _ = await desk.audit.page(account_id, before=None, size=ENTRIES)
    due = await parts.overviews.due([account_id])
    return Standing(
        view=view,
        plan=plans.get(view.plan_id),
        pending=plans.get(view.pending_plan_id or ""),
        report=await desk.reports.of_account(account_id, desk.clock()),
        limits=await desk.limits.get(account_id),
        contract=await desk.contracts.show(account_id),
        keys=tuple(keys),
        more_keys=more_keys is not None,
        invoices=tuple(Shown(one, visit.now_ms) for one in invoices),
        more_invoices=more_invoices is not None,
        entries=tuple(shown_line(entry_id, entry) for entry_id, entry in entries),
        due=due.get(account_id, (0, 0)),
    )
