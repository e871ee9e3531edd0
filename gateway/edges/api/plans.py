"""`GET /api/v1/billing/plans`: everything that is sold, with the prices in credits, and which plan is the account's."""

import orjson

from gateway.domain.plan import PayAsYouGo, Plan
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.edges.api.endpoint import Ask, Document, Endpoint
from gateway.edges.api.replies.billing import Plans
from gateway.edges.api.usage_document import amount
from gateway.edges.desk import Desk


def plan_endpoints(desk: Desk) -> list[Endpoint]:
    """One list, in the order of the plans file."""

    async def listed(ask: Ask) -> Document:
        mine = await desk.accounts.show(ask.account_id)
        return {
            "currency": "USD",
            "plans": [
                {**plan_document(plan), "current": plan.id == mine.plan_id, "pending": plan.id == mine.pending_plan_id}
                for plan in desk.plans().values()
            ],
            "rate_card": rate_card_document(desk.rate_card()),
        }

    return [Endpoint("GET", "/api/v1/billing/plans", listed, "Plans, limits and prices", "billing", reply=Plans)]


def plan_document(plan: Plan) -> dict[str, object]:
    """A plan as sold."""
    return {
        "id": plan.id,
        "name": plan.name,
        "price_cents": plan.price_cents,
        "months": plan.months,
        "included_credits": amount(plan.granted_millicredits),
        "when_exhausted": plan.when_exhausted.value,
        "pay_as_you_go": None if plan.pay_as_you_go is None else _pay_as_you_go(plan.pay_as_you_go),
        "rate_limits": [
            {
                "name": name,
                "calls": None if limit is None else limit.calls,
                "window_s": None if limit is None else limit.window_ms / 1000,
            }
            for name, limit in plan.rate_limits.items()
        ],
        "concurrent_calls": plan.concurrent_calls,
        "support": plan.support,
        "contract": plan.contract,
    }


def rate_card_document(card: RateCard) -> dict[str, object]:
    """The price list in force."""
    return {
        "version": card.version,
        "effective": card.effective.isoformat(),
        "products": [_rates(rates) for rates in card.products.values()],
    }


def _rates(rates: ProductRates) -> dict[str, object]:
    return {
        "product": rates.product,
        "unit": rates.unit,
        "default_mode": rates.default_mode,
        "modes": [
            {"mode": mode, "unit": rates.unit_of(mode), "credits_per_unit": amount(price)}
            for mode, price in rates.rates_millicredits.items()
        ],
        "add_ons": [
            {"name": name, "credits_per_unit": amount(price)} for name, price in rates.add_ons_millicredits.items()
        ],
    }


def _pay_as_you_go(price: PayAsYouGo) -> dict[str, object]:
    return {
        "usd_per_1000_credits": usd_per_1000_credits(price.nanodollars_per_millicredit),
        "tiers": [
            {
                "up_to_credits": None if tier.up_to_millicredits is None else amount(tier.up_to_millicredits),
                "usd_per_1000_credits": usd_per_1000_credits(tier.nanodollars_per_millicredit),
            }
            for tier in price.tiers
        ],
        "max_cents_per_period": price.max_cents_per_period,
    }


def usd_per_1000_credits(nanodollars_per_millicredit: int) -> orjson.Fragment:
    """Dollars as a JSON number. A nano-dollar a millicredit is a thousandth of a dollar for 1,000 credits."""
    return amount(nanodollars_per_millicredit)
