"""Changing the plan: first what it means, to the cent and the minute; then, confirmed, the change.

The form carries what its reader saw: the plan and period they were on, and until when the price is honoured. Where
that holds no more the page is shown again instead. So a form that is sent twice, or lies around for a month, changes
the plan once or not at all.
"""

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.domain.payment import PaymentMethod
from gateway.domain.plan import Plan
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.formats import clock_time, date, money
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.accounts import AccountView
from gateway.flows.change_plan import PlanChange
from gateway.flows.faults import CallerFault, NoSuchThing, PaymentNeeded
from gateway.flows.invoice_document import describe
from gateway.flows.preview_plan import PlanPreview, TakesEffect

# A price must still be honoured when the change is made, a moment after the form is looked at.
MARGIN_MS: Final = 5_000
LOOK_AGAIN: Final = "Your plan or billing period changed since you opened that page. This is how it stands now."


@dataclass(frozen=True, slots=True)
class Shown:
    """A change as it is asked for: from one plan to another.

    `charges`: what is due is taken at once, from the first of `methods`; else a person pays the invoice.
    """

    account: AccountView
    current: Plan | None
    wished: Plan
    preview: PlanPreview
    charges: bool
    methods: tuple[PaymentMethod, ...]

    @property
    def lacks_method(self) -> bool:
        """Whether it is to be paid at once, and there is nothing to pay with."""
        price = self.preview.price
        return self.charges and not self.methods and price is not None and price.sums.total_cents > 0

    @property
    def current_name(self) -> str:
        """As it is sold, or was."""
        return self.current.name if self.current is not None else self.account.plan_id

    @property
    def at_once(self) -> bool:
        """Whether it takes effect, and is paid, now."""
        return self.preview.takes_effect is TakesEffect.NOW

    @property
    def is_cancelling(self) -> bool:
        """Whether a paid plan is given up for one without a price."""
        return not self.at_once and self.wished.price_cents == 0 and not self.wished.contract

    @property
    def lines(self) -> list[tuple[str, int]]:
        """What is invoiced now: words and cents."""
        price = self.preview.price
        return [] if price is None else [(describe(line), line.amount_cents) for line in price.lines]


def plan_change_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/pricing/…`: what a change means, the change, and taking a pending one back."""
    path = f"{pages.door.home}/pricing"
    desk = pages.parts.desk

    async def look(visit: Visit) -> Response:
        account, wished = await _asked(desk, visit)
        if wished.id == account.plan_id and account.pending_plan_id is None:
            return visit.go(pages.door.home, f"You are on {wished.name} already.", Tone.PLAIN)
        return await _page(desk, visit, account, wished)

    async def change(visit: Visit) -> Response:
        account, wished = await _asked(desk, visit)
        if (settled := _settled(visit, account, wished)) is not None:
            return settled
        return_url = f"{pages.browsers.origin(visit.request)}{pages.door.home}"
        try:
            made = await desk.accounts.change_plan(
                account.account.id,
                wished.id,
                actor=visit.visitor.actor,
                reason="asked for on the dashboard",
                by_owner=True,
                return_url=return_url,
            )
        except PaymentNeeded as needed:
            return await _page(desk, visit, account, wished, needed=needed)
        return visit.go(pages.door.home, _said(made, wished, visit.own_now_ms))

    async def undo(visit: Visit) -> Response:
        account = await desk.accounts.show(visit.account_id)
        current = desk.plans().get(account.plan_id)
        if account.pending_plan_id is None or current is None:
            return visit.go(pages.door.home, "There was no change to take back.", Tone.PLAIN)
        await desk.accounts.change_plan(
            account.account.id, current.id, actor=visit.visitor.actor, reason="taken back on the dashboard"
        )
        return visit.go(pages.door.home, f"You stay on {current.name}.")

    return [
        pages.post(f"{path}/undo", undo),
        pages.get(f"{path}/{{plan_id}}", look),
        pages.post(f"{path}/{{plan_id}}", change),
    ]


async def _asked(desk: Desk, visit: Visit) -> tuple[AccountView, Plan]:
    plan = desk.plans().get(visit.request.path_params["plan_id"])
    if plan is None:
        raise NoSuchThing("plan", visit.request.path_params["plan_id"])
    return await desk.accounts.show(visit.account_id), plan


async def _page(
    desk: Desk, visit: Visit, account: AccountView, wished: Plan, *, needed: PaymentNeeded | None = None
) -> Response:
    try:
        preview = await desk.accounts.preview(account.account.id, wished.id, by_owner=True, honour=visit.may_change)
    except CallerFault as fault:
        return visit.go(f"{visit.pages.door.home}/pricing", f"{str(fault).capitalize()}.", Tone.BAD)
    return visit.page(
        "plan_change.html",
        title=f"Change to {wished.name}",
        section="pricing",
        status=200 if needed is None else 402,
        it=Shown(
            account,
            desk.plans().get(account.plan_id),
            wished,
            preview,
            desk.payments.charges,
            tuple(await desk.payment_methods.of_account(account.account.id)),
        ),
        needed=needed,
    )


def _settled(visit: Visit, account: AccountView, wished: Plan) -> Response | None:
    """The answer where nothing is to be done any more, or not on these terms; None: go ahead."""
    home, form = visit.pages.door.home, visit.form
    if wished.id == account.plan_id and account.pending_plan_id is None:
        return visit.go(home, f"You are on {wished.name}.")
    if wished.id == account.pending_plan_id:
        return visit.go(home, f"You change to {wished.name} on {date(account.period.end_ms)}.")
    again = f"{home}/pricing/{wished.id}"
    if (form["plan"], form["period"]) != (account.plan_id, str(account.period.start_ms)):
        return visit.go(again, LOOK_AGAIN, Tone.PLAIN)
    until = form.get("until")
    if until and not (until.isascii() and until.isdigit() and len(until) < 16):  # noqa: PLR2004
        return visit.go(again, LOOK_AGAIN, Tone.PLAIN)
    if until and visit.own_now_ms > int(until) - MARGIN_MS:
        said = f"The price you saw was honoured until {clock_time(int(until))}. This is the price now."
        return visit.go(again, said, Tone.PLAIN)
    return None


def _said(made: PlanChange, wished: Plan, now_ms: int) -> str:
    if made.effective_ms > now_ms:
        return f"Done. Your change to {wished.name} waits for {date(made.effective_ms)}."
    if made.invoice is None:
        return f"You are on {wished.name} now."
    return f"You are on {wished.name} now. Invoice {made.invoice.number} is of {money(made.invoice.total_cents)}."
