"""A contract's file: its shape, and the contract of the domain made from it. Knows no account and no plan."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Final

from pydantic import Field

from gateway.config_files.judge import did_you_mean
from gateway.config_files.plans_file import Dollars, NetDays, PartOfOne, UsdPer1000Credits
from gateway.config_files.shape import Credits, Date, Name, Rate, Shape, Whole
from gateway.config_files.yaml_source import YamlSource
from gateway.domain.contract import BillingPeriod, Contract, OverageMode
from gateway.domain.instant import epoch_ms
from gateway.domain.plan import RateLimit, Tier

MOST_TIERS: Final = 20


class TierShape(Shape):
    """One price of graduated ones."""

    up_to_credits: Credits | None = None
    """Where it ends, in credits beyond the committed ones of a period; the last tier has no end."""
    usd_per_1000_credits: UsdPer1000Credits


class OverageShape(Shape):
    """What happens when the committed credits of a period are used up."""

    mode: OverageMode = OverageMode.REFUSE
    usd_per_1000_credits: UsdPer1000Credits | None = None
    """One price for all of them; or `tiers`."""
    tiers: Annotated[tuple[TierShape, ...], Field(max_length=MOST_TIERS)] = ()
    """Graduated prices, in order: each for its own credits alone."""
    max_usd_per_period: Dollars | None = None
    """The most that can be spent on them in a period; left out: no ceiling."""


class ContractShape(Shape):
    """What one account agreed to in place of its plan's terms."""

    period: BillingPeriod = BillingPeriod.MONTHLY
    price_usd: Dollars
    """Per period, in advance."""
    committed_credits: Credits
    """Granted at the start of every period."""
    overage: OverageShape = OverageShape()
    rollover: PartOfOne = 0
    """The part of a period's unused credits that the next one is given: 0 to 1."""
    rate_limits: Mapping[Name, Rate] = Field(default_factory=dict)
    """In place of the plan's limits of these names."""
    concurrent_calls: Annotated[Whole, Field(ge=1, le=1_000_000)] | None = None
    """In place of the plan's."""
    net_days: NetDays = 0
    """Days until an invoice is due."""
    starts: Date | None = None
    """The first period that begins on this day (UTC) or later. Left out: at once, or with the next period where a
    contract is in force."""
    ends: Date | None = None
    """A period that begins on this day (UTC) or later is no longer under the contract; left out: none."""


def check_contract(file: ContractShape, known_limits: Collection[str], source: YamlSource) -> None:
    """What only a look at the whole contract can tell. `known_limits` are the names of the plans' rate limits."""
    for name in file.rate_limits:
        if name not in known_limits:
            sentence = f"no plan has a rate limit '{name}'{did_you_mean(name, known_limits)}"
            source.report(("rate_limits", name), sentence, at_key=True)
    overage = file.overage
    prices = overage.usd_per_1000_credits is not None or overage.tiers
    if overage.mode is OverageMode.REFUSE:
        for setting in ("usd_per_1000_credits", "tiers", "max_usd_per_period"):
            if getattr(overage, setting):
                source.report(("overage", setting), "is the price of nothing: mode says refuse", at_key=True)
    elif not prices:
        sentence = f"needs usd_per_1000_credits or tiers: mode says {overage.mode.value}"
        source.report(("overage",), sentence, at_key=True)
    if overage.usd_per_1000_credits is not None and overage.tiers:
        source.report(("overage", "tiers"), "cannot stand beside usd_per_1000_credits: leave one out", at_key=True)
    if overage.mode is OverageMode.ALLOW_AND_ALERT and overage.max_usd_per_period is not None:
        sentence = "stops nothing where mode says allow_and_alert; leave it out, or say pay_as_you_go"
        source.report(("overage", "max_usd_per_period"), sentence, at_key=True)
    _check_tiers(overage.tiers, source)
    if file.starts is not None and file.ends is not None and file.ends <= file.starts:
        source.report(("ends",), f"must be after starts, {file.starts.isoformat()}")


def _check_tiers(tiers: tuple[TierShape, ...], source: YamlSource) -> None:
    below = 0
    for at, tier in enumerate(tiers):
        path = ("overage", "tiers", at, "up_to_credits")
        last = at == len(tiers) - 1
        if tier.up_to_credits is None:
            if not last:
                source.report(path[:-1], "needs up_to_credits: only the last tier has no end")
        elif last:
            source.report(path, "must be left out: the last tier has no end", at_key=True)
        elif tier.up_to_credits <= below:
            source.report(path, "must be above where the tier before ends")
        below = tier.up_to_credits or below


def contract(file: ContractShape) -> Contract:
    """The contract of the domain."""
    overage = file.overage
    flat = overage.usd_per_1000_credits
    tiers = tuple(Tier(tier.up_to_credits, tier.usd_per_1000_credits) for tier in overage.tiers)
    return Contract(
        committed_millicredits=file.committed_credits,
        price_cents=file.price_usd,
        period=file.period,
        overage=overage.mode,
        tiers=tiers if flat is None else (Tier(None, flat),),
        max_cents_per_period=overage.max_usd_per_period,
        rate_limits={
            name: None if limit is None else RateLimit(name, calls=limit[0], window_ms=limit[1])
            for name, limit in file.rate_limits.items()
        },
        concurrent_calls=file.concurrent_calls,
        rollover_parts_per_million=file.rollover,
        net_days=file.net_days,
        ends_ms=None if file.ends is None else day_ms(file.ends),
    )


def day_ms(day: date) -> int:
    """When a day begins in UTC, in epoch ms."""
    return epoch_ms(datetime.combine(day, time(), UTC))
