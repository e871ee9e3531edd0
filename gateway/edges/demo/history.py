"""Ninety days of made-up, believable usage for the demo's accounts, booked as if it had passed through the gateway.

Seeded: two people who run the demo talk about the same charts. Only the demo writes history; nothing else may.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.books.periods import BookedPeriod
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.rate_card import RateCard
from gateway.domain.usage import CallFacts, Settlement, UsageEvent

DAYS: Final = 90
WORKDAYS: Final = 5


@dataclass(frozen=True, slots=True)
class Habit:
    """How an account uses one product and mode: calls on an ordinary workday, and pages (or units) a call."""

    product: str
    mode: str
    calls_a_day: float
    units: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose history it is."""

    account_id: str
    project_id: str
    key_id: str
    plan_id: str


def events(
    owner: Owner,
    habits: Sequence[Habit],
    periods: Sequence[BookedPeriod],
    card: RateCard,
    *,
    from_ms: int,
    to_ms: int,
    most_millicredits: int,
    seed: int,
) -> Iterator[UsageEvent]:
    """Usage events in order of time, never more than `most_millicredits` in one period."""
    dice = random.Random(seed)
    used: dict[int, int] = {}
    seq = 0
    for day_ms in range(from_ms, to_ms, DAY_MS):
        moments = sorted(_day(dice, habits, day_ms, growth=(day_ms - from_ms) / (to_ms - from_ms)), key=lambda m: m[0])
        for at_ms, habit in moments:
            period = next((one for one in periods if one.start_ms <= at_ms < one.end_ms), None)
            if period is None or at_ms >= to_ms:
                continue
            event = _event(dice, owner, habit, card, period=period, at_ms=at_ms, seq=seq + 1)
            spent = used.get(period.start_ms, 0) + event.captured_millicredits
            if spent <= most_millicredits:
                used[period.start_ms] = spent
                seq += 1
                yield event


def _day(dice: random.Random, habits: Sequence[Habit], day_ms: int, *, growth: float) -> Iterator[tuple[int, Habit]]:
    """The calls of one day: fewer at the weekend, more as the months go by, most in the early afternoon."""
    weekday = (day_ms // DAY_MS + 3) % 7
    rhythm = (1.0 if weekday < WORKDAYS else 0.25) * (0.6 + 0.6 * growth) * dice.uniform(0.6, 1.4)
    for habit in habits:
        for _ in range(_poisson(dice, habit.calls_a_day * rhythm)):
            hour = min(23.9, max(0.0, dice.gauss(13.5, 3.0)))
            yield day_ms + int(hour * HOUR_MS), habit


def _poisson(dice: random.Random, mean: float) -> int:
    """Knuth's way, good for the small means we use."""
    limit, count, product = math.exp(-mean), 0, dice.random()
    while product > limit:
        count += 1
        product *= dice.random()
    return count


def _event(
    dice: random.Random, owner: Owner, habit: Habit, card: RateCard, *, period: BookedPeriod, at_ms: int, seq: int
) -> UsageEvent:
    rates = card.products[habit.product]
    price = rates.rates_millicredits[habit.mode]
    if habit.product == "extract":
        price += card.products["parse"].rates_millicredits[habit.mode]
    units = dice.randint(*habit.units)
    request_id = f"req_{dice.getrandbits(128):032x}"
    facts = CallFacts(
        request_id=request_id,
        account_id=owner.account_id,
        project_id=owner.project_id,
        key_id=owner.key_id,
        product=habit.product,
        mode=habit.mode,
        unit=rates.unit,
        route="demo history",
        upstream=habit.product,
        plan_id=period.plan_id,
        rate_card_version=card.version,
        millicredits_per_unit=price,
        expected_units=units,
        quote_millicredits=units * price,
    )
    return UsageEvent(
        id=f"{request_id}.{Ending.CAPTURED}",
        ending=Ending.CAPTURED,
        facts=facts,
        settlement=Settlement(units, "made up for the demo"),
        held_millicredits=units * price,
        captured_millicredits=units * price,
        period_start_ms=period.start_ms,
        admitted_at_ms=at_ms,
        happened_at_ms=at_ms + dice.randint(200, 9_000),
        seq=seq,
        job_id=None,
    )
