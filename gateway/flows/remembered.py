"""What a process remembers of the books: bounded, by age, and read once for all who wait. Knows not what it keeps."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """At most so many values, each with the time it was read; what was used longest ago goes first.

    Without `max_age_ms` nothing is ever fresh: who asks knows by other means whether it holds still.
    """

    def __init__(self, at_most: int, *, max_age_ms: int = 0) -> None:
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._at_most = at_most
        self._max_age_ms = max_age_ms

    def fresh(self, key: K, now_ms: int) -> V | None:
        """The value, unless it is too old or from a clock that was since set back."""
        found = self._kept.get(key)
        if found is None or not 0 <= now_ms - found[1] < self._max_age_ms:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def whatever_age(self, key: K) -> V | None:
        """The value, however old."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def ages(self, key: K, now_ms: int, *, after_ms: int) -> bool:
        """Whether the value was read so long ago, or never."""
        found = self._kept.get(key)
        return found is None or now_ms - found[1] >= after_ms

    def keep(self, key: K, value: V, read_ms: int) -> None:
        """Remember a value read at that time."""
        self._kept[key] = (value, read_ms)
        self._kept.move_to_end(key)
        if len(self._kept) > self._at_most:
            self._kept.popitem(last=False)

    def make_do(self, key: K, now_ms: int, *, for_ms: int) -> None:
        """Let an old value pass for fresh a little longer."""
        if (found := self._kept.get(key)) is not None:
            self._kept[key] = (found[0], now_ms - self._max_age_ms + for_ms)

    def drop(self, those: Callable[[K], bool]) -> None:
        """Remember nothing of these keys."""
        for key in [key for key in self._kept if those(key)]:
            del self._kept[key]

    def forget(self) -> None:
        """Remember nothing."""
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)


class OnceForAll(Generic[K, V]):
    """Runs one read per key at a time; whoever asks meanwhile waits for its answer.

    Of a crowd of keys `at_once` are read at a time, so that other work goes on.
    """

    def __init__(self, *, at_once: int = 1_000) -> None:
        self._under_way: dict[K, asyncio.Task[V]] = {}
        self._few = asyncio.Semaphore(at_once)

    def __len__(self) -> int:
        """How many keys are read or wait to be."""
        return len(self._under_way)

    async def ask(self, key: K, read: Callable[[], Awaitable[V]]) -> V:
        """The answer of the read that runs for this key, begun now if none does. Its errors reach all who wait."""
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(self._run(key, read))
            self._under_way[key] = task
            task.add_done_callback(_looked_at)
        # One caller's hanging up must not fail the others who wait for the same answer.
        return await asyncio.shield(task)

    def begin_anew(self) -> None:
        """Let nobody join what is under way: it may be answering from before."""
        self._under_way.clear()

    async def _run(self, key: K, read: Callable[[], Awaitable[V]]) -> V:
        try:
            async with self._few:
                return await read()
        finally:
            if self._under_way.get(key) is asyncio.current_task():
                del self._under_way[key]


def _looked_at(task: asyncio.Task[V]) -> None:
    """An error that nobody waits for any more is nobody's news."""
    if not task.cancelled():
        task.exception()
