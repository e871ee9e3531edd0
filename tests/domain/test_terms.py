from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.instant import epoch_ms, from_epoch_ms
from gateway.domain.terms import AccountStatus, PeriodTerms, Terms

FIRST, SECOND = PeriodTerms(1000, 2000, "free", 10, 0), PeriodTerms(2000, 3000, "pro", 20, 5)
TERMS = Terms("acc_1", 1, AccountStatus.ACTIVE, (FIRST, SECOND), 1, 0)


@pytest.mark.parametrize(("at_ms", "period"), [(999, None), (1000, FIRST), (1999, FIRST), (2000, SECOND), (3000, None)])
def test_an_instant_belongs_to_the_period_that_begins_at_or_before_it(at_ms: int, period: PeriodTerms | None) -> None:
    assert TERMS.period_at(at_ms) is period


@given(st.integers(0, 4_102_444_800_000))
def test_instants_survive_the_stores_exactly(at_ms: int) -> None:
    assert epoch_ms(from_epoch_ms(at_ms)) == at_ms


def test_an_instant_is_the_same_in_every_zone_and_rounded_down() -> None:
    at = datetime(2026, 11, 5, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=-5)))
    assert epoch_ms(at) == epoch_ms(at.astimezone(UTC))
    assert from_epoch_ms(epoch_ms(at)) == datetime(2026, 11, 5, 17, 0, 0, 999_000, tzinfo=UTC)


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(TypeError):
        epoch_ms(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))
