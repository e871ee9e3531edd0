"""plans.yaml: its shape, and the plans of the domain made from it. Knows no route and no product."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, RootModel, WithJsonSchema

from gateway.config_files.amounts import cents
from gateway.config_files.shape import (
    Credits,
    Flag,
    Name,
    OptionalText,
    Rate,
    Shape,
    Whole,
    number,
    parsed,
)
from gateway.config_files.yaml_source import YamlSource
from gateway.domain.plan import PayAsYouGo, Plan, RateLimit, WhenExhausted

NANODOLLARS_PER_DOLLAR: Final = 1_000_000_000
MILLICREDITS_PER_1000_CREDITS: Final = 1_000_000
MAX_USD_PER_1000_CREDITS: Final = 1_000_000
PARTS_PER_MILLION: Final = 1_000_000
MAX_NET_DAYS: Final = 365


def _nanodollars_per_millicredit(value: Any) -> int:
    """A price for 1,000 credits; it must be a whole number of nano-dollars a millicredit: three decimals at most."""
    dollars: Decimal = number(value)
    if not 0 < dollars <= MAX_USD_PER_1000_CREDITS:
        raise ValueError("out of range")
    exact = dollars * NANODOLLARS_PER_DOLLAR / MILLICREDITS_PER_1000_CREDITS
    if exact != int(exact):
        raise ValueError("too fine")
    return int(exact)


def _cents(value: Any) -> int:
    return cents(number(value))


def _parts_per_million(value: Any) -> int:
    """A part of one, from 0 to 1, with at most six decimals."""
    exact = number(value) * PARTS_PER_MILLION
    if not 0 <= exact <= PARTS_PER_MILLION or exact != int(exact):
        raise ValueError("out of range")
    return int(exact)


Dollars = Annotated[
    int,
    BeforeValidator(parsed(_cents, "an amount in dollars: from 0, with at most two decimals")),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
UsdPer1000Credits = Annotated[
    int,
    BeforeValidator(parsed(_nanodollars_per_millicredit, "an amount in dollars: above 0, with at most three decimals")),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0}),
]
# A part of one in parts per million.
PartOfOne = Annotated[
    int,
    BeforeValidator(parsed(_parts_per_million, "a part of one: from 0 to 1, such as 0.25")),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
NetDays = Annotated[Whole, Field(ge=0, le=MAX_NET_DAYS)]


class PayAsYouGoShape(Shape):
    """The price of credits beyond the grant, and its ceiling."""

    usd_per_1000_credits: UsdPer1000Credits
    max_usd_per_period: Dollars | None = None
    """The most an account on this plan can spend on them in one billing period; left out: no ceiling."""


class PlanShape(Shape):
    """One plan, as sold."""

    name: OptionalText = None
    """As customers read it; the plan's id with a capital where left out."""
    price_usd: Dollars | None = None
    """Per month."""
    monthly_credits: Credits | None = None
    """Granted at the start of every billing period."""
    rate_limits: Mapping[Name, Rate] = Field(default_factory=dict)
    """By name; a route says which of them counts it. `unlimited` is a value."""
    concurrent_calls: Annotated[Whole, Field(ge=1, le=1_000_000)] | None = None
    """Calls and jobs that may hold credits at the same time; left out: any number."""
    when_exhausted: WhenExhausted = WhenExhausted.REFUSE
    pay_as_you_go: PayAsYouGoShape | None = None
    rollover: PartOfOne = 0
    """The part of a period's unused credits that the next one is given: 0 (none) to 1 (all)."""
    net_days: NetDays = 0
    """Days until an invoice is due; 0: at once."""
    support: str = ""
    contract: Flag = False
    """True: each account's contract says credits, limits and overage; what stands here holds where it says nothing."""


class PlansFile(RootModel[Mapping[Name, PlanShape]]):
    """The plans, by id."""

    root: Annotated[Mapping[Name, PlanShape], Field(min_length=1)]


def check_plans(file: PlansFile, source: YamlSource) -> None:
    """What only a look at the whole plan can tell."""
    for plan_id, plan in file.root.items():
        if not plan.contract:
            for setting in ("price_usd", "monthly_credits"):
                if getattr(plan, setting) is None:
                    source.report((plan_id, setting), "is missing", at_key=True)
        path = (plan_id, "pay_as_you_go")
        pays = plan.when_exhausted is WhenExhausted.PAY_AS_YOU_GO
        if pays and plan.pay_as_you_go is None:
            source.report(path, "is missing, but when_exhausted says pay_as_you_go", at_key=True)
        if not pays and plan.pay_as_you_go is not None:
            source.report(path, "is the price of nothing: when_exhausted says refuse", at_key=True)


def plans(file: PlansFile) -> dict[str, Plan]:
    """The plans of the domain."""
    return {plan_id: _plan(plan_id, shape) for plan_id, shape in file.root.items()}


def _plan(plan_id: str, shape: PlanShape) -> Plan:
    price = shape.pay_as_you_go
    overage = None if price is None else PayAsYouGo(price.usd_per_1000_credits, price.max_usd_per_period)
    return Plan(
        id=plan_id,
        name=shape.name or plan_id.capitalize(),
        price_cents=shape.price_usd or 0,
        granted_millicredits=shape.monthly_credits or 0,
        rate_limits={
            name: None if limit is None else RateLimit(name, calls=limit[0], window_ms=limit[1])
            for name, limit in shape.rate_limits.items()
        },
        when_exhausted=shape.when_exhausted,
        pay_as_you_go=overage,
        concurrent_calls=shape.concurrent_calls,
        support=shape.support,
        contract=shape.contract,
        rollover_parts_per_million=shape.rollover,
        net_days=shape.net_days,
    )
