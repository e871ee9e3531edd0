"""Numbers, money, dates and names as people read them; every page shows them through these. Calculates nothing else.

All instants are epoch milliseconds and shown in UTC, which the pages say.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from gateway.domain.credits import MILLICREDITS_PER_CREDIT
from gateway.domain.instant import DAY_MS, HOUR_MS, MINUTE_MS, from_epoch_ms
from gateway.domain.money import dollars_text
from gateway.domain.plan import RateLimit

_YEAR_IS_CLEAR_MS: Final = 300 * DAY_MS
_MINUS: Final = "\N{MINUS SIGN}"
_STEPS: Final = ((365 * DAY_MS, "year"), (30 * DAY_MS, "month"), (DAY_MS, "day"), (HOUR_MS, "hour"), (60_000, "minute"))
_WINDOWS: Final = {1_000: "second", MINUTE_MS: "minute", HOUR_MS: "hour", DAY_MS: "day"}
# Words that are not a name's own when taken apart at the underscore.
_NAMES: Final = {
    "cost_effective": "Cost-effective",
    "parse_page_without_llm": "Page without LLM",
    "parse_page_with_llm": "Page with LLM",
    "parse_page_with_lvm": "Page with LVM",
    "parse_page_with_agent": "Page with agent",
    "parse_page_with_layout_agent": "Page with layout agent",
    "parse_document_with_llm": "Document with LLM",
    "parse_document_with_agent": "Document with agent",
    "high_confidence_scoring": "High-confidence scoring",
}


def number(whole: int) -> str:
    """`1234567` as "1,234,567"."""
    return f"{whole:,}"


def credits_(millicredits: int) -> str:
    """Credits with thousands separators and up to three decimals: 1234500 is "1,234.5"."""
    if millicredits >= 0 and not millicredits % MILLICREDITS_PER_CREDIT:  # nearly all of a page's hundreds
        return f"{millicredits // MILLICREDITS_PER_CREDIT:,}"
    whole, part = divmod(abs(millicredits), MILLICREDITS_PER_CREDIT)
    text = f"{whole:,}" + (f".{part:03d}".rstrip("0") if part else "")
    return f"{_MINUS}{text}" if millicredits < 0 else text


def axis(millicredits: int) -> str:
    """Credits beside a chart: "0", "250", "7.5K", "1.25M"."""
    for unit, mark in ((1_000_000 * MILLICREDITS_PER_CREDIT, "M"), (1_000 * MILLICREDITS_PER_CREDIT, "K")):
        if millicredits >= unit:
            return f"{credits_(millicredits * MILLICREDITS_PER_CREDIT // unit)}{mark}"
    return credits_(millicredits)


def about(millicredits: int) -> str:
    """Credits without a fraction, three digits that count: for a pace or a forecast, never for a charge."""
    whole = (abs(millicredits) + MILLICREDITS_PER_CREDIT // 2) // MILLICREDITS_PER_CREDIT
    unit = 10 ** max(0, len(str(whole)) - 3)
    return f"{(whole + unit // 2) // unit * unit:,}"


def money(cents: int) -> str:
    """`123450` cents as "$1,234.50"; below zero with a real minus sign."""
    return dollars_text(cents).replace("-", _MINUS)


def dollars(cents: int) -> str:
    """A list price: "$50", and "$12.50" where there are cents."""
    text = money(cents)
    return text.removesuffix(".00")


def dollars_entry(cents: int) -> str:
    """As one would type it into a form: 125050 is "1250.50", 5000 is "50"."""
    whole, part = divmod(cents, 100)
    return f"{whole}.{part:02d}" if part else str(whole)


def price_per_thousand(nanodollars_per_millicredit: int) -> str:
    """What 1,000 credits cost: 1250 nano-dollars a millicredit is "$1.25"."""
    thousandths = nanodollars_per_millicredit  # 1e6 millicredits x nano-dollars / 1e9 = a thousandth of a dollar each
    whole, part = divmod(thousandths, 1000)
    decimals = f"{part:03d}"
    return f"${whole:,}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def date(at_ms: int) -> str:
    """As in "Nov 23, 2026"."""
    at = from_epoch_ms(at_ms)
    return f"{at:%b} {at.day}, {at.year}"


def day(at_ms: int) -> str:
    """As in "Nov 23"; the year is clear from what stands around it."""
    at = from_epoch_ms(at_ms)
    return f"{at:%b} {at.day}"


def clock_time(at_ms: int) -> str:
    """As in "12:34 UTC"."""
    return f"{from_epoch_ms(at_ms):%H:%M} UTC"


def instant(at_ms: int) -> str:
    """As in "Nov 23, 2026, 12:34 UTC"."""
    return f"{date(at_ms)}, {clock_time(at_ms)}"


def exactly(at_ms: int) -> str:
    """As in "Nov 23, 2026, 12:34:56 UTC"."""
    return f"{date(at_ms)}, {from_epoch_ms(at_ms):%H:%M:%S} UTC"


def moment(at_ms: int, now_ms: int) -> str:
    """For a list of one's own, as in "Nov 23, 12:34:56"; the year where it might be another."""
    year = "" if abs(now_ms - at_ms) < _YEAR_IS_CLEAR_MS else f" {from_epoch_ms(at_ms).year},"
    return f"{day(at_ms)},{year} {from_epoch_ms(at_ms):%H:%M:%S}"


