"""Windows follow the calendar of their zone and leave nothing out, whatever its clock does."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms, from_epoch_ms
from gateway.domain.windows import Window, edges

BERLIN, KOLKATA, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Kathmandu")
LORD_HOWE, APIA, HAVANA = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia"), ZoneInfo("America/Havana")
ZONES = [UTC, BERLIN, KOLKATA, KATHMANDU, LORD_HOWE, APIA, HAVANA, ZoneInfo("America/St_Johns")]


def ms(text: str, zone: ZoneInfo = BERLIN) -> int:
    return epoch_ms(datetime.fromisoformat(text).replace(tzinfo=zone))


def cut(start: str, end: str, window: Window, zone: ZoneInfo = BERLIN) -> list[str]:
    found = edges(ms(start, zone), ms(end, zone), window, zone, most=1_000)
    assert found is not None
    return [from_epoch_ms(at).astimezone(zone).isoformat() for at in found]


def hours(window_edges: tuple[int, ...] | None) -> list[float]:
    assert window_edges is not None
    return [(end - start) / HOUR_MS for start, end in pairwise(window_edges)]


def test_days_begin_at_the_zones_midnight_and_may_have_23_or_25_hours() -> None:
    spring = edges(ms("2026-03-28"), ms("2026-03-31"), Window.DAY, BERLIN, most=9)
    autumn = edges(ms("2026-10-24"), ms("2026-10-27"), Window.DAY, BERLIN, most=9)
    assert (hours(spring), hours(autumn)) == ([24, 23, 24], [24, 25, 24])


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    assert cut("2026-11-25T10:00", "2026-12-08", Window.WEEK) == [
        "2026-11-25T10:00:00+01:00",
        "2026-11-30T00:00:00+01:00",
        "2026-12-07T00:00:00+01:00",
        "2026-12-08T00:00:00+01:00",
    ]
    assert cut("2026-01-31T12:00", "2026-04-01", Window.MONTH) == [
        "2026-01-31T12:00:00+01:00",
        "2026-02-01T00:00:00+01:00",
        "2026-03-01T00:00:00+01:00",
        "2026-04-01T00:00:00+02:00",
    ]


def test_hours_of_a_zone_at_half_an_hour_begin_at_half_past() -> None:
    found = edges(ms("2026-11-23T09:50", KOLKATA), ms("2026-11-23T12:00", KOLKATA), Window.HOUR, KOLKATA, most=9)
    assert found is not None
    assert [at % HOUR_MS // 60_000 for at in found] == [20, 30, 30, 30]


def test_a_clock_that_is_changed_by_half_an_hour_makes_hours_of_a_half() -> None:
    found = edges(ms("2026-04-04T23:00", LORD_HOWE), ms("2026-04-05T03:00", LORD_HOWE), Window.HOUR, LORD_HOWE, most=9)
    assert hours(found) == [1, 1, 1, 0.5, 1]


def test_a_day_that_a_zone_leaves_out_is_no_window() -> None:
    found = edges(ms("2011-12-29", APIA), ms("2012-01-01", APIA), Window.DAY, APIA, most=9)
    assert hours(found) == [24, 24]


def test_a_midnight_that_comes_twice_or_never_begins_one_day() -> None:
    spring = edges(ms("2026-03-07", HAVANA), ms("2026-03-10", HAVANA), Window.DAY, HAVANA, most=9)
    autumn = edges(ms("2026-10-31", HAVANA), ms("2026-11-03", HAVANA), Window.DAY, HAVANA, most=9)
    assert (hours(spring), hours(autumn)) == ([24, 23, 24], [24, 25, 24])


def test_too_many_windows_are_none_and_a_range_of_nothing_is_refused() -> None:
    day = ms("2026-11-23"), ms("2026-11-24")
    assert edges(*day, Window.HOUR, BERLIN, most=23) is None
    assert len(edges(*day, Window.HOUR, BERLIN, most=24) or ()) == 25
    with pytest.raises(ValueError, match="a range"):
        edges(day[0], day[0], Window.HOUR, BERLIN, most=1)


@given(
    from_ms=st.integers(5 * 365 * DAY_MS, 60 * 365 * DAY_MS),
    length_ms=st.integers(1, 60 * DAY_MS),
    window=st.sampled_from(Window),
    zone=st.sampled_from(ZONES),
)
def test_windows_leave_no_gap_and_each_lies_in_one_hour_day_or_month(
    from_ms: int, length_ms: int, window: Window, zone: ZoneInfo
) -> None:
    found = edges(from_ms, from_ms + length_ms, window, zone, most=5_000)
    assert found is not None
    assert (found[0], found[-1]) == (from_ms, from_ms + length_ms)
    assert all(one < next_one for one, next_one in pairwise(found))
    for first_ms, end_ms in pairwise(found):
        first, last = (from_epoch_ms(at).astimezone(zone) for at in (first_ms, end_ms - 1))
        match window:
            case Window.HOUR:
                assert (first.date(), first.hour) == (last.date(), last.hour)
            case Window.DAY:
                assert first.date() == last.date()
            case Window.WEEK:
                assert first.isocalendar()[:2] == last.isocalendar()[:2]
            case Window.MONTH:
                assert (first.year, first.month) == (last.year, last.month)
