"""How often a peer may try to sign in: a sliding window of failures, in memory, for a bounded number of peers.

Per process, so several processes allow a multiple. It slows down guessing; what makes guessing hopeless is the 190 bits
of a key.
"""

from collections import OrderedDict, deque
from math import ceil
from typing import Final

MOST_FAILURES: Final = 10
WINDOW_MS: Final = 5 * 60_000
MOST_PEERS: Final = 10_000


class Attempts:
    """Failures to sign in, by peer. When too many peers fail, the one that failed longest ago is forgotten."""

    def __init__(
        self, *, most_failures: int = MOST_FAILURES, window_ms: int = WINDOW_MS, most_peers: int = MOST_PEERS
    ) -> None:
        self._most_failures = most_failures
        self._window_ms = window_ms
        self._most_peers = most_peers
        self._failures: OrderedDict[str, deque[int]] = OrderedDict()

    def wait_s(self, peer: str, at_ms: int) -> int:
        """Whole seconds until the peer may try again; 0: now."""
        failures = self._failures.get(peer)
        if failures is None:
            return 0
        while failures and failures[0] <= at_ms - self._window_ms:
            failures.popleft()
        if len(failures) < self._most_failures:
            return 0
        return max(1, ceil((failures[0] + self._window_ms - at_ms) / 1000))

    def failed(self, peer: str, at_ms: int) -> None:
        """Count a failure."""
        failures = self._failures.setdefault(peer, deque(maxlen=self._most_failures))
        failures.append(at_ms)
        self._failures.move_to_end(peer)
        while len(self._failures) > self._most_peers:
            self._failures.popitem(last=False)
