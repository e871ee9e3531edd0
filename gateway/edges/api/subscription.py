"""What the account is on, what another plan would mean to the cent, and going there.

The rules are the flows': upgrades at once, downgrades when the period ends, contracts by support.
"""

from typing import Any, Literal

from pydantic import Field

from gateway.domain.admission import RefusalCode
from gateway.domain.instant import epoch_ms
from gateway.edges.api.checked import did_you_mean
from gateway.edges.api.endpoint import Ask, Document, Endpoint, Strict, wrong_member
from gateway.edges.api.replies.billing import ChangedSubscription, Preview, Subscription
from gateway.edges.api.usage_document import amount, instant
from gateway.edges.desk import Desk
from gateway.edges.documents.invoice_json import invoice_json, line_json
from gateway.flows.accounts import AccountView
from gateway.flows.change_plan import ChangeAt, PlanChange
from gateway.flows.charge_change import ToldPrice
from gateway.flows.invoice_document import line_document
from gateway.flows.preview_plan import PlanPreview
from gateway.wire.problems import Fault

PATH = "/api/v1/billing/subscription"


class PlanWish(Strict):
    """Another plan, or the current one to take a pending change back."""

    plan: str = Field(min_length=1, max_length=64)
    when: Literal["now", "period_end"] | None = Field(
        None, description="Left out: a dearer plan at once, any other when the period ends"
    )

    return_url: str | None = Field(
        None,
        max_length=2_048,
        pattern=r"^https?://[^\s/?#@\\]+([/?#][^\s\\]*)?$",
        description="Where the card's owner comes back to who must confirm the payment",
    )

    def at(self) -> ChangeAt | None:
        """`when` in the flows' words."""
        return None if self.when is None else ChangeAt(self.when)


def subscription_endpoints(desk: Desk) -> list[Endpoint]:
    """Read it, change it, and know beforehand."""

    async def shown(ask: Ask) -> Document:
        return subscription_document(desk, await desk.accounts.show(ask.account_id))

    async def changed(ask: Ask) -> Document:
        wish: PlanWish = ask.body
        known_plan(desk, wish.plan)
        change = await desk.accounts.change_plan(
            ask.account_id,
            wish.plan,
            when=wish.at(),
            actor=ask.actor,
            by_owner=True,
            return_url=wish.return_url,
        )
        return await changed_document(desk, change)

    async def previewed(ask: Ask) -> Document:
        wish: PlanWish = ask.body
        known_plan(desk, wish.plan)
        # A key for some products only may look, and must not replace the price that an owner was told.
        honour = ask.caller.products is None
        found = await desk.accounts.preview(ask.account_id, wish.plan, when=wish.at(), by_owner=True, honour=honour)
        return preview_document(found)

    return [
        Endpoint("GET", PATH, shown, "What the account is on", "billing", reply=Subscription, edits=shown),
        Endpoint(
            "PUT",
            PATH,
            changed,
            "Change the plan, or take a pending change back",
            "billing",
            reply=ChangedSubscription,
            body=PlanWish,
            edits=shown,
            whole_key=True,
            problems=(Fault.NOT_POSSIBLE, RefusalCode.PAYMENT_REQUIRED),
        ),
        Endpoint(
            "POST",
            f"{PATH}/preview",
            previewed,
            "What a change of plan would do and cost; honoured for ten minutes",
            "billing",
            reply=Preview,
            body=PlanWish,
            problems=(Fault.NOT_POSSIBLE,),
        ),
    ]


def known_plan(desk: Desk, plan_id: str) -> None:
    """Refuse with the nearest name where there is no such plan."""
    plans = list(desk.plans())
    if plan_id not in plans:
        raise wrong_member("plan", f"is no plan{did_you_mean(plan_id, plans)}")


def subscription_document(desk: Desk, view: AccountView) -> dict[str, Any]:
    """What the account is on; says nothing that calls change, so that its ETag lasts."""
    pending = None
    if view.pending_plan_id is not None:
        pending = {"plan": _plan_name(desk, view.pending_plan_id), "starts_at": instant(view.period.end_ms)}
    return {
        "account_id": view.account.id,
        "status": view.account.status.value,
        "plan": _plan_name(desk, view.plan_id),
        "period": {"start": instant(view.period.start_ms), "end": instant(view.period.end_ms)},
        "included_credits": amount(view.period.granted_millicredits),
        "pending": pending,
    }


async def changed_document(desk: Desk, change: PlanChange) -> dict[str, Any]:
    """After a change."""
    invoice = None if change.invoice is None else await desk.invoices.find(change.invoice.id)
    takes_effect = "now"
    if change.plan_id == change.previous_plan_id:
        takes_effect = "stays"
    elif change.effective_ms > epoch_ms(await desk.accounts.now(change.account_id)):
        takes_effect = "period_end"
    return {
        "change": {
            "previous_plan": change.previous_plan_id,
            "plan": change.plan_id,
            "takes_effect": takes_effect,
            "effective_at": instant(change.effective_ms),
        },
        "subscription": subscription_document(desk, await desk.accounts.show(change.account_id)),
        "invoice": None if invoice is None else invoice_json(invoice),
    }


def preview_document(preview: PlanPreview) -> dict[str, Any]:
    """Before a change."""
    return {
        "account_id": preview.account_id,
        "current_plan": preview.previous_plan_id,
        "plan": preview.plan_id,
        "takes_effect": preview.takes_effect.value,
        "effective_at": instant(preview.effective_ms),
        "included_credits": amount(preview.included_millicredits),
        "replaces_pending": preview.replaced_plan_id,
        "price": None if preview.price is None else _price(preview.price),
        "summary": preview.sentence(preview=True),
    }


def _price(price: ToldPrice) -> dict[str, Any]:
    return {
        "lines": [line_json(line_document(line)) for line in price.lines],
        "subtotal_cents": price.sums.subtotal_cents,
        "tax_cents": price.sums.tax_cents,
        "total_cents": price.sums.total_cents,
        "honoured_until": None if price.honoured_until_ms is None else instant(price.honoured_until_ms),
    }


def _plan_name(desk: Desk, plan_id: str) -> dict[str, str]:
    plan = desk.plans().get(plan_id)
    return {"id": plan_id, "name": plan_id if plan is None else plan.name}
