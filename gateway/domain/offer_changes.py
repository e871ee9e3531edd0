"""What differs between two sets of plans and two rate cards, setting by setting, as an operator would read it.

Compares what is meant, not how it is written: comments, order and spelling of numbers make no difference.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gateway.domain.credits import credits_text
from gateway.domain.money import dollars_text
from gateway.domain.plan import Plan, RateLimit
from gateway.domain.rate_card import ProductRates, RateCard
from gateway.domain.replay import Offer

_NANODOLLARS_PER_MILLICREDIT = 1_000  # a dollar per 1,000 credits


class OfferChange(NamedTuple):
    """One setting; None where there is none on that side."""

    what: str
    before: str | None
    after: str | None


def offer_changes(old: Offer, new: Offer) -> list[OfferChange]:
    """Every setting that differs: plans first, then prices, in the order of the new files."""
    found = [*_differences(_plans(old.plans), _plans(new.plans))]
    return [*found, *_differences(_rates(old.rate_card), _rates(new.rate_card))]


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[OfferChange]:
    for what in dict.fromkeys((*new, *old)):
        before, after = old.get(what), new.get(what)
        if before != after:
            yield OfferChange(what, before, after)


def _plans(plans: Mapping[str, Plan]) -> dict[str, str]:
    said: dict[str, str] = {}
    for plan_id, plan in plans.items():
        said |= {f"{plan_id}.{name}": text for name, text in _plan(plan)}
    return said


def _plan(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "name", plan.name
    if plan.contract:
        yield "contract", "true"
    yield "price", dollars_text(plan.price_cents)
    yield "monthly credits", credits_text(plan.granted_millicredits)
    yield "when exhausted", plan.when_exhausted.value
    if plan.pay_as_you_go is not None:
        price, ceiling = plan.pay_as_you_go.nanodollars_per_millicredit, plan.pay_as_you_go.max_cents_per_period
        yield "pay as you go, 1,000 credits", f"${price // _NANODOLLARS_PER_MILLICREDIT}.{price % 1000:03d}"
        yield "pay as you go, at most", "any amount" if ceiling is None else dollars_text(ceiling)
    for name, limit in sorted(plan.rate_limits.items()):
        yield f"rate limit {name}", _limit(limit)
    if plan.concurrent_calls is not None:
        yield "concurrent calls", str(plan.concurrent_calls)
    if plan.support:
        yield "support", plan.support


def _limit(limit: RateLimit | None) -> str:
    return "unlimited" if limit is None else f"{limit.calls} in {credits_text(limit.window_ms)} s"


def _rates(card: RateCard) -> dict[str, str]:
    said = {"rate card version": card.version, "rate card effective": card.effective.isoformat()}
    for name, rates in card.products.items():
        said |= {f"{name}: {what}": text for what, text in _product(rates)}
    return said


def _product(rates: ProductRates) -> Iterator[tuple[str, str]]:
    for mode, price in rates.rates_millicredits.items():
        yield mode, f"{credits_text(price)} a {rates.unit_of(mode)}"
    for name, price in rates.add_ons_millicredits.items():
        yield f"add-on {name}", f"{credits_text(price)} a {rates.unit}"
    yield "default mode", rates.default_mode or "none"
    for alias, mode in rates.aliases.items():
        yield f"alias {alias}", mode
