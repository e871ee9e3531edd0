"""What limits an account: its own spend limit and alert thresholds, budgets of projects and keys; raises by operators.

A change acts on every gateway process at the account's next call.
"""

from typing import Annotated, Any

from pydantic import Field

from gateway.domain.instant import epoch_ms
from gateway.domain.limits import ALERT_PERCENTS, SpendLimits
from gateway.edges.api.amounts import Credits, millicredits
from gateway.edges.api.endpoint import Answer, Area, Ask, Document, Endpoint, Strict, wrong_member
from gateway.edges.api.instants import NearInstant
from gateway.edges.api.replies.limits import Limits
from gateway.edges.desk import Desk
from gateway.edges.documents.limits_json import limits_json, own_limits_json
from gateway.flows.limits import MOST_CENTS, MOST_PERCENT, MOST_THRESHOLDS
from gateway.wire.problems import Fault

Percent = Annotated[int, Field(ge=1, le=MOST_PERCENT)]
CentsLimit = Annotated[int, Field(ge=1, le=MOST_CENTS)]


class LimitsWish(Strict):
    """All of the account's own limits: what is left out goes back to what it is without."""

    pay_as_you_go: bool = Field(
        default=True, description="Off: calls are refused once the included credits are used up"
    )
    max_cents: Annotated[int, Field(ge=0, le=MOST_CENTS)] | None = Field(
        None, description="The most pay-as-you-go may cost in a period; null: only the plan's ceiling counts"
    )
    alert_percent: list[Percent] = Field(
        list(ALERT_PERCENTS), max_length=MOST_THRESHOLDS, description="Of the included credits"
    )
    alert_cents: list[CentsLimit] = Field([], max_length=MOST_THRESHOLDS, description="Of what pay-as-you-go has cost")

    def own(self) -> SpendLimits:
        """In the flows' words."""
        return SpendLimits(self.pay_as_you_go, self.max_cents, tuple(self.alert_percent), tuple(self.alert_cents))


class BudgetWish(Strict):
    """At most so many credits in each billing period."""

    credits: Credits


class RaiseWish(Strict):
    """A higher ceiling than the plan's, in money or in credits, for a while."""

    max_cents: CentsLimit | None = None
    max_credits: Credits | None = None
    until: NearInstant
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


class EndRaiseWish(Strict):
    """Why, if that is worth a word."""

    reason: str = Field("", max_length=500)


def limit_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """An account's limits and budgets."""
    path = f"{area.base}/limits"
    budget = f"{path}/budgets/{{subject_id}}"

    async def own(ask: Ask) -> Document:
        """What can be edited: without what calls change, so that an ETag lasts."""
        return own_limits_json(await desk.limits.own(area.account_of(ask)))

    async def shown(ask: Ask) -> Document:
        return limits_json(await desk.limits.get(area.account_of(ask)))

    async def changed(ask: Ask) -> Document:
        wish: LimitsWish = ask.body
        return limits_json(await desk.limits.change(area.account_of(ask), lambda _: wish.own(), actor=ask.actor))

    async def budget_set(ask: Ask) -> Document:
        wish: BudgetWish = ask.body
        limit = millicredits("credits", wish.credits)
        return limits_json(
            await desk.limits.set_budget(area.account_of(ask), ask.path("subject_id"), limit, actor=ask.actor)
        )

    async def budget_removed(ask: Ask) -> Document:
        return limits_json(
            await desk.limits.remove_budget(area.account_of(ask), ask.path("subject_id"), actor=ask.actor)
        )

    missing = (Fault.NO_SUCH_RESOURCE, Fault.NO_SUCH_PROJECT)
    return [
        _endpoint("GET", path, shown, "Spend limit, alert thresholds, budgets", edits=own, problems=missing),
        _endpoint(
            "PUT",
            path,
            changed,
            "Set pay-as-you-go, the spend limit and alert thresholds",
            body=LimitsWish,
            edits=own,
            whole_key=area.whole_key,
            problems=missing,
        ),
        _endpoint(
            "PUT",
            budget,
            budget_set,
            "Give a project or an API key a budget",
            body=BudgetWish,
            whole_key=area.whole_key,
            problems=missing,
        ),
        _endpoint("DELETE", budget, budget_removed, "Take a budget away", whole_key=area.whole_key, problems=missing),
    ]


def raise_endpoints(desk: Desk, area: Area) -> list[Endpoint]:
    """Raises of an account's ceiling, which are the operator's to give."""
    path = f"{area.base}/limits/raise"

    async def raised(ask: Ask) -> Document:
        wish: RaiseWish = ask.body
        if (wish.max_cents is None) == (wish.max_credits is None):
            raise wrong_member("max_cents", "name either max_cents or max_credits")
        return limits_json(
            await desk.limits.raise_ceiling(
                area.account_of(ask),
                until_ms=epoch_ms(wish.until),
                reason=wish.reason,
                max_cents=wish.max_cents,
                max_millicredits=None if wish.max_credits is None else millicredits("max_credits", wish.max_credits),
                actor=ask.actor,
            )
        )

    async def ended(ask: Ask) -> Document:
        wish: EndRaiseWish = ask.body
        return limits_json(await desk.limits.end_raise(area.account_of(ask), reason=wish.reason, actor=ask.actor))

    missing = (Fault.NO_SUCH_RESOURCE,)
    return [
        _endpoint("POST", path, raised, "Raise the ceiling for a while", body=RaiseWish, problems=missing),
        _endpoint("POST", f"{path}/end", ended, "End a raise before its time", body=EndRaiseWish, problems=missing),
    ]


def _endpoint(method: str, path: str, answer: Answer, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, path, answer, summary, "limits and alerts", reply=Limits, **more)
