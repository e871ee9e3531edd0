"""What usage over time asks of which sums."""

import pytest
from sqlalchemy import make_url

from gateway.books.reports import By
from gateway.books.series_question import CUTS, DAYS, EDGE, FROM, HOURS, TO, question

DIALECTS = {name: make_url(f"{name}://").get_dialect()() for name in ("sqlite", "postgresql+asyncpg")}
PARTS = (DAYS, HOURS, f"{FROM}30", f"{TO}30", EDGE + HOURS, f"{EDGE}{TO}30")


def asked(dialect: str, parts: tuple[str, ...], by: tuple[By, ...], only: tuple[By, ...] = ()) -> str:
    return str(question(DIALECTS[dialect].name, parts, by, only).compile(dialect=DIALECTS[dialect]))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("by", [(), (By.PRODUCT,), (By.PRODUCT, By.MODE)])
@pytest.mark.parametrize("only", [(), (By.PRODUCT,), (By.MODE, By.PRODUCT)])
def test_what_tells_no_keys_apart_reads_no_row_for_each_key(
    dialect: str, by: tuple[By, ...], only: tuple[By, ...]
) -> None:
    text = asked(dialect, PARTS, by, only)
    assert "usage_daily_by_mode" in text
    assert "usage_hourly_by_mode" in text
    assert "key_id" not in text
    assert "project_id" not in text


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("by", "only"), [((By.KEY,), ()), ((By.PRODUCT, By.MODE), (By.PROJECT,))])
def test_what_tells_keys_or_projects_apart_reads_their_rows(
    dialect: str, by: tuple[By, ...], only: tuple[By, ...]
) -> None:
    assert "by_mode" not in asked(dialect, PARTS, by, only)


def test_events_are_read_only_for_what_is_less_than_a_quarter() -> None:
    assert "usage_events" not in asked("sqlite", PARTS, (By.KEY,))
    assert "usage_events" in asked("sqlite", (*PARTS, CUTS), (By.KEY,))
