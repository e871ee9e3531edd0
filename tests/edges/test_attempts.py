from gateway.edges.attempts import Attempts


def test_a_peer_may_fail_so_often_and_must_then_wait_until_the_oldest_is_forgotten() -> None:
    attempts = Attempts(most_failures=3, window_ms=10_000, most_peers=10)
    for at_ms in (0, 1_000, 2_000):
        assert attempts.wait_s("a", at_ms) == 0
        attempts.failed("a", at_ms)
    assert attempts.wait_s("a", 2_500) == 8
    assert attempts.wait_s("b", 2_500) == 0
    assert attempts.wait_s("a", 9_999) == 1
    assert attempts.wait_s("a", 10_000) == 0


def test_any_number_of_peers_takes_bounded_memory() -> None:
    attempts = Attempts(most_failures=1, window_ms=10_000, most_peers=100)
    for peer in range(1_000):
        attempts.failed(str(peer), 0)
    assert sum(attempts.wait_s(str(peer), 1) > 0 for peer in range(1_000)) == 100
