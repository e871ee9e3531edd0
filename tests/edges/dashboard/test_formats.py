from typing import Any

import pytest

from gateway.domain.instant import DAY_MS, HOUR_MS, epoch_ms
from gateway.domain.plan import RateLimit
from gateway.edges.dashboard import formats
from tests.made_up import NOON

NOON_MS = epoch_ms(NOON)


@pytest.mark.parametrize(
    ("format_", "given", "says"),
    [
        ("number", (1_234_567,), "1,234,567"),
        ("axis", (0,), "0"),
        ("axis", (250_000,), "250"),
        ("axis", (7_500_000,), "7.5K"),
        ("axis", (1_250_000_000,), "1.25M"),
        ("moment", (1_795_458_896_000, 1_795_458_896_000), "Nov 23, 18:34:56"),
        ("moment", (1_795_458_896_000 - 365 * DAY_MS, 1_795_458_896_000), "Nov 23, 2025, 18:34:56"),
        ("credits", (0,), "0"),
        ("credits", (1,), "0.001"),
        ("credits", (1_234_500,), "1,234.5"),
        ("credits", (-20_000,), "\N{MINUS SIGN}20"),
        ("about", (1_234_567_000,), "1,230,000"),
        ("about", (999_600,), "1,000"),
        ("about", (12_499,), "12"),
        ("money", (0,), "$0.00"),
        ("money", (123_450,), "$1,234.50"),
        ("money", (-3_125,), "\N{MINUS SIGN}$31.25"),
        ("dollars", (5_000,), "$50"),
        ("dollars", (1_250,), "$12.50"),
        ("dollars_entry", (5_000,), "50"),
        ("dollars_entry", (125_005,), "1250.05"),
        ("per_thousand", (1_250,), "$1.25"),
        ("per_thousand", (1_000,), "$1.00"),
        ("per_thousand", (1_255,), "$1.255"),
        ("date", (NOON_MS,), "Nov 23, 2026"),
        ("day", (NOON_MS,), "Nov 23"),
        ("clock_time", (NOON_MS,), "12:00 UTC"),
        ("instant", (NOON_MS,), "Nov 23, 2026, 12:00 UTC"),
        ("exactly", (NOON_MS + 5_000,), "Nov 23, 2026, 12:00:05 UTC"),
        ("iso", (NOON_MS,), "2026-11-23T12:00:00Z"),
        ("ago", (NOON_MS, NOON_MS), "just now"),
        ("ago", (NOON_MS - 59_999, NOON_MS), "just now"),
        ("ago", (NOON_MS - 60_000, NOON_MS), "1 minute ago"),
        ("ago", (NOON_MS - 26 * HOUR_MS, NOON_MS), "1 day ago"),
        ("ago", (NOON_MS + 5 * DAY_MS, NOON_MS), "in 5 days"),
        ("ago", (NOON_MS + 10, NOON_MS), "in a moment"),
        ("lasting", (8 * DAY_MS,), "8 days"),
        ("lasting", (59_000,), "less than a minute"),
        ("plural", (1, "page"), "1 page"),
        ("plural", (0, "page"), "0 pages"),
        ("plural", (2_000, "query", "queries"), "2,000 queries"),
        ("percent", (1, 1_000), "<1%"),
        ("percent", (999, 1_000), "99%"),
        ("percent", (5, 2), "250%"),
        ("percent", (0, 0), "0%"),
        ("share", (1, 1_000_000), 1),
        ("share", (3, 2), 1_000),
        ("share", (0, 0), 0),
        ("rate_limit", (RateLimit("requests", 600, 60_000),), "600 a minute"),
        ("rate_limit", (RateLimit("requests", 3_000, 60_000), "new calls"), "3,000 new calls a minute"),
        ("rate_limit", (RateLimit("requests", 50, 5_000),), "50 every 5 seconds"),
        ("rate_limit", (None,), "unlimited"),
        ("name", ("agentic_plus",), "Agentic plus"),
        ("name", ("cost_effective",), "Cost-effective"),
        ("name", ("parse_page_with_lvm/openai-gpt-5",), "Page with LVM, openai-gpt-5"),
        ("name", ("parse_page_with_agent/*",), "Page with agent, any other model"),
        ("short_id", ("key_0199aabbccddeeff",), "key_0199…eeff"),
        ("sentence", ("there is no key",), "There is no key."),
        ("sentence", ("Really?",), "Really?"),
        ("short_id", ("prj_1",), "prj_1"),
    ],
)
def test_people_read(format_: str, given: tuple[Any, ...], says: object) -> None:
    assert formats.FILTERS[format_](*given) == says


def test_a_change_is_told_with_its_direction() -> None:
    said = [formats.change(200, now) for now in (224, 200, 100)]
    assert said == ["+12%", "\N{PLUS-MINUS SIGN}0%", "\N{MINUS SIGN}50%"]
