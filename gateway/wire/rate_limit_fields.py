"""The `RateLimit-Policy` and `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers) and `Retry-After`.

Written as text, since both are made for every reply; a test reads them back with a structured fields parser.
"""

from collections.abc import Sequence
from functools import lru_cache

from gateway.domain.admission import LimitState


def whole_seconds(ms: int) -> int:
    """Milliseconds in whole seconds, rounded up: who waits that long does not come too early."""
    return -(-ms // 1000)


def retry_after_s(ms: int | None) -> int:
    """Seconds for `Retry-After`: at least 1, which clients that ignore 0 still obey."""
    return max(1, whole_seconds(ms or 0))


@lru_cache(maxsize=1024)
def _name(name: str) -> str:
    """The limit's name as a structured fields string (RFC 9651, 3.3.3: printable ASCII, quotes escaped)."""
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in name)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


@lru_cache(maxsize=1024)
def _policy(name: str, calls: int, window_ms: int) -> str:
    return f"{_name(name)};q={calls};w={whole_seconds(window_ms)}"


def rate_limit_headers(limits: Sequence[LimitState]) -> list[tuple[bytes, bytes]]:
    """Both fields for every limit an admission looked at; none where it looked at none.

    `r` is what is left of the quota, `t` the seconds until the oldest counted call leaves the window.
    """
    if not limits:
        return []
    policies: list[str] = []
    left: list[str] = []
    for name, calls, window_ms, remaining, opens_in_ms in limits:
        policies.append(_policy(name, calls, window_ms))
        left.append(f"{_name(name)};r={max(0, remaining)};t={whole_seconds(opens_in_ms)}")
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(left).encode())]
