from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.job import JobCost, NoCost, first_known

CREDITS = JobCost(0, None, "credits reported at /usage/credits")
UNITS = JobCost(None, 7, "units counted at /pages/*")


def test_reported_credits_count_before_units_and_zero_is_free() -> None:
    assert CREDITS.millicredits(per_unit=10_000) == 0
    assert UNITS.millicredits(per_unit=10_000) == 70_000
    assert JobCost(5, 7, "").millicredits(per_unit=10_000) == 5


def test_not_yet_is_waited_for_though_a_less_trusted_place_knows() -> None:
    readings = (NoCost.NOT_YET, UNITS)
    assert first_known(readings, patience_over=False) is NoCost.NOT_YET
    assert first_known(readings, patience_over=True) is UNITS


def test_a_place_that_is_not_there_is_passed_over() -> None:
    assert first_known((NoCost.NOT_THERE, CREDITS, UNITS), patience_over=False) is CREDITS


@pytest.mark.parametrize("readings", [(), (NoCost.NOT_THERE,), (NoCost.NOT_YET,), (NoCost.NOT_THERE, NoCost.NOT_YET)])
def test_what_nobody_knows_is_asked_again_until_waiting_is_over(readings: tuple[NoCost, ...]) -> None:
    assert first_known(readings, patience_over=False) is NoCost.NOT_YET
    assert first_known(readings, patience_over=True) is NoCost.NOT_THERE


@given(st.lists(st.sampled_from([NoCost.NOT_YET, NoCost.NOT_THERE, CREDITS, UNITS]), max_size=6))
def test_patience_never_changes_an_answer_that_was_already_there(readings: list[JobCost | NoCost]) -> None:
    early, late = (first_known(readings, patience_over=over) for over in (False, True))
    assert isinstance(early, NoCost) or early is late
    assert isinstance(late, JobCost) == any(isinstance(reading, JobCost) for reading in readings)


def test_a_cost_is_never_made_up() -> None:
    for readings in product(NoCost, repeat=3):
        assert isinstance(first_known(readings, patience_over=True), NoCost)


def test_units_that_nobody_told_are_what_the_credits_pay_for_where_that_comes_out_even() -> None:
    assert JobCost(30_000, None, "credits").units_at(per_unit=10_000) == 3
    assert JobCost(31_000, None, "credits").units_at(per_unit=10_000) is None
    assert JobCost(30_000, 2, "both").units_at(per_unit=10_000) == 2
    assert JobCost(0, None, "free").units_at(per_unit=10_000) == 0
    assert JobCost(30_000, None, "credits").units_at(per_unit=0) is None
