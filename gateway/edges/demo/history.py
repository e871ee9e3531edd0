"""Months of made-up, believable usage for the demo's accounts, booked as if it had passed through the gateway.

Seeded: two people who run the demo talk about the same charts. Only the demo writes history; nothing else may.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.books.periods import BookedPeriod
from gateway.domain.hold import Ending
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.rate_card import RateCard
from gateway.domain.usage import CallFacts, Settlement, UsageEvent

# How busy an office is from Monday to Sunday, and someone who does it beside a job.
OFFICE: Final = (0.95, 1.1, 1.15, 1.05, 0.85, 0.2, 0.12)
SPARE_TIME: Final = (0.7, 0.6, 0.9, 0.6, 0.8, 1.8, 1.6)
# When: two humps of a working day or an evening (hour, spread), and what programs do around the clock.
OFFICE_HOURS: Final = ((9.8, 1.4), (14.6, 1.9))
EVENINGS: Final = ((20.5, 1.8), (22.0, 1.2))
AROUND_THE_CLOCK: Final = 0.18
# A day is somewhat like the one before, and never quite what was expected.
LIKE_YESTERDAY: Final = 0.6
SWING: Final = 0.13
# A mode that is taken up is tried for some days first.
TAKEN_UP_DAYS: Final = 9
# Documents are short more often than long.
MOST_OFTEN: Final = 0.15


@dataclass(frozen=True, slots=True)
class Habit:
    """How an account uses one product and mode: calls on an ordinary day, pages (or units) a call, with which key.

    `since_days`: taken up so many days ago; None: from the start.
    """

    product: str
    mode: str
    calls_a_day: float
    units: tuple[int, int]
    key: str = "production"
    since_days: int | None = None


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When an account works. `days_out`: days that were unlike the others, by how long ago, with how much they were."""

    week: tuple[float, ...] = OFFICE
    hours: tuple[tuple[float, float], ...] = OFFICE_HOURS
    days_out: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose history it is. `keys` are their ids and their projects', by name."""

    account_id: str
    keys: Mapping[str, tuple[str, str]]


def events(
    owner: Owner,
    habits: Sequence[Habit],
    rhythm: Rhythm,
    periods: Sequence[BookedPeriod],
    card: RateCard,
    *,
    from_ms: int,
    to_ms: int,
    most_percent: int,
    seed: int,
) -> Iterator[UsageEvent]:
    """Usage events in order of time, never more than `most_percent` of its allowance in one period."""
    dice = random.Random(seed)
    used: dict[int, int] = {}
    seq, mood = 0, 0.0
    for day_ms in range(from_ms // DAY_MS * DAY_MS, to_ms, DAY_MS):
        days_ago = (to_ms - day_ms) // DAY_MS
        mood = LIKE_YESTERDAY * mood + dice.gauss(0, SWING)
        grown = 0.62 + 0.5 * max(0.0, (day_ms - from_ms) / (to_ms - from_ms))
        busy = rhythm.week[(day_ms // DAY_MS + 3) % 7] * grown * math.exp(mood) * rhythm.days_out.get(days_ago, 1.0)
        calls = _day(dice, habits, rhythm, day_ms=day_ms, busy=busy, days_ago=days_ago)
        for at_ms, habit in sorted(calls, key=lambda call: call[0]):
            period = next((one for one in periods if one.start_ms <= at_ms < one.end_ms), None)
            if period is None or not from_ms <= at_ms < to_ms:
                continue
            event = _event(dice, owner, habit, card, period=period, at_ms=at_ms, seq=seq + 1)
            spent = used.get(period.start_ms, 0) + event.captured_millicredits
            if spent * 100 <= period.allowance_millicredits * most_percent:
                used[period.start_ms] = spent
                seq += 1
                yield event


def _day(
    dice: random.Random, habits: Sequence[Habit], rhythm: Rhythm, *, day_ms: int, busy: float, days_ago: int
) -> Iterator[tuple[int, Habit]]:
    """The calls of one day and when they were made."""
    for habit in habits:
        known_days = TAKEN_UP_DAYS if habit.since_days is None else max(0, habit.since_days - days_ago)
        taken_up = min(1.0, known_days / TAKEN_UP_DAYS)
        for _ in range(_poisson(dice, habit.calls_a_day * busy * taken_up)):
            yield day_ms + int(_hour(dice, rhythm) * HOUR_MS), habit


def _hour(dice: random.Random, rhythm: Rhythm) -> float:
    if dice.random() < AROUND_THE_CLOCK:
        return dice.uniform(0, 24)
    return dice.gauss(*dice.choice(rhythm.hours)) % 24


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
    least, most = habit.units
    units = round(dice.triangular(least, most, least + (most - least) * MOST_OFTEN))
    key_id, project_id = owner.keys[habit.key]
    request_id = f"req_{dice.getrandbits(128):032x}"
    facts = CallFacts(
        request_id=request_id,
        account_id=owner.account_id,
        project_id=project_id,
        key_id=key_id,
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
