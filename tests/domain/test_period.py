import calendar
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.period import add_months, period_at


def naive(at: datetime) -> datetime:
    return at.replace(tzinfo=None)


@pytest.mark.parametrize("day", range(1, 32))
@pytest.mark.parametrize("year", [2023, 2024])
def test_periods_tile_for_every_day_of_the_month(day: int, year: int) -> None:
    anchor = datetime(year, 1, day, 23, 30, tzinfo=UTC)
    at = anchor
    for index in range(48):
        period = period_at(anchor, at)
        assert (period.index, period.start) == (index, at)
        assert period.end.day == min(day, calendar.monthrange(period.end.year, period.end.month)[1])
        last = period.end - timedelta(microseconds=1)
        assert period_at(anchor, last) == period
        at = period.end


@given(
    st.datetimes(
        naive(datetime(2000, 1, 1, tzinfo=UTC)), naive(datetime(2030, 1, 1, tzinfo=UTC)), timezones=st.just(UTC)
    ),
    st.timedeltas(timedelta(0), timedelta(days=10_000)),
    st.sampled_from([1, 3, 12]),
)
def test_every_instant_is_in_exactly_the_period_that_is_named(anchor: datetime, after: timedelta, months: int) -> None:
    period = period_at(anchor, anchor + after, months=months)
    assert period.start <= anchor + after < period.end
    assert period.start == add_months(anchor, period.index * months)
    assert period_at(anchor, period.end, months=months).start == period.end


def test_the_day_is_clamped_to_the_month_but_never_forgotten() -> None:
    anchor = datetime(2024, 1, 31, 23, 30, tzinfo=UTC)
    starts = [add_months(anchor, months).date().isoformat() for months in (1, 2, 3, 13)]
    assert starts == ["2024-02-29", "2024-03-31", "2024-04-30", "2025-02-28"]


def test_periods_are_kept_in_utc_wherever_the_instants_come_from() -> None:
    tokyo = timezone(timedelta(hours=9))
    anchor = datetime(2026, 3, 1, 5, tzinfo=tokyo)
    end = datetime(2026, 3, 28, 20, tzinfo=UTC)
    assert period_at(anchor, end).start == end
    before = period_at(anchor, end.astimezone(tokyo) - timedelta(seconds=1))
    assert (before.start, before.end) == (datetime(2026, 2, 28, 20, tzinfo=UTC), end)
    assert before.start.tzinfo is UTC


@pytest.mark.parametrize(
    ("anchor", "at"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (naive(datetime(2026, 1, 2, tzinfo=UTC)), datetime(2026, 1, 3, tzinfo=UTC)),
        (datetime(2026, 1, 2, tzinfo=UTC), naive(datetime(2026, 1, 3, tzinfo=UTC))),
    ],
)
def test_an_instant_before_the_anchor_or_without_a_zone_has_no_period(anchor: datetime, at: datetime) -> None:
    with pytest.raises(ValueError, match=r"anchor|zone"):
        period_at(anchor, at)
