"""What limits the account and when it hears of it: pay-as-you-go and its ceiling, alerts, budgets, rate limits.

Each form changes its own part and leaves the others as they are. What an operator raised is shown, not changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.domain.credits import credits_text
from gateway.domain.limits import SpendLimits
from gateway.edges.dashboard import entries
from gateway.edges.dashboard.confirm import Question, ask
from gateway.edges.dashboard.door import OWNERS
from gateway.edges.dashboard.flash import Tone
from gateway.edges.dashboard.formats import credits_, sentence
from gateway.edges.dashboard.limits_shown import LimitsPage, limits_page
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.faults import CallerFault, NoSuchThing, WrongParameter
from gateway.flows.limits import MOST_CENTS, MOST_PERCENT, MOST_THRESHOLDS, BudgetView

SECTION: Final = "limits"


def limit_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/limits` and what is below it."""
    answers = _Answers(pages.parts.desk, f"{pages.door.home}/limits")
    home, budget = answers.home, f"{answers.home}/budgets/{{subject_id}}"
    return [
        pages.get(home, answers.shown),
        pages.post(f"{home}/spend", answers.set_spend),
        pages.post(f"{home}/alerts", answers.set_alerts),
        pages.post(f"{home}/budgets", answers.add_budget),
        pages.get(budget, answers.edit_budget, roles=OWNERS),
        pages.post(budget, answers.set_budget),
        pages.get(f"{budget}/remove", answers.ask_remove_budget, roles=OWNERS),
        pages.post(f"{budget}/remove", answers.remove_budget),
    ]


@dataclass(frozen=True, slots=True)
class _Answers:
    """`home` is where the pages begin."""

    desk: Desk
    home: str

    async def shown(self, visit: Visit, wrong: Mapping[str, str] | None = None) -> Response:
        """The page; after a form that was wrong with what was typed, and what is wrong by field."""
        return visit.page(
            "limits.html",
            title="Limits and alerts",
            section=SECTION,
            status=422 if wrong else 200,
            it=await limits_page(self.desk, visit),
            typed=visit.form,
            wrong=wrong or {},
        )

    async def set_spend(self, visit: Visit) -> Response:
        switched_on = visit.form.get("pay_as_you_go") == "on"

        def edit(own: SpendLimits) -> SpendLimits:
            typed = visit.form["max_dollars"]
            most = entries.cents("max_dollars", typed) if typed else None
            if most is not None and most > MOST_CENTS:
                raise WrongParameter(
                    "max_dollars", f"At most ${MOST_CENTS // 100:,}; leave it empty for none of your own."
                )
            return replace(own, pay_as_you_go=switched_on, max_cents=most)

        said = "Saved. It counts from the next call on." if switched_on else "Pay-as-you-go is switched off."
        return await self._change(visit, edit, said)

    async def set_alerts(self, visit: Visit) -> Response:
        def edit(own: SpendLimits) -> SpendLimits:
            percents = [_percent("percent", one) for one in visit.form.every("percent")]
            amounts = [_cents("dollars", one) for one in visit.form.every("dollars")]
            if more := visit.form["more_percent"]:
                percents.append(_percent("more_percent", more))
            if more := visit.form["more_dollars"]:
                amounts.append(_cents("more_dollars", more))
            for field, values in (("more_percent", percents), ("more_dollars", amounts)):
                if len(set(values)) > MOST_THRESHOLDS:
                    raise WrongParameter(field, f"At most {MOST_THRESHOLDS} of them; untick one first.")
            return replace(own, alert_percents=tuple(percents), alert_cents=tuple(amounts))

        return await self._change(visit, edit, "Saved. You hear of what is crossed from now on.")

    async def add_budget(self, visit: Visit) -> Response:
        subject_id = visit.form["subject"]
        if not subject_id:
            return await self.shown(visit, {"subject": "Choose a project or a key."})
        try:
            most = entries.millicredits("credits", visit.form["credits"])
            await self.desk.limits.set_budget(visit.account_id, subject_id, most, actor=visit.visitor.actor)
        except NoSuchThing:
            return await self.shown(visit, {"subject": "This one is not there any more; choose another."})
        except WrongParameter as fault:
            return await self.shown(visit, {"credits": sentence(str(fault))})
        except CallerFault as fault:
            return await self.shown(visit, {"subject": sentence(str(fault))})
        return visit.go(
            self.home, f"The budget is {credits_(most)} credits a billing period; what was used of it counts."
        )

    async def edit_budget(self, visit: Visit, wrong: str = "") -> Response:
        page, budget = await self._budget(visit)
        typed = visit.form.get("credits") or credits_text(budget.limit_millicredits)
        return visit.page(
            "budget.html",
            title=f"Budget of {page.label(budget.subject_id)}",
            section=SECTION,
            status=422 if wrong else 200,
            it=page,
            budget=budget,
            typed=typed,
            wrong=wrong,
        )

    async def set_budget(self, visit: Visit) -> Response:
        page, budget = await self._budget(visit)
        try:
            most = entries.millicredits("credits", visit.form["credits"])
            await self.desk.limits.set_budget(visit.account_id, budget.subject_id, most, actor=visit.visitor.actor)
        except NoSuchThing:
            raise
        except CallerFault as fault:
            return await self.edit_budget(visit, sentence(str(fault)))
        return visit.go(self.home, f"The budget of {page.label(budget.subject_id)} is {credits_(most)} credits now.")

    async def ask_remove_budget(self, visit: Visit) -> Response:
        page, budget = await self._budget(visit)
        label = page.label(budget.subject_id)
        question = Question(
            title=f"Remove the budget of {label}?",
            section=SECTION,
            crumb=("Limits and alerts", self.home),
            says=[
                f"{label} may then use whatever the account may: its credits, and pay-as-you-go up to the ceiling.",
                "What was used stays counted and charged. You can set a budget again at any time.",
            ],
            action=f"{self.home}/budgets/{budget.subject_id}/remove",
            button="Remove the budget",
        )
        return ask(visit, question)

    async def remove_budget(self, visit: Visit) -> Response:
        subject_id = visit.request.path_params["subject_id"]
        await self.desk.limits.remove_budget(visit.account_id, subject_id, actor=visit.visitor.actor)
        return visit.go(self.home, "There is no budget for it any more.", Tone.PLAIN)

    async def _change(self, visit: Visit, edit: Callable[[SpendLimits], SpendLimits], said: str) -> Response:
        try:
            await self.desk.limits.change(visit.account_id, edit, actor=visit.visitor.actor)
        except NoSuchThing:
            raise
        except WrongParameter as fault:
            return await self.shown(visit, {fault.name: sentence(str(fault))})
        except CallerFault as fault:
            return await self.shown(visit, {"": sentence(str(fault))})
        return visit.go(self.home, said)

    async def _budget(self, visit: Visit) -> tuple[LimitsPage, BudgetView]:
        """The budget of the path, if the account has it. NoSuchThing."""
        subject_id = visit.request.path_params["subject_id"]
        page = await limits_page(self.desk, visit)
        for budget in page.limits.budgets:
            if budget.subject_id == subject_id:
                return page, budget
        raise NoSuchThing("budget", subject_id)


def _percent(field: str, typed: str) -> int:
    value = entries.percent(field, typed)
    if not 1 <= value <= MOST_PERCENT:
        raise WrongParameter(field, f"From 1 to {MOST_PERCENT} percent.")
    return value


def _cents(field: str, typed: str) -> int:
    value = entries.cents(field, typed)
    if not 1 <= value <= MOST_CENTS:
        raise WrongParameter(field, f"From $0.01 to ${MOST_CENTS // 100:,}.")
    return value
