from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.instant import DAY_MS
from gateway.domain.run_out import Outlook, run_out
from tests.made_up import CREDIT, NOON_MS

END_MS = NOON_MS + 10 * DAY_MS


def test_a_steady_pace_tells_the_day() -> None:
    told = run_out([100 * CREDIT] * 30, 500 * CREDIT, now_ms=NOON_MS, period_end_ms=END_MS)
    assert (told.outlook, told.sooner_ms, told.later_ms) == (
        Outlook.RUNS_OUT,
        NOON_MS + 5 * DAY_MS,
        NOON_MS + 5 * DAY_MS,
    )


def test_two_paces_that_disagree_give_two_answers() -> None:
    told = run_out([10 * CREDIT] * 23 + [100 * CREDIT] * 7, 500 * CREDIT, now_ms=NOON_MS, period_end_ms=END_MS)
    assert told.outlook is Outlook.MAY_RUN_OUT
    assert told.sooner_ms == NOON_MS + 5 * DAY_MS
    assert told.later_ms is None


def test_little_usage_lasts_the_period() -> None:
    told = run_out([CREDIT] * 30, 500 * CREDIT, now_ms=NOON_MS, period_end_ms=END_MS)
    assert told.outlook is Outlook.LASTS


def test_two_days_of_calls_tell_nothing() -> None:
    told = run_out([0] * 28 + [500 * CREDIT] * 2, 500 * CREDIT, now_ms=NOON_MS, period_end_ms=END_MS)
    assert told.outlook is Outlook.UNKNOWN
    assert run_out([], 500, now_ms=NOON_MS, period_end_ms=END_MS).outlook is Outlook.UNKNOWN


def test_nothing_left_is_used_up() -> None:
    assert run_out([], 0, now_ms=NOON_MS, period_end_ms=END_MS).outlook is Outlook.USED_UP


@given(st.lists(st.integers(0, 10**9), max_size=60), st.integers(-(10**9), 10**12))
def test_a_forecast_lies_in_the_period_and_the_sooner_is_the_sooner(days: list[int], remaining: int) -> None:
    told = run_out(days, remaining, now_ms=NOON_MS, period_end_ms=END_MS)
    ends = [end for end in (told.sooner_ms, told.later_ms) if end is not None]
    assert all(NOON_MS <= end < END_MS for end in ends)
    assert ends == sorted(ends)
    assert len(ends) == {Outlook.RUNS_OUT: 2, Outlook.MAY_RUN_OUT: 1}.get(told.outlook, 0)
