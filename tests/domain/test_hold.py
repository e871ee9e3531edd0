from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.hold import NEXT, HoldEvent, HoldState


@pytest.mark.parametrize(("state", "event"), list(product(HoldState, HoldEvent)))
def test_every_event_has_an_answer_in_every_state(state: HoldState, event: HoldEvent) -> None:
    assert NEXT[state, event] is not HoldState.OPEN


@given(st.lists(st.sampled_from(HoldEvent), max_size=20))
def test_a_hold_takes_credits_at_most_once_whatever_is_asked_of_it(events: list[HoldEvent]) -> None:
    state, takings, givings_back = HoldState.OPEN, 0, 0
    for event in events:
        after = NEXT[state, event]
        takings += after is HoldState.CAPTURED and state is not HoldState.CAPTURED
        givings_back += state is HoldState.OPEN and after in {HoldState.RELEASED, HoldState.EXPIRED}
        state = after
    assert takings <= 1
    assert givings_back <= 1
    assert state is HoldState.OPEN if not events else state is not HoldState.OPEN


@pytest.mark.parametrize(("state", "event"), [pair for pair in NEXT if pair[0] is not HoldState.OPEN])
def test_a_repeat_changes_nothing(state: HoldState, event: HoldEvent) -> None:
    once = NEXT[state, event]
    assert NEXT[once, event] is once


def test_only_an_expired_hold_is_taken_late() -> None:
    changes = {pair for pair, after in NEXT.items() if pair[0] not in {HoldState.OPEN, after}}
    assert changes == {(HoldState.EXPIRED, HoldEvent.CAPTURE)}
