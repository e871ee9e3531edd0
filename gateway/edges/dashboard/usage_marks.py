"""What the usage page has hundreds of, as HTML: each bar's link to its calls, and its row of the table.

Put together here and not by a template, which looks at every number by itself and takes three times as long.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

from gateway.edges.dashboard.usage_chart import BAR, HEIGHT, Bar


class BarTexts(NamedTuple):
    """A bar in words, for the drawing, its table and its script: credits, and the address of the calls behind it."""

    bar: Bar
    total: str
    values: tuple[str, ...]
    before: str | None
    change: str
    calls: str


def slots(bars: Sequence[BarTexts], here: str) -> Markup:
    """The bars' links, each as wide as its bar and as high as the chart."""
    return _joined(
        f'<a class="chart-slot" href="{_address(one, here)}" tabindex="-1">'
        f"<title>{escape(one.bar.label)}: {one.total} credits</title>"
        f'<rect x="{number * BAR}" width="{BAR}" height="{HEIGHT}"/></a>'
        for number, one in enumerate(bars)
    )


def rows(bars: Sequence[BarTexts], here: str, *, compared: bool) -> Markup:
    """The table's rows, the latest first. The script reads them: what a bar is made of, and its first and last day."""
    return _joined(_row(one, here, compared=compared) for one in reversed(bars))


def _row(one: BarTexts, here: str, *, compared: bool) -> str:
    numbers = [*one.values, one.total]
    if compared:
        numbers.append(
            f'{one.before or ""} <span class="quiet">{one.change}</span>' if one.change else one.before or ""
        )
    # Numbers need no escape.
    cells = '</td><td class="num">'.join(numbers)
    name = f'<a href="{_address(one, here)}">{escape(one.bar.label)}</a>'
    days = f'data-first="{one.bar.first_day}" data-last="{one.bar.last_day}"'
    return f'<tr {days}><th scope="row" class="nowrap">{name}</th><td class="num">{cells}</td></tr>\n'


def _address(one: BarTexts, here: str) -> Markup:
    return escape(f"{here}/calls?{one.calls}")


def _joined(parts: Iterable[str]) -> Markup:
    return Markup("".join(parts))  # noqa: S704 - of nothing that is not escaped
