"""A loop's clock that leaps ahead when a test says so: time limits are seen at work on a machine of any speed.

For loops of asyncio alone, and for what asks them the time; Redis, books and other processes have clocks of their own.
It never goes back: timers that others of the loop set meanwhile, of servers that run beside the test, would come late
by as much.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

# A timer that sets the next one sees time go by in steps, as it would if it passed by itself.
_STEPS: Final = 10
_TURNS: Final = 5


async def leap(seconds: float) -> None:
    """Lets so many seconds pass at once, with turns of the loop in between for all that is due."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    for step in range(1, _STEPS + 1):
        loop.time = partial(_ahead, clock, seconds * step / _STEPS)  # type: ignore[method-assign]
        for _ in range(_TURNS):
            await asyncio.sleep(0)


def _ahead(clock: Callable[[], float], ahead_s: float) -> float:
    return clock() + ahead_s
