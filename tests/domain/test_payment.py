"""Payments as tables: every state meets every event."""

from itertools import product

import pytest

from gateway.domain.instant import DAY_MS
from gateway.domain.payment import (
    ATTEMPT_NEXT,
    COLLECTION_NEXT,
    HOLDS_THE_INVOICE,
    RETRY_AFTER_DAYS,
    UNDER_WAY,
    AttemptEvent,
    AttemptState,
    CollectionEvent,
    CollectionState,
    next_attempt_state,
    next_collection_state,
    retry_ms,
)


@pytest.mark.parametrize(("state", "event"), [*product(AttemptState, AttemptEvent)])
def test_an_attempt_only_ever_goes_forward(state: AttemptState, event: AttemptEvent) -> None:
    after = next_attempt_state(state, event)
    if state in {AttemptState.SUCCEEDED, AttemptState.REFUNDED}:
        assert after is None, "what was decided stays decided, whatever comes twice or late"
    if after is None:
        assert (state, event) not in ATTEMPT_NEXT
        return
    assert after is not AttemptState.STARTED
    if event is AttemptEvent.SUCCEED:
        assert after is AttemptState.SUCCEEDED
        assert state in UNDER_WAY
    if after in {AttemptState.PENDING, AttemptState.ACTION_REQUIRED}:
        assert state in UNDER_WAY
    if after is AttemptState.REFUNDED:
        assert state is AttemptState.REFUNDING


def test_every_attempt_under_way_can_succeed_fail_and_be_given_back() -> None:
    for state in UNDER_WAY:
        for event in (AttemptEvent.SUCCEED, AttemptEvent.FAIL, AttemptEvent.TAKE_NOT_OWED):
            assert next_attempt_state(state, event) is not None
    assert set(HOLDS_THE_INVOICE) == {*UNDER_WAY, AttemptState.SUCCEEDED}


@pytest.mark.parametrize(("state", "event"), [*product(CollectionState, CollectionEvent)])
def test_a_settled_collection_stays_settled_and_money_may_always_come(
    state: CollectionState, event: CollectionEvent
) -> None:
    after = next_collection_state(state, event)
    assert after == COLLECTION_NEXT.get((state, event))
    if state is CollectionState.SETTLED:
        assert after is None
    elif event is CollectionEvent.SETTLE:
        assert after is CollectionState.SETTLED
    elif state is CollectionState.GIVEN_UP:
        assert after is None


def test_retries_come_after_2_5_7_and_7_days_and_then_no_more() -> None:
    assert RETRY_AFTER_DAYS == (2, 5, 7, 7)
    waits = [retry_ms(failures, 1_000) for failures in range(1, 6)]
    assert waits == [1_000 + days * DAY_MS for days in RETRY_AFTER_DAYS] + [None]
