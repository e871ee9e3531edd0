"""The plan page, where people land: what the account is on, how its credits stand, how long they last, what comes next.

Every number is asked of the desk as the page is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.domain.alert import Alert
from gateway.domain.credit_summary import CreditSummary
from gateway.domain.instant import DAY_MS
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.plan import NO_CEILING_MILLICREDITS, Plan
from gateway.domain.run_out import LONG_DAYS, RunOut, run_out
from gateway.domain.terms import AccountStatus
from gateway.domain.usage import UsageEvent
from gateway.domain.windows import Window
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.accounts import AccountView
from gateway.flows.invoice_view import InvoiceView
from gateway.flows.limits import LimitsView
from gateway.flows.usage_metrics import Wanted
from gateway.flows.usage_report import Range, UsageReport

RECENT: Final = 8


@dataclass(frozen=True, slots=True)
class Day:
    """What the calls of one day took, in millicredits."""

    start_ms: int
    millicredits: int


@dataclass(frozen=True, slots=True)
class PlanPage:
    """What is shown. `plan` is as this account has it, by contract or as it is sold; None: it is not sold any more.

    `alerts` are the thresholds that are crossed now.
    """

    account: AccountView
    plan: Plan | None
    pending: Plan | None
    report: UsageReport
    days: tuple[Day, ...]
    forecast: RunOut
    draft: InvoiceView | None
    alerts: tuple[Alert, ...]
    limits: LimitsView
    recent: tuple[UsageEvent, ...]
    base_url: str

    @property
    def credits(self) -> CreditSummary:
        """Of the running period."""
        return self.report.credits

    @property
    def plan_name(self) -> str:
        """As it is sold, or was."""
        return self.plan.name if self.plan is not None else self.account.plan_id

    @property
    def overage_millicredits(self) -> int:
        """What the period may use beyond its credits: the lowest ceiling that counts."""
        return self.limits.ceiling.millicredits

    @property
    def has_no_ceiling(self) -> bool:
        """Whether pay-as-you-go goes on for ever."""
        return self.overage_millicredits >= NO_CEILING_MILLICREDITS

    @property
    def reached_percent(self) -> int:
        """The highest part of the allowance that the account wants to hear of and has passed; 0: none yet."""
        return max((alert.threshold for alert in self.alerts if alert.kind.in_percent), default=0)

    @property
    def told_alerts(self) -> list[Alert]:
        """Those of money, and of the allowance the highest: it says what the lower ones do."""
        return [one for one in self.alerts if not one.kind.in_percent or one.threshold == self.reached_percent]

    @property
    def exhausted(self) -> bool:
        """Whether calls that cost credits are refused until something changes."""
        left = self.credits.included_millicredits - self.credits.used_millicredits - self.credits.held_millicredits
        return left + self.overage_millicredits <= 0

    @property
    def payment_failed(self) -> bool:
        """Whether pay-as-you-go waits for a payment."""
        return self.report.status is AccountStatus.PAYMENT_FAILED

    @property
    def closed(self) -> bool:
        """Whether the account has ended."""
        return self.report.status is AccountStatus.CLOSED

    @property
    def is_new(self) -> bool:
        """Whether it never made a call that cost anything."""
        return not self.recent

    @property
    def busiest_millicredits(self) -> int:
        """The most a day took."""
        return max((day.millicredits for day in self.days), default=0)

    def draft_cents(self, kind: str) -> int:
        """What the next invoice has of lines of this kind so far."""
        lines: Sequence[dict[str, Any]] = self.draft.document["lines"] if self.draft is not None else ()
        return sum(int(line["amount_cents"]) for line in lines if line["kind"] == kind)


def plan_routes(pages: Pages) -> list[Route]:
    """`/settings/billing`."""
    desk = pages.parts.desk

    async def look(visit: Visit) -> Response:
        shown = await _plan_page(desk, visit)
        return visit.page("plan.html", title="Plan", section="plan", it=shown)

    return [pages.get(pages.door.home, look)]


async def _plan_page(desk: Desk, visit: Visit) -> PlanPage:
    account_id, plans = visit.account_id, desk.plans()
    account = await desk.accounts.show(account_id)
    # One after the other: of several at once, one that fails would leave the others running.
    report = await desk.reports.of_account(account_id, desk.clock())
    limits = await desk.limits.get(account_id)
    days = await _days(desk, account, visit.own_now_ms)
    drafts, _ = await desk.invoices.page(account_id, status=InvoiceStatus.DRAFT, size=1)
    recent = await desk.metrics.page(account_id, Wanted(), size=RECENT)
    whole = [day.millicredits for day in days if day.start_ms + DAY_MS <= visit.own_now_ms]
    remaining = report.credits.remaining_millicredits
    forecast = run_out(whole, remaining, now_ms=visit.own_now_ms, period_end_ms=report.period.end_ms)
    return PlanPage(
        account=account,
        plan=await plan_as_agreed(desk, account_id, plans.get(account.plan_id)),
        pending=plans.get(account.pending_plan_id or ""),
        report=report,
        days=days,
        forecast=forecast,
        draft=next(iter(drafts), None),
        alerts=await desk.alerts.active(report),
        limits=limits,
        recent=recent.events,
        base_url=visit.pages.browsers.origin(visit.request),
    )


async def plan_as_agreed(desk: Desk, account_id: str, plan: Plan | None) -> Plan | None:
    """The plan with what the account's contract says in its place."""
    if plan is None or not plan.contract:
        return plan
    version = (await desk.contracts.show(account_id)).in_force
    return plan if version is None else version.contract.applied_to(plan, version.version)


async def _days(desk: Desk, account: AccountView, now_ms: int) -> tuple[Day, ...]:
    """The last whole days and today, none before the account was there."""
    today_ms = now_ms // DAY_MS * DAY_MS
    first_ms = max(today_ms - LONG_DAYS * DAY_MS, account.account.created_ms // DAY_MS * DAY_MS)
    within = Range(first_ms, today_ms + DAY_MS)
    series = await desk.series.of_account(account.account.id, within, Window.DAY, UTC, by=())
    return tuple(map(Day, series.edges[:-1], series.captured_millicredits()))
