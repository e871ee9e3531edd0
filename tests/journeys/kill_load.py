"""The callers of the kill tests: a steady stream of calls, and a note of every complete 2xx reply they got."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

AT_ONCE: Final = 150
PATIENCE_S: Final = 15.0
RETRIEVE: Final = "/api/v1/retrieval/retrieve"
PARSE: Final = "/api/v2/parse"


@dataclass(frozen=True)
class Reply:
    """A complete 2xx reply to a call that consumes credits. Amounts as the gateway told them."""

    request_id: str
    at: float
    charged: str | None
    held: str | None
    job_id: str | None
    key: str


@dataclass
class Callers:
    """`job_share` of the calls with a key of `job_keys` start a job; half of those are polled by their callers."""

    urls: Sequence[str]
    keys: Sequence[str]
    job_keys: frozenset[str]
    seed: int
    calls_per_s: float = 60
    job_share: float = 0.2
    call_body: Mapping[str, Any] = field(default_factory=lambda: {"query": "invoice total"})
    job_body: Mapping[str, Any] = field(default_factory=lambda: {"tier": "cost_effective", "file_id": "f"})
    calls: int = 0
    complete: list[Reply] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    broken: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._under_way: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[None]:
        """Calls go out during the block; on leaving it, those under way are waited for."""
        limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
        async with httpx.AsyncClient(limits=limits, timeout=PATIENCE_S) as client:
            ticking = asyncio.create_task(self._tick(client))
            try:
                yield
            finally:
                ticking.cancel()
                with suppress(asyncio.CancelledError):
                    await ticking
                if self._under_way:
                    await asyncio.wait(self._under_way)

    async def _tick(self, client: httpx.AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due, loop.time() - 0.5) + self._random.expovariate(self.calls_per_s)
            await asyncio.sleep(max(0, due - loop.time()))
            if len(self._under_way) < AT_ONCE:
                key = self._random.choice(self.keys)
                starts_job = key in self.job_keys and self._random.random() < self.job_share
                task = asyncio.create_task(self._call(client, key, starts_job))
                self._under_way.add(task)
                task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.result()

    async def _call(self, client: httpx.AsyncClient, key: str, starts_job: bool) -> None:
        self.calls += 1
        url, headers = self._random.choice(self.urls), {"Authorization": f"Bearer {key}"}
        body = self.job_body if starts_job else self.call_body
        try:
            reply = await client.post(url + (PARSE if starts_job else RETRIEVE), json=body, headers=headers)
        except httpx.HTTPError:
            self.broken += 1
            return
        self.statuses[reply.status_code] += 1
        if not reply.is_success:
            with suppress(ValueError):
                self.codes[reply.json().get("code", "none")] += 1
            return
        told = reply.headers
        job_id = reply.json()["id"] if starts_job else None
        charged, held = told.get("x-credits-charged"), told.get("x-credits-held")
        self.complete.append(Reply(told["x-request-id"], time.monotonic(), charged, held, job_id, key))
        if job_id is not None and self._random.random() < 0.5:
            await asyncio.sleep(self._random.uniform(0.3, 1.5))
            with suppress(httpx.HTTPError):
                await client.get(f"{self._random.choice(self.urls)}{PARSE}/{job_id}?expand=usage", headers=headers)
