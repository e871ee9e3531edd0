"""What the usage page has hundreds of, as HTML: each bar's link to its calls, and its row of the table.

Put together here and not by a template, which looks at every number by itself and takes three times as long.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from gateway.edges.dashboard.usage_chart import BAR, HEIGHT, Bar


@dataclass(frozen=True, slots=True)
class BarTexts:
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
        f"<title>{escape(one.bar.label)}: {escape(one.total)} credits</title>"
        f'<rect class="chart-hit" x="{number * BAR}" y="0" width="{BAR}" height="{HEIGHT}"/></a>'
        for number, one in enumerate(bars)
    )


def rows(bars: Sequence[BarTexts], here: str, *, compared: bool) -> Markup:
    """The table's rows, the latest first."""
    return _joined(_row(one, here, compared=compared) for one in reversed(bars))


def _row(one: BarTexts, here: str, *, compared: bool) -> str:
    numbers = [*one.values, one.total, *([one.before or ""] if compared else [])]
    # Escaped as a whole: a text has no line break.
    cells = str(escape("\n".join(numbers))).replace("\n", '</td><td class="num">')
    name = f'<a href="{_address(one, here)}">{escape(one.bar.label)}</a>'
    return f'<tr><th scope="row" class="nowrap">{name}</th><td class="num">{cells}</td></tr>\n'


def _address(one: BarTexts, here: str) -> Markup:
    return escape(f"{here}/calls?{one.calls}")


def _joined(parts: Iterable[str]) -> Markup:
    return Markup("".join(parts))  # noqa: S704 - of nothing that is not escaped
