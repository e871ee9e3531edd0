"""Usage over time as a chart: which groups there are, what each bar is made of, how high the axis goes.

Drawn by the server as SVG, so that it is there without a script, follows the page's colours, and each bar is a link.
`usage.js` adds pointing, arrow keys and zooming to what is there. Asks nothing and draws nothing itself.
"""

from calendar import month_abbr
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from gateway.books.reports import By
from gateway.books.series import Column, Key
from gateway.domain.credits import MILLICREDITS_PER_CREDIT
from gateway.domain.instant import from_epoch_ms
from gateway.domain.windows import Window
from gateway.flows.usage_series import Series

# So many colours are told apart; all other groups are one.
MOST_GROUPS: Final = 5
OTHER: Final = ("other",)
HEIGHT: Final = 1000
BAR: Final = 10
GAP: Final = 2
WIDE: Final = BAR - GAP
STEPS: Final = 4
# In tenths: their quarters are what stands beside the axis.
_NICE: Final = (10, 12, 16, 20, 24, 30, 40, 60, 80, 100)
_HOURS_APART: Final = (1, 2, 3, 6, 12, 24)
_WEEK_DAYS: Final = 7
_MOST_LABELS: Final = 7
# Looked up hundreds of times; `calendar` formats them every time.
_MONTHS: Final = tuple(month_abbr)

# A column of a series, and whose it is in the chart.
_Told = tuple[Key, Column]


@dataclass(frozen=True, slots=True)
class Group:
    """What one colour stands for. `colour` is from 1 to 6."""

    key: Key
    label: str
    colour: int
    millicredits: int


class Bar(NamedTuple):
    """One window. `values` are by group, `before` is the same window's total in the range before, if that is shown."""

    start_ms: int
    end_ms: int
    label: str
    first_day: str
    last_day: str
    values: tuple[int, ...]
    total: int
    before: int | None


@dataclass(frozen=True, slots=True)
class Label:
    """What stands below a bar. `place`: the bar's middle, in thousandths of the width."""

    text: str
    place: int


