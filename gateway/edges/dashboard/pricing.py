"""The pricing page: the plans side by side, what each product and mode costs, and how to spend less.

Everything comes from the plans and the rate card in force; the page knows no price.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from gateway.books.billing_details import SELLER
from gateway.domain.plan import Plan
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.edges.dashboard.pages import Pages, Visit
from gateway.edges.desk import Desk
from gateway.flows.accounts import AccountView

# Of a product with many modes the first are shown, in the order of the card; the others are a click away.
FIRST_MODES: Final = 4
_THOUSAND: Final = 1_000


class Step(StrEnum):
    """What choosing a plan would be."""

    CURRENT = "current"
    PENDING = "pending"
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    CONTACT = "contact"


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan as it is offered to this account."""

    plan: Plan
    step: Step


@dataclass(frozen=True, slots=True)
class Rate:
    """What one mode or add-on costs. `thousand_cents`: 1,000 of its units as pay-as-you-go; None where none is sold."""

    name: str
    unit: str
    millicredits: int
    thousand_cents: int | None


@dataclass(frozen=True, slots=True)
class ProductPrices:
    """One product's part of the rate card."""

    product: str
    first: tuple[Rate, ...]
    others: tuple[Rate, ...]
    add_ons: tuple[Rate, ...]


def pricing_routes(pages: Pages) -> list[Route]:
    """`/settings/billing/pricing`."""
    desk = pages.parts.desk

    async def look(visit: Visit) -> Response:
        account = await desk.accounts.show(visit.account_id)
        plans = list(desk.plans().values())
        card = desk.rate_card()
        return visit.page(
            "pricing.html",
            title="Pricing",
            section="pricing",
            account=account,
            offers=offers(plans, account),
            card=card,
            products=prices(card, plans),
            page_rate=page_rate(card),
            contact=await contact(desk),
        )

    return [pages.get(f"{pages.door.home}/pricing", look)]


def offers(plans: Sequence[Plan], account: AccountView) -> list[Offer]:
    """The plans in the order they are sold, and what each would mean for the account."""
    current = next((plan for plan in plans if plan.id == account.plan_id), None)
    return [Offer(plan, _step(plan, current, account)) for plan in plans]


def prices(card: RateCard, plans: Iterable[Plan]) -> list[ProductPrices]:
    """The card, product by product. Money is by the dearest pay-as-you-go on sale, so nobody pays more than it says."""
    per_millicredit = max((plan.nanodollars_per_millicredit or 0 for plan in plans), default=0)
    return [_of_product(product, per_millicredit) for product in card.products.values()]


def page_rate(card: RateCard) -> Rate | None:
    """What a page of Parse costs where nobody asks for more, to tell how far a plan goes."""
    parse = card.products.get("parse")
    if parse is None or parse.default_mode is None:
        return None
    cost = parse.rates_millicredits[parse.default_mode]
    return Rate(parse.default_mode, parse.unit_of(parse.default_mode), cost, None) if cost else None


async def contact(desk: Desk) -> str:
    """Where to write to about a contract: the seller's address on invoices; empty where none is set."""
    return (await desk.invoices.details(SELLER)).email


def _step(plan: Plan, current: Plan | None, account: AccountView) -> Step:
    if plan.id == account.plan_id:
        return Step.CURRENT
    if plan.id == account.pending_plan_id:
        return Step.PENDING
    if plan.contract or current is None or current.contract:
        return Step.CONTACT
    return Step.UPGRADE if plan.price_cents > current.price_cents else Step.DOWNGRADE


def _of_product(product: ProductRates, per_millicredit: int) -> ProductPrices:
    rates = [
        _rate(mode, product.unit_of(mode), cost, per_millicredit) for mode, cost in product.rates_millicredits.items()
    ]
    first = FIRST_MODES if len(rates) > FIRST_MODES + 2 else len(rates)
    add_ons = [_rate(name, product.unit, cost, per_millicredit) for name, cost in product.add_ons_millicredits.items()]
    return ProductPrices(product.product, tuple(rates[:first]), tuple(rates[first:]), tuple(add_ons))


def _rate(name: str, unit: str, millicredits: int, per_millicredit: int) -> Rate:
    nanodollars = millicredits * _THOUSAND * per_millicredit
    return Rate(name, unit, millicredits, -(-nanodollars // 10_000_000) if per_millicredit else None)
