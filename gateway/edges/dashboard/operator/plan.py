"""Putting an account on another plan: chosen, shown to the cent, then confirmed with a reason.

The form carries what its reader saw. Where that holds no more, nothing is changed and it is shown again.
"""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.domain.instant import from_epoch_ms
from gateway.domain.plan import Plan
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.formats import date, money, sentence
from gateway.edges.dashboard.once import FIELD, SentAlready, fresh_word, once
from gateway.edges.dashboard.operator.account_changes import account_of, path_of, reason
from gateway.edges.dashboard.operator.lists import text
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.dashboard.plan_change import LOOK_AGAIN, MARGIN_MS
from gateway.edges.desk import Desk
from gateway.flows.accounts import AccountView
from gateway.flows.change_plan import ChangeAt
from gateway.flows.faults import CallerFault, WrongParameter
from gateway.flows.invoice_document import describe
from gateway.flows.preview_plan import PlanPreview

WHEN: Final = {
    "": "As usual: dearer now, else at period end",
    ChangeAt.NOW.value: "Now",
    ChangeAt.PERIOD_END.value: "When the period ends",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. `when` None: as usual."""

    plan: Plan
    when: ChangeAt | None


@dataclass(frozen=True, slots=True)
class Previewed:
    """What it would do; `marks` are what the form brings back of what was seen."""

    wish: Wish
    preview: PlanPreview
    marks: dict[str, str]

    @property
    def lines(self) -> list[tuple[str, int]]:
        """What is invoiced at once: words and cents."""
        price = self.preview.price
        return [] if price is None else [(describe(line), line.amount_cents) for line in price.lines]


def plan_routes(pages: Pages) -> list[Route]:
    """`/admin/accounts/{account_id}/plan`."""
    desk = pages.parts.desk

    async def look(visit: Visit) -> Response:
        return await _page(desk, visit, text(visit, "plan"), text(visit, "when"))

    async def change(visit: Visit) -> Response:
        plan_id, when = visit.form["plan"], visit.form.get("when")
        account, wish = await desk.accounts.show(account_of(visit)), _wish(desk, plan_id, when)
        if stale := _stale(visit, account):
            return await _page(desk, visit, plan_id, when, wrong=stale)
        try:
            async with once(visit):
                made = await desk.accounts.change_plan(
                    account.account.id, wish.plan.id, when=wish.when, actor=visit.visitor.actor, reason=reason(visit)
                )
        except SentAlready as again:
            return visit.go(path_of(visit), sentence(str(again)), Tone.PLAIN)
        except CallerFault as fault:
            return await _page(desk, visit, plan_id, when, wrong=sentence(str(fault)))
        if made.effective_ms > visit.now_ms:
            return visit.go(path_of(visit), f"The change to {wish.plan.name} waits for {date(made.effective_ms)}.")
        invoice = made.invoice
        invoiced = "" if invoice is None else f" Invoice {invoice.number} is of {money(invoice.total_cents)}."
        return visit.go(path_of(visit), f"The account is on {wish.plan.name}.{invoiced}")

    path = f"{pages.door.home}/accounts/{{account_id}}/plan"
    return [pages.get(path, look), pages.post(path, change)]


async def _page(desk: Desk, visit: Visit, plan_id: str, when: str, *, wrong: str = "") -> Response:
    account = await desk.accounts.show(account_of(visit))
    previewed = None
    if plan_id:
        wish = _wish(desk, plan_id, when)
        try:
            previewed = await _previewed(desk, account, wish)
        except CallerFault as fault:
            wrong = wrong or sentence(str(fault))
    return visit.page(
        "admin/plan.html",
        title="Change the plan",
        section="accounts",
        status=422 if wrong else 200,
        account=account,
        plans=desk.plans(),
        current=desk.plans().get(account.plan_id),
        chosen=plan_id,
        when=when,
        whens=WHEN,
        it=previewed,
        wrong=wrong,
        typed_reason=visit.form.get("reason")[:500],
        once_field=FIELD,
        once_word=fresh_word(),
    )


async def _previewed(desk: Desk, account: AccountView, wish: Wish) -> Previewed:
    preview = await desk.accounts.preview(account.account.id, wish.plan.id, when=wish.when)
    marks = {"was": account.plan_id, "period": str(account.period.start_ms)}
    if preview.price is not None:
        marks["until"] = str(preview.price.honoured_until_ms)
    return Previewed(wish, preview, marks)


def _wish(desk: Desk, plan_id: str, when: str) -> Wish:
    plan = desk.plans().get(plan_id)
    if plan is None:
        raise WrongParameter("plan", "there is no such plan; choose one of the list")
    if when not in WHEN:
        raise WrongParameter("when", "a plan changes now, or when the period ends")
    return Wish(plan, ChangeAt(when) if when else None)


def _stale(visit: Visit, account: AccountView) -> str:
    """Why what was seen holds no more; empty: it does."""
    form, until = visit.form, visit.form.get("until")
    if (form["was"], form["period"]) != (account.plan_id, str(account.period.start_ms)):
        return LOOK_AGAIN.replace("Your", "The account's")
    if until:
        known = until.isascii() and until.isdigit() and len(until) < 16  # noqa: PLR2004 - an instant in ms
        if not known or visit.now_ms > int(until) - MARGIN_MS:
            at = f" until {from_epoch_ms(int(until)):%H:%M} UTC" if known else ""
            return f"The price you saw was honoured{at}. This is the price now."
    return ""