@dataclass(frozen=True, slots=True)
class Chart:
    """All of it. `top` is where the axis ends, in millicredits; `so_far`: the last bar's window is still running."""

    groups: tuple[Group, ...]
    bars: tuple[Bar, ...]
    top: int
    labels: tuple[Label, ...]
    so_far: bool = False

    @property
    def width(self) -> int:
        """Of the drawing, in its own units."""
        return max(1, len(self.bars)) * BAR

    @property
    def ticks(self) -> tuple[int, ...]:
        """What the axis says, from the top down, in millicredits."""
        return tuple(self.top * step // STEPS for step in range(STEPS, -1, -1))

    @property
    def busiest(self) -> Bar | None:
        """The highest bar; None where there is nothing at all."""
        highest = max(self.bars, key=lambda bar: bar.total, default=None)
        return highest if highest is not None and highest.total > 0 else None

    def fills(self, *, so_far: bool) -> dict[int, str]:
        """By colour, its parts of the bars as one path: a drawing of a few hundred bars stays small.

        `so_far`: of the bar that still grows alone, else of all others.
        """
        paths: list[list[str]] = [[] for _ in self.groups]
        for number in self._drawn(so_far=so_far):
            # From the bottom up; each part ends where the sum so far does, so that rounding never adds up.
            left, below, foot = number * BAR + GAP // 2, 0, 0
            for path, value in zip(paths, self.bars[number].values, strict=True):
                if value > 0:
                    below += value
                    end = below * HEIGHT // self.top
                    head = max(end, foot + 1)
                    path.append(f"M{left} {HEIGHT - head}h{WIDE}v{head - foot}h-{WIDE}z")
                    foot = end
        return {group.colour: "".join(path) for group, path in zip(self.groups, paths, strict=True) if path}

    def line(self, number: int, *, so_far: bool) -> str:
        """A group's values as points of a line; `so_far`: the end of it that still grows alone, else the rest."""
        return self._points([bar.values[number] for bar in self.bars], so_far=so_far)

    def line_together(self, *, so_far: bool) -> str:
        """All groups' sum as points of a line."""
        return self._points([bar.total for bar in self.bars], so_far=so_far)

    def line_before(self) -> str:
        """The range before as points of a line, from its first usage on."""
        first = next((number for number, bar in enumerate(self.bars) if bar.before), len(self.bars))
        return " ".join(self._point(number, bar.before or 0) for number, bar in enumerate(self.bars) if number >= first)

    def _drawn(self, *, so_far: bool) -> range:
        """The numbers of the bars that are over, or of the one that is not."""
        end = len(self.bars)
        over = end - 1 if self.so_far else end
        return range(over, end) if so_far else range(over)

    def _points(self, values: Sequence[int], *, so_far: bool) -> str:
        points = [self._point(number, value) for number, value in enumerate(values)]
        if not self.so_far:
            return "" if so_far else " ".join(points)
        return " ".join(points[-2:] if so_far else points[:-1])

    def _point(self, number: int, value: int) -> str:
        return f"{number * BAR + BAR // 2},{HEIGHT - value * HEIGHT // self.top}"


def draw(
    series: Series,
    by: Sequence[By],
    label: Callable[[Key], str],
    *,
    window: Window,
    zone: tzinfo,
    before: Series | None = None,
    cumulative: bool = False,
    stacked: bool = True,
    so_far: bool = False,
) -> Chart:
    """The chart of a series, told apart `by` some of what it is told apart by. `label` names what a key stands for.

    `before` is the range before's. `so_far`: the last window is not over yet.
    """
    count = len(series.edges) - 1
    places = [series.by.index(name) for name in by]
    told = [(tuple(column.key[place] for place in places), column) for column in series.columns]
    groups = _groups(told, label)
    by_group = _values(told, groups, count)
    past = before.captured_millicredits()[:count] if before is not None else []
    if cumulative:
        by_group, past = [list(accumulate(values)) for values in by_group], list(accumulate(past))
    rows = list(zip(*by_group, strict=True)) or [()] * count
    totals = list(map(sum, rows))
    # Lines that are compared have one for all together.
    highest = [totals] if stacked or before is not None else by_group
    top = nice(max((value for values in (*highest, past) for value in values), default=0))
    bars, starts, short = [], [], window in {Window.HOUR, Window.DAY}
    windows = zip(pairwise(series.edges), rows, totals, strict=True)
    for number, ((start_ms, end_ms), values, total) in enumerate(windows):
        start = from_epoch_ms(start_ms).astimezone(zone)
        first_day = start.date().isoformat()
        # Hours and days end on the day they began.
        last = start if short else from_epoch_ms(end_ms - 1).astimezone(zone)
        unfinished = ", so far" if so_far and number == count - 1 else ""
        starts.append(start)
        bars.append(
            Bar(
                start_ms=start_ms,
                end_ms=end_ms,
                label=f"{said(start, last, window)}{unfinished}",
                first_day=first_day,
                last_day=first_day if short else last.date().isoformat(),
                values=values,
                total=total,
                before=past[number] if number < len(past) else None,
            )
        )
    return Chart(groups, tuple(bars), top, _labels(starts, window), so_far and bool(bars))


def said(start: datetime, last: datetime, window: Window) -> str:
    """A window for people: "Mon, Nov 23", "Nov 23, 14:00", "Nov 16 to 22", "November 2026"."""
    day = f"{_MONTHS[start.month]} {start.day}"
    match window:
        case Window.HOUR:
            return f"{day}, {start.hour:02}:{start.minute:02}"
        case Window.DAY:
            return f"{start:%a}, {day}"
        case Window.WEEK:
            if last - start < timedelta(days=1):
                return day
            return f"{day} to {last.day if last.month == start.month else f'{last:%b} {last.day}'}"
        case Window.MONTH:
            return f"{start:%B %Y}"


def nice(millicredits: int) -> int:
    """The round number at or above, for the end of an axis; never nothing."""
    unit = MILLICREDITS_PER_CREDIT // _NICE[0]
    while unit * _NICE[-1] < millicredits:
        unit *= 10
    return next(unit * step for step in _NICE if unit * step >= millicredits)


def _groups(told: Iterable[_Told], label: Callable[[Key], str]) -> tuple[Group, ...]:
    """The largest, in order, and the others as one."""
    sums: Counter[Key] = Counter()
    for key, column in told:
        sums[key] += sum(column.captured_millicredits)
    largest = sorted(sums, key=lambda key: (-sums[key], key))
    named, rest = largest[:MOST_GROUPS], largest[MOST_GROUPS:]
    if len(rest) == 1:  # one more has a colour left
        named, rest = largest, []
    groups = [Group(key, label(key), colour, sums[key]) for colour, key in enumerate(named, start=1)]
    if rest:
        groups.append(Group(OTHER, f"{len(rest)} others", MOST_GROUPS + 1, sum(sums[key] for key in rest)))
    return tuple(groups)


def _values(told: Iterable[_Told], groups: Sequence[Group], count: int) -> list[list[int]]:
    """What each group has in each of the windows."""
    by_group = [[0] * count for _ in groups]
    places = {group.key: number for number, group in enumerate(groups)}
    for key, column in told:
        values = by_group[places.get(key, len(groups) - 1)]
        for number, millicredits in zip(column.numbers, column.captured_millicredits, strict=True):
            values[number] += millicredits
    return by_group


def _labels(starts: Sequence[datetime], window: Window) -> tuple[Label, ...]:
    """Evenly apart, as many as fit, where people look for them: days at Mondays, hours at midnight and noon."""
    apart, first = max(1, -(-len(starts) // _MOST_LABELS)), 0
    if window is Window.HOUR:
        apart = next((hours for hours in _HOURS_APART if hours >= apart), -(-apart // 24) * 24)
        first = next((number for number, at in enumerate(starts) if at.hour % min(apart, 24) == 0), 0)
    elif window is Window.DAY and apart > 1:
        apart = -(-apart // _WEEK_DAYS) * _WEEK_DAYS
        first = next((number for number, at in enumerate(starts) if at.weekday() == 0), 0)
    return tuple(
        Label(_short(starts[number], window, first=number == first), (2 * number + 1) * 500 // len(starts))
        for number in range(first, len(starts), apart)
    )


def _short(at: datetime, window: Window, *, first: bool) -> str:
    """A window below its bar: "Nov 23", "14:00", "Nov", and "Jan 2027" where a year begins."""
    if window is Window.MONTH:
        return f"{at:%b %Y}" if first or at.month == 1 else f"{at:%b}"
    if window is Window.HOUR and at.hour:
        return f"{at:%H:%M}"
    return f"{at:%b} {at.day}"
