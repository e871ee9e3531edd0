from itertools import product

import pytest

from gateway.domain.outcome import Attach, CallEnd, Capture, End, Outcome, Release, outcome


def ending(end: End = End.COMPLETE, **more: object) -> Outcome:
    facts: dict = {"status": 200, "charged": True, "starts_job": False, "job_id": None}
    return outcome(CallEnd(end, **{**facts, "exact_cost_millicredits": 4000, "exact_units": 4, **more}))


def test_a_complete_reply_takes_the_exact_quote_or_what_is_held() -> None:
    assert ending() == Capture(4000, 4, "status 200, exact quote")
    assert ending(exact_cost_millicredits=None, exact_units=None) == Capture(None, None, "status 200, the quote")


def test_an_exact_cost_of_nothing_is_taken_as_nothing() -> None:
    assert ending(exact_cost_millicredits=0, exact_units=0) == Capture(0, 0, "status 200, exact quote")


@pytest.mark.parametrize("end", [End.COMPLETE, End.BROKEN, End.STOPPED])
def test_a_job_that_was_started_keeps_its_hold_however_the_reply_ended(end: End) -> None:
    assert ending(end, starts_job=True, job_id="pjb-1", stopped_is_free=True) == Attach("pjb-1")


@pytest.mark.parametrize("end", [End.COMPLETE, End.BROKEN, End.STOPPED])
def test_an_outcome_the_route_does_not_charge_is_free_though_it_names_a_job(end: End) -> None:
    assert ending(end, charged=False, status=500, starts_job=True, job_id="pjb-1") == Release(
        "the upstream answered 500"
    )


def test_a_started_job_we_cannot_follow_is_charged_its_quote() -> None:
    assert isinstance(ending(starts_job=True, exact_cost_millicredits=None), Capture)


def test_a_caller_who_left_pays_unless_the_route_makes_that_free() -> None:
    assert isinstance(ending(End.STOPPED), Capture)
    assert isinstance(ending(End.STOPPED, stopped_is_free=True), Release)


@pytest.mark.parametrize(
    ("charged", "starts_job", "job_id", "cost", "free"),
    list(product([True, False], [True, False], [None, "pjb-1"], [None, 4000], [True, False])),
)
def test_whom_the_upstream_never_answered_is_never_charged(
    charged: bool, starts_job: bool, job_id: str | None, cost: int | None, free: bool
) -> None:
    facts = {"charged": charged, "starts_job": starts_job, "job_id": job_id, "exact_cost_millicredits": cost}
    assert isinstance(ending(End.UNREACHED, **facts, stopped_is_free=free), Release)
    if not (charged and starts_job and job_id):
        assert isinstance(ending(End.BROKEN, **facts, stopped_is_free=free), Release)
