"""Sliding windows against a model that remembers every call, at instants of Hypothesis's choice."""

from dataclasses import dataclass, field
from random import Random

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.admission import Admitted, RefusalCode, Refused
from gateway.domain.plan import RateLimit
from gateway.domain.terms import Terms
from gateway.ledger import packing
from gateway.ledger.ledger import Ledger
from gateway.ledger.packing import calls_per_entry
from tests.ledger.builders import free_call_of, fresh_id, terms_of
from tests.ledger.conftest import Clock

WINDOW_MS = 1000
NO_LIMIT_MS = 4_000_000


@dataclass
class Windows:
    """The rule as one would write it down: no more than `calls` in any half-open window."""

    calls: int
    times_us: list[int] = field(default_factory=list)

    def inside(self, now_us: int) -> list[int]:
        return [time for time in self.times_us if now_us - time < WINDOW_MS * 1000]

    def opens_in_ms(self, now_us: int) -> int:
        """Until fewer than `calls` are inside; if that is so already, until the oldest leaves."""
        inside = self.inside(now_us)
        if not inside:
            return 0
        leaving = inside[max(0, len(inside) - self.calls)]
        return -(-(leaving + WINDOW_MS * 1000 - now_us) // 1000)


async def new_account(ledger: Ledger) -> Terms:
    terms = terms_of(fresh_id("acc_window"))
    assert await ledger.load(terms, {}, 0)
    return terms


# Gaps that hit the edges of a window as often as its middle.
gaps_us = st.one_of(
    st.integers(0, 400_000), st.sampled_from([0, 1, 999_999, 1_000_000, 1_000_001, 500_000, 250_000, 3_000_000])
)


# The clock only ever goes on and every example has an account of its own, so they may share a server.
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.integers(1, 5), gaps=st.lists(gaps_us, max_size=30), changed=st.integers(1, 7))
async def test_windows_are_exact_to_the_microsecond(
    timed: Ledger, clock: Clock, calls: int, gaps: list[int], changed: int
) -> None:
    terms, model = await new_account(timed), Windows(calls)
    for turn, gap in enumerate(gaps):
        if turn == 20:
            # A plan change in the middle: the calls that were counted stay counted.
            model.calls = changed
        await clock.set(clock.now_us + gap)
        limit = RateLimit("requests", model.calls, WINDOW_MS)
        answer = await timed.admit(free_call_of(terms, plan_limits=(limit,)))
        assert isinstance(answer, Admitted | Refused)
        (state,) = answer.limits
        counted = len(model.inside(clock.now_us))
        if counted < model.calls:
            assert isinstance(answer, Admitted)
            model.times_us.append(clock.now_us)
            assert state.remaining == model.calls - counted - 1
            oldest = model.inside(clock.now_us)[0]
            assert state.opens_in_ms == -(-(oldest + WINDOW_MS * 1000 - clock.now_us) // 1000)
        else:
            assert isinstance(answer, Refused)
            assert (answer.code, answer.limit_name) == (RefusalCode.RATE_LIMITED, "requests")
            assert state.remaining == 0
            assert answer.retry_in_ms == state.opens_in_ms == model.opens_in_ms(clock.now_us)


async def test_large_windows_never_admit_too_many_and_open_late_by_one_entry_at_most(
    timed: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits of thousands share entries; here one of forty does, so that many windows pass."""
    monkeypatch.setattr(packing, "_EXACT_UP_TO", 20)
    monkeypatch.setattr(packing, "_ENTRIES", 10)
    terms = await new_account(timed)
    limit, random = RateLimit("requests", 40, WINDOW_MS), Random(7)
    assert calls_per_entry(limit) == 4
    times: list[int] = []
    refused = 0
    for _ in range(800):
        await clock.set(clock.now_us + random.choice([0, 1, 5000, 20_000, 20_000, 200_000]))
        answer = await timed.admit(free_call_of(terms, plan_limits=(limit,)))
        inside = sum(1 for time in times if clock.now_us - time < WINDOW_MS * 1000)
        assert isinstance(answer, Admitted | Refused)
        if isinstance(answer, Admitted):
            times.append(clock.now_us)
            assert inside < limit.calls
        else:
            refused += 1
            # Not refused before its time, but for what one entry holds.
            assert inside > limit.calls - calls_per_entry(limit)
            assert answer.retry_in_ms is not None
            assert 0 < answer.retry_in_ms <= WINDOW_MS
    assert 50 < refused < 700


async def test_large_windows_keep_a_bounded_list(timed: Ledger, raw: "redis.asyncio.Redis", clock: Clock) -> None:
    terms = await new_account(timed)
    limit = RateLimit("requests", 5000, NO_LIMIT_MS)
    for _ in range(500):
        await clock.set(clock.now_us + 10)
        assert isinstance(await timed.admit(free_call_of(terms, plan_limits=(limit,))), Admitted)
    (key,) = await raw.keys(f"*:window:{terms.account_id}:requests:5")
    assert await raw.llen(key) == 500 // 5


async def test_calls_that_left_the_window_are_forgotten(
    timed: Ledger, raw: "redis.asyncio.Redis", clock: Clock
) -> None:
    terms = await new_account(timed)
    limit = RateLimit("requests", 100, WINDOW_MS)
    for _ in range(60):
        await clock.set(clock.now_us + 10_000)
        await timed.admit(free_call_of(terms, plan_limits=(limit,)))
    (key,) = await raw.keys(f"*:window:{terms.account_id}:requests")
    assert await raw.llen(key) == 60
    await clock.set(clock.now_us + 700_000)
    await timed.admit(free_call_of(terms, plan_limits=(limit,)))
    assert await raw.llen(key) == 31
    # An account that calls no more leaves nothing behind.
    assert WINDOW_MS < await raw.pttl(key) <= 2 * WINDOW_MS + 1000


@pytest.mark.parametrize("back_ms", [1, 500, 1000, 5000, 10_800_000])
async def test_a_clock_that_goes_back_locks_nobody_out_for_longer_than_two_windows(
    timed: Ledger, clock: Clock, back_ms: int
) -> None:
    terms = await new_account(timed)
    limit = RateLimit("requests", 2, WINDOW_MS)
    for _ in range(2):
        await timed.admit(free_call_of(terms, plan_limits=(limit,)))
    await clock.pass_ms(-back_ms)
    waited_ms = 0
    while isinstance(await timed.admit(free_call_of(terms, plan_limits=(limit,))), Refused):
        await clock.pass_ms(50)
        waited_ms += 50
    assert waited_ms <= 2 * WINDOW_MS


async def test_limits_of_one_account_are_apart_and_so_are_accounts(timed: Ledger) -> None:
    first, second = await new_account(timed), await new_account(timed)
    requests, reads = RateLimit("requests", 1, WINDOW_MS), RateLimit("reads", 1, WINDOW_MS)
    assert isinstance(await timed.admit(free_call_of(first, plan_limits=(requests,))), Admitted)
    assert isinstance(await timed.admit(free_call_of(first, plan_limits=(reads,))), Admitted)
    assert isinstance(await timed.admit(free_call_of(second, plan_limits=(requests,))), Admitted)
    assert isinstance(await timed.admit(free_call_of(first, plan_limits=(requests, reads))), Refused)
