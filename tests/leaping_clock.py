"""A loop's clock that leaps ahead when a test says so: time limits are seen at work on a machine of any speed.

For loops of asyncio alone, and for what asks them the time; Redis, books and other processes have clocks of their own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

# A timer that sets the next one sees time go by in steps, as it would if it passed by itself.
_STEPS = 10
_TURNS = 5


@contextmanager
def leaping_clock() -> Iterator[Callable[[float], Awaitable[None]]]:
    """Gives what lets so many seconds pass at once, with turns of the loop in between for all that is due."""
    loop = asyncio.get_running_loop()
    clock, ahead_s = loop.time, 0.0

    async def leap(seconds: float) -> None:
        nonlocal ahead_s
        for _ in range(_STEPS):
            ahead_s += seconds / _STEPS
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    loop.time = lambda: clock() + ahead_s  # type: ignore[method-assign]
    try:
        yield leap
    finally:
        loop.time = clock  # type: ignore[method-assign]