def iso(at_ms: int) -> str:
    """For a machine: "2026-11-23T12:34:56Z"."""
    return f"{from_epoch_ms(at_ms):%Y-%m-%dT%H:%M:%SZ}"


def iso_exactly(at_ms: int) -> str:
    """For an address that must mean this very instant: "2026-11-23T12:34:56.789Z"; a fraction only if there is one."""
    exact = "milliseconds" if at_ms % 1_000 else "seconds"
    return from_epoch_ms(at_ms).isoformat(timespec=exact).removesuffix("+00:00") + "Z"


def query(given: Mapping[str, str]) -> str:
    """As the query of an address, without what is empty."""
    return urlencode({name: value for name, value in given.items() if value})


def ago(at_ms: int, now_ms: int) -> str:
    """How long ago, or in how long, rounded down: "3 minutes ago", "in 5 days", "just now"."""
    away = abs(now_ms - at_ms)
    for length, name in _STEPS:
        if away >= length:
            said = plural(away // length, name)
            return f"in {said}" if at_ms > now_ms else f"{said} ago"
    return "in a moment" if at_ms > now_ms else "just now"


def lasting(ms: int) -> str:
    """A length of time in its largest unit: "5 days"."""
    for length, name in _STEPS:
        if ms >= length:
            return plural(ms // length, name)
    return "less than a minute"


def plural(count: int, one: str, many: str | None = None) -> str:
    """As in "1 call", "2 calls"; "0 replies" with `many`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def percent(part: int, whole: int) -> str:
    """As in "42%", rounded down so that 100% is never said too early; "<1%" for a little."""
    if whole <= 0:
        return "100%" if part > 0 else "0%"
    share = part * 100 // whole
    return "<1%" if part > 0 and share == 0 else f"{share:,}%"


def change(was: int, now: int) -> str:
    """How much more than it was, which is not nothing: "+12%", "\N{MINUS SIGN}3%", "\N{PLUS-MINUS SIGN}0%"."""
    percents = round((now - was) * 100 / was)
    sign = "+" if percents > 0 else _MINUS if percents < 0 else "\N{PLUS-MINUS SIGN}"
    return f"{sign}{abs(percents):,}%"


def share(part: int, whole: int, *, out_of: int = 1000) -> int:
    """How much of a bar is filled, from 0 to `out_of`; a little is never nothing."""
    if whole <= 0 or part <= 0:
        return 0
    return max(1, min(out_of, part * out_of // whole))


def rate_limit(limit: RateLimit | None, calls: str = "") -> str:
    """As in "600 a minute", "5 every 10 seconds", "unlimited"; with `calls` "600 new calls a minute"."""
    what = f" {calls}" if calls else ""
    if limit is None:
        return f"unlimited{what}"
    window = _WINDOWS.get(limit.window_ms)
    return f"{limit.calls:,}{what} " + (f"a {window}" if window else f"every {_seconds(limit.window_ms)}")


def _seconds(ms: int) -> str:
    """As in "10 seconds", "5 minutes"."""
    return plural(ms // MINUTE_MS, "minute") if ms % MINUTE_MS == 0 else plural(ms // 1000, "second")


def name(raw: str) -> str:
    """A product's or a mode's name: "agentic_plus" is "Agentic plus"."""
    family, _, variant = raw.partition("/")
    text = _NAMES.get(family) or family.replace("_", " ").replace("-", " ").capitalize()
    if not variant:
        return text
    return f"{text}, any other model" if variant == "*" else f"{text}, {variant}"


def sentence(text: str) -> str:
    """What a flow says of a fault, as people read it: with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def short_id(raw: str) -> str:
    """An id that is recognised and not typed: "key_0199…4f2a"."""
    prefix, _, rest = raw.partition("_")
    return raw if len(rest) <= 8 else f"{prefix}_{rest[:4]}…{rest[-4:]}"  # noqa: PLR2004


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "number": number,
    "credits": credits_,
    "axis": axis,
    "about": about,
    "money": money,
    "dollars": dollars,
    "dollars_entry": dollars_entry,
    "per_thousand": price_per_thousand,
    "date": date,
    "day": day,
    "clock_time": clock_time,
    "instant": instant,
    "exactly": exactly,
    "moment": moment,
    "iso": iso,
    "ago": ago,
    "lasting": lasting,
    "plural": plural,
    "percent": percent,
    "share": share,
    "rate_limit": rate_limit,
    "name": name,
    "sentence": sentence,
    "short_id": short_id,
}
