"""What the usage pages show, as it stands in their address: a range, how it is cut, and what is left out.

Everything is in the query, so that a view can be kept, sent and gone back to. A value that is wrong is refused, never
read as another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from gateway.books.reports import By
from gateway.domain.instant import DAY_MS, epoch_ms, from_epoch_ms
from gateway.domain.windows import Window
from gateway.edges.dashboard.addresses import text_in
from gateway.edges.zones import zone_named
from gateway.flows.faults import WrongParameter
from gateway.flows.usage_report import LONGEST_RANGE_MS, Range

E = TypeVar("E", bound=StrEnum)

_EARLIEST: Final = date(2000, 1, 1)
_LATEST: Final = date(2200, 1, 1)
# More bars than this are a blur.
MOST_BARS: Final = 750


class Span(StrEnum):
    """The ranges that have a name. `custom` has a first and a last day."""

    PERIOD = "period"
    WEEK = "7d"
    MONTH = "30d"
    QUARTER = "90d"
    YEAR = "12m"
    CUSTOM = "custom"


class Told(StrEnum):
    """What a chart tells apart."""

    PRODUCT = "product"
    MODE = "mode"
    PROJECT = "project"
    KEY = "key"


class Drawn(StrEnum):
    """How a chart looks."""

    BARS = "bars"
    LINES = "lines"


DAYS: Final = {Span.WEEK: 7, Span.MONTH: 30, Span.QUARTER: 90, Span.YEAR: 365}
BY: Final[Mapping[Told, tuple[By, ...]]] = {
    Told.PRODUCT: (By.PRODUCT,),
    Told.MODE: (By.PRODUCT, By.MODE),
    Told.PROJECT: (By.PROJECT,),
    Told.KEY: (By.KEY,),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """One view. `window` None: chosen by the range's length.

    `first` and `last` are the days of a custom range; until both are chosen it is the last thirty.
    """

    span: Span = Span.MONTH
    first: date | None = None
    last: date | None = None
    window: Window | None = None
    told: Told = Told.PRODUCT
    drawn: Drawn = Drawn.BARS
    cumulative: bool = False
    compared: bool = False
    zone: str = "UTC"
    product: str = ""
    mode: str = ""
    project: str = ""
    key: str = ""

    @property
    def only(self) -> Mapping[By, str]:
        """All that is counted."""
        chosen = {By.PRODUCT: self.product, By.MODE: self.mode, By.PROJECT: self.project, By.KEY: self.key}
        return {name: value for name, value in chosen.items() if value}

    @property
    def tzinfo(self) -> tzinfo:
        """The zone whose calendar counts."""
        return ZoneInfo(self.zone)

    def range(self, now: datetime, period_start_ms: int) -> Range:
        """From a midnight of the zone until now, or until the midnight after the last day, whichever is first."""
        local = now.astimezone(self.tzinfo)
        now_ms = epoch_ms(now) + 1
        if self.span is Span.PERIOD:
            return Range(period_start_ms, max(now_ms, period_start_ms + 1))
        if self.span is Span.CUSTOM and self.first is not None and self.last is not None:
            from_ms = self._midnight_ms(self.first)
            return Range(from_ms, max(min(self._midnight_ms(self.last + timedelta(days=1)), now_ms), from_ms + 1))
        return Range(self._midnight_ms(local.date() - timedelta(days=DAYS.get(self.span, 30) - 1)), now_ms)

    def range_before(self, within: Range) -> Range:
        """As much time before: the same hours of the days, weeks ago, so that like is compared with like."""
        days = timedelta(days=-(-(within.to_ms - within.from_ms) // DAY_MS))
        zone = self.tzinfo
        start, end = (
            epoch_ms((from_epoch_ms(at_ms).astimezone(zone).replace(tzinfo=None) - days).replace(tzinfo=zone))
            for at_ms in (within.from_ms, within.to_ms)
        )
        return Range(start, max(end, start + 1))

    def window_for(self, within: Range) -> Window:
        """As asked for; else so that there are neither a few bars nor hundreds."""
        if self.window is not None:
            return self.window
        days = (within.to_ms - within.from_ms) / DAY_MS
        if days <= 2:  # noqa: PLR2004 - as the sentence says
            return Window.HOUR
        if days <= 92:  # noqa: PLR2004
            return Window.DAY
        return Window.WEEK if days <= 400 else Window.MONTH  # noqa: PLR2004

    def wider(self, now: datetime) -> str:
        """The address of twice as many days around those of a custom range, until today; empty for any other."""
        if self.span is not Span.CUSTOM or self.first is None or self.last is None:
            return ""
        more = timedelta(days=(self.last - self.first).days // 2 + 1)
        last = min(self.last + more, max(now.astimezone(self.tzinfo).date(), self.last))
        first = max(self.first - more, last - timedelta(milliseconds=LONGEST_RANGE_MS), _EARLIEST)
        return self.query(first=first, last=last, window=None)

    def query(self, **changes: object) -> str:
        """The address of this view, or of one that differs in `changes`, without the page it is on."""
        changed = replace(self, **changes) if changes else self  # type: ignore[arg-type] # fields by their names
        given = {
            "range": changed.span.value,
            "from": changed.first.isoformat() if changed.first else "",
            "to": changed.last.isoformat() if changed.last else "",
            "window": changed.window.value if changed.window else "",
            "by": changed.told.value,
            "chart": changed.drawn.value,
            "cumulative": "1" if changed.cumulative else "",
            "compare": "1" if changed.compared else "",
            "tz": changed.zone,
            "product": changed.product,
            "mode": changed.mode,
            "project": changed.project,
            "key": changed.key,
        }
        plain = {"range": Span.MONTH, "by": Told.PRODUCT, "chart": Drawn.BARS, "tz": "UTC"}
        return urlencode({name: value for name, value in given.items() if value and plain.get(name) != value})

    def _midnight_ms(self, day: date) -> int:
        return epoch_ms(datetime(day.year, day.month, day.day, tzinfo=self.tzinfo))


def read_filters(query: Mapping[str, str]) -> Filters:
    """From an address. WrongParameter names what cannot be read."""
    first, last = _day(query, "from"), _day(query, "to")
    span = _one_of(query, "range", Span, Span.CUSTOM if first or last else Span.MONTH)
    if span is Span.CUSTOM and first is not None and last is not None:
        if first > last:
            raise WrongParameter("from", "the last day of a range may not be before its first")
        if (last - first).days * DAY_MS > LONGEST_RANGE_MS:
            raise WrongParameter("to", "a range is at most five years long")
    else:
        first = last = None
    return Filters(
        span=span,
        first=first,
        last=last,
        window=_one_of(query, "window", Window, Window.DAY) if query.get("window") else None,
        told=_one_of(query, "by", Told, Told.PRODUCT),
        drawn=_one_of(query, "chart", Drawn, Drawn.BARS),
        cumulative=query.get("cumulative") == "1",
        compared=query.get("compare") == "1",
        zone=_zone(query.get("tz") or "UTC"),
        **{name: text_in(query, name) for name in ("product", "mode", "project", "key")},
    )


def _one_of(query: Mapping[str, str], name: str, known: type[E], otherwise: E) -> E:
    sent = query.get(name)
    if not sent:
        return otherwise
    try:
        return known(sent)
    except ValueError:
        raise WrongParameter(name, f"{name} in the address is none of {', '.join(known)}") from None


def _day(query: Mapping[str, str], name: str) -> date | None:
    sent = query.get(name)
    if not sent:
        return None
    try:
        day = date.fromisoformat(sent)
    except ValueError:
        raise WrongParameter(name, f"{name} in the address is no day; write 2026-11-23") from None
    if not _EARLIEST <= day < _LATEST:
        raise WrongParameter(name, f"{name} in the address is too far away")
    return day


def _zone(name: str) -> str:
    if zone_named(name) is None:
        raise WrongParameter("tz", "tz in the address is no time zone; write Europe/Berlin or UTC")
    return name
