"""What stands around a chart: the end of its axis, the days below it, and the bar that is not whole yet."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.books.reports import By
from gateway.domain.instant import epoch_ms
from gateway.domain.windows import Window
from gateway.edges.dashboard.usage_chart import Chart, draw, nice
from gateway.edges.dashboard.usage_marks import BarTexts, rows, slots
from gateway.flows.usage_series import Series

BEGIN = datetime(2026, 9, 1, tzinfo=UTC)


def drawn(count: int, length: timedelta, window: Window, *, so_far: bool = False) -> Chart:
    edges = tuple(epoch_ms(BEGIN + number * length) for number in range(count + 1))
    series = Series("acc_1", (By.PRODUCT,), edges, (), live=True)
    return draw(series, series.by, str, window=window, zone=UTC, so_far=so_far)


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1_000), (1, 1_000), (15_900, 16_000), (21_000, 24_000), (99_000, 100_000)]
)
def test_an_axis_ends_at_the_next_round_number(most: int, top: int) -> None:
    assert nice(most) == top


def test_days_are_named_at_mondays() -> None:
    labels = drawn(30, timedelta(days=1), Window.DAY).labels
    assert [label.text for label in labels] == ["Sep 7", "Sep 14", "Sep 21", "Sep 28"]
    # In the middle of its bar, which is the seventh of thirty.
    assert labels[0].place == (6 * 1000 + 500) // 30


def test_hours_are_named_at_midnight_and_at_noon() -> None:
    labels = drawn(48, timedelta(hours=1), Window.HOUR).labels
    assert [label.text for label in labels] == ["Sep 1", "12:00", "Sep 2", "12:00"]


def test_never_more_names_than_fit() -> None:
    for count in range(1, 400):
        assert 0 < len(drawn(count, timedelta(days=1), Window.DAY).labels) <= 7


def test_the_bar_that_still_grows_says_so_and_no_other_does() -> None:
    bars = drawn(3, timedelta(days=1), Window.DAY, so_far=True).bars
    assert [bar.label for bar in bars] == ["Tue, Sep 1", "Wed, Sep 2", "Thu, Sep 3, so far"]


def test_nothing_that_an_address_or_a_name_brings_along_is_markup() -> None:
    bar = drawn(1, timedelta(days=1), Window.DAY).bars[0]._replace(label="<b>")
    one = BarTexts(bar, "5", ("2", "3"), None, "", 'start=1&key="><script>')
    for made in (slots([one], "/usage"), rows([one], "/usage", compared=True)):
        assert 'href="/usage/calls?start=1&amp;key=&#34;&gt;&lt;script&gt;"' in made
        assert "&lt;b&gt;" in made
        assert "<script>" not in made
    assert rows([one], "/usage", compared=True).count('<td class="num">') == 4
