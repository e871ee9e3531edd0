"""What the page of limits shows, asked of the desk one after the other. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.books.alerts import RaisedAlert
from gateway.domain.alert import AlertKind, Spending
from gateway.domain.credit_summary import CreditSummary
from gateway.domain.limits import ALERT_PERCENTS, CeilingBy
from gateway.domain.money import rounded
from gateway.domain.plan import NO_CEILING_MILLICREDITS, Plan
from gateway.edges.dashboard.formats import money
from gateway.edges.dashboard.pages import Visit
from gateway.edges.dashboard.plan import plan_as_agreed
from gateway.edges.dashboard.usage import names_of
from gateway.edges.desk import Desk
from gateway.flows.limits import LimitsView


@dataclass(frozen=True, slots=True)
class LimitsPage:
    """Everything that limits an account. `plan` None: it is not sold any more. `unbudgeted`: ids and names."""

    limits: LimitsView
    credits: CreditSummary
    plan: Plan | None
    alerts: tuple[RaisedAlert, ...]
    projects: Mapping[str, str]
    keys: Mapping[str, str]
    usable_keys: frozenset[str]
    live: bool

    @property
    def sells_more(self) -> bool:
        """Whether the plan has pay-as-you-go at all."""
        return self.limits.ceiling.by is not CeilingBy.ALLOWANCE

    @property
    def has_no_ceiling(self) -> bool:
        """Whether pay-as-you-go goes on for ever."""
        return self.limits.ceiling.millicredits >= NO_CEILING_MILLICREDITS

    @property
    def spending(self) -> Spending:
        """In money."""
        return Spending(
            used_millicredits=self.credits.used_millicredits,
            included_millicredits=self.credits.included_millicredits,
            ceiling=self.limits.ceiling,
            nanodollars_per_millicredit=self.limits.sold.nanodollars_per_millicredit,
            tiers=self.limits.sold.tiers,
        )

    @property
    def ceiling_cents(self) -> int:
        """What counts now, in money."""
        return rounded(self.spending.cents_of(self.limits.ceiling.millicredits))

    @property
    def sold_cents(self) -> int | None:
        """The plan's or the contract's own ceiling; None where there is none."""
        sold = self.limits.sold.overage_millicredits
        return None if sold >= NO_CEILING_MILLICREDITS else rounded(self.spending.cents_of(sold))

    @property
    def percents(self) -> list[tuple[int, bool]]:
        """The thresholds that are offered, and whether the account hears of each."""
        chosen = self.limits.own.alert_percents
        return [(one, one in chosen) for one in sorted({*ALERT_PERCENTS, *chosen})]

    @property
    def unbudgeted(self) -> dict[str, list[tuple[str, str]]]:
        """What a budget can be given to, by kind: ids and names."""
        taken = {budget.subject_id for budget in self.limits.budgets}
        return {
            "Projects": [(one, name) for one, name in self.projects.items() if one not in taken],
            "API keys": [(one, name) for one, name in self.keys.items() if one in self.usable_keys - taken],
        }

    def label(self, subject_id: str) -> str:
        """A project or a key by its name."""
        return self.projects.get(subject_id) or self.keys.get(subject_id, subject_id)

    def said(self, alert: RaisedAlert) -> str:
        """What an alert is of."""
        match alert.kind:
            case AlertKind.FREE_CREDITS_EXHAUSTED:
                return "All included credits were used"
            case AlertKind.ALLOWANCE_THRESHOLD:
                return f"{alert.threshold}% of the included credits were used"
            case AlertKind.PLAN_SPEND_LIMIT_SOFT_ALERT:
                return f"Pay-as-you-go passed {money(alert.threshold)}"
            case AlertKind.CONFIGURED_SPEND_LIMIT_EXCEEDED:
                return f"Your own ceiling of {money(alert.threshold)} was reached"
            case _:
                return f"The ceiling of {money(alert.threshold)} was reached"


async def limits_page(desk: Desk, visit: Visit) -> LimitsPage:
    """As it stands. NoSuchThing, BooksUnavailable."""
    account_id = visit.account_id
    account = await desk.accounts.show(account_id)
    report = await desk.reports.of_account(account_id, desk.clock())
    names = await names_of(desk, account_id)
    keys = await desk.keys.of_account(account_id)
    return LimitsPage(
        limits=await desk.limits.get(account_id),
        credits=report.credits,
        plan=await plan_as_agreed(desk, account_id, desk.plans().get(account.plan_id)),
        alerts=tuple(await desk.alerts.of_account(account_id)),
        projects=names.projects,
        keys=names.keys,
        usable_keys=frozenset(key.id for key in keys if key.usable(visit.now_ms)),
        live=report.live,
    )
