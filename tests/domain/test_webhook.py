"""How long a delivery is tried."""

from gateway.domain.webhook import PAUSES_MS, accepted, pause_ms

HOUR_MS = 3_600_000


def test_a_delivery_is_tried_for_over_three_days_and_then_given_up() -> None:
    pauses = [pause_ms(tries, jitter_permille=0) for tries in range(1, len(PAUSES_MS) + 2)]
    assert pauses[-1] is None
    assert 72 * HOUR_MS < sum(pause for pause in pauses if pause is not None) < 80 * HOUR_MS
    assert pauses[:2] == [5_000, 300_000]


def test_jitter_lengthens_a_pause_by_a_tenth_at_most() -> None:
    assert pause_ms(2, jitter_permille=100) == 330_000
    assert pause_ms(2, jitter_permille=5_000) == 330_000


def test_only_2xx_says_that_an_event_arrived() -> None:
    assert [status for status in range(100, 600) if accepted(status)] == list(range(200, 300))
