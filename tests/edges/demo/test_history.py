"""The demo's made-up past: the same at every start, within its credits, with the rhythm of people who work."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.books.periods import BookedPeriod
from gateway.configuration import load
from gateway.domain.instant import DAY_MS, HOUR_MS
from gateway.domain.usage import UsageEvent
from gateway.edges.demo.accounts import STORIES, Story
from gateway.edges.demo.history import Owner, events

MONTH_MS = 30 * DAY_MS
CATALOG = load(Path(__file__).parents[3] / "config" / "gateway.yaml", {}).catalog
# A Monday, 18:00 UTC.
TO_MS = 20_780 * DAY_MS + 18 * HOUR_MS


def past(story: Story, seed: int = 7) -> list[UsageEvent]:
    from_ms = TO_MS - story.days * DAY_MS
    allowance = CATALOG.plans[story.plan_id].granted_millicredits or 2_000_000_000
    periods = [
        BookedPeriod("acc_1", start_ms, start_ms + MONTH_MS, "sub_1", story.plan_id, allowance, 0)
        for start_ms in range(from_ms, TO_MS, MONTH_MS)
    ]
    owner = Owner("acc_1", {name: (f"key_{name}", f"prj_{project}") for name, project in story.keys.items()})
    return list(
        events(
            owner,
            story.habits,
            story.rhythm,
            periods,
            CATALOG.rate_card,
            from_ms=from_ms,
            to_ms=TO_MS,
            most_percent=story.most_percent,
            seed=seed,
        )
    )


def by_day(history: list[UsageEvent]) -> Counter[int]:
    days: Counter[int] = Counter()
    for event in history:
        days[event.admitted_at_ms // DAY_MS] += event.captured_millicredits
    return days


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.plan_id)
def test_each_account_has_ninety_days_and_a_last_one_that_goes_on(story: Story) -> None:
    history = past(story)
    days = by_day(history)
    assert sum(1 for day in range(TO_MS // DAY_MS - 90, TO_MS // DAY_MS) if days[day]) >= 80
    assert TO_MS - history[-1].admitted_at_ms < DAY_MS
    assert [event.seq for event in history] == list(range(1, len(history) + 1))
    assert history == sorted(history, key=lambda event: event.admitted_at_ms)


def test_two_who_run_the_demo_see_the_same_charts() -> None:
    assert by_day(past(STORIES[0])) == by_day(past(STORIES[0]))
    assert by_day(past(STORIES[0])) != by_day(past(STORIES[0], seed=8))


def test_an_office_rests_at_the_weekend_and_grows_over_the_months() -> None:
    days = by_day(past(STORIES[2]))
    weekend = sum(used for day, used in days.items() if (day + 3) % 7 >= 5)
    assert weekend < sum(days.values()) // 10
    today = TO_MS // DAY_MS
    assert sum(days[day] for day in range(today - 30, today)) > sum(days[day] for day in range(today - 90, today - 60))


def test_a_mode_that_was_taken_up_later_was_not_used_before() -> None:
    since = {(habit.product, habit.mode): habit.since_days for habit in STORIES[2].habits if habit.since_days}
    assert since
    for event in past(STORIES[2]):
        days = since.get((event.facts.product, event.facts.mode))
        assert days is None or event.admitted_at_ms >= TO_MS - (days + 1) * DAY_MS


def test_credits_that_may_not_be_exceeded_are_not() -> None:
    used: Counter[int] = Counter()
    for event in past(replace(STORIES[0], most_percent=30)):
        used[event.period_start_ms] += event.captured_millicredits
    allowance = CATALOG.plans["free"].granted_millicredits
    assert max(used.values()) <= allowance * 30 // 100
    assert max(used.values()) > allowance * 28 // 100
