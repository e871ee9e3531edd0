"""A stand-in product service that remembers what it ran: the witness of the kill tests.

Speaks two of the shipped routes: retrieval, one exact credit, and parse jobs, whose credits are known after a while.
Deliberately outlives every gateway: it runs in the process of the test.
"""

import asyncio
import json
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn

CREDIT: Final = 1000
# What one job's quote comes to: ten pages in the tier that the load asks for.
JOB_QUOTE: Final = 30 * CREDIT


@dataclass(frozen=True)
class Job:
    """A job that was started; its cost is told from `ready_at` on."""

    request_id: str
    cost_millicredits: int
    ready_at: float


@dataclass
class Witness:
    """What ran, by the request id that the gateway gave it. `slow` is the share of calls that take up to 1.5 s."""

    seed: int
    slow: float = 0.15
    job_seconds: tuple[float, float] = (0.5, 4.0)
    ran: Counter[str] = field(default_factory=Counter)
    jobs: dict[str, Job] = field(default_factory=dict)
    job_of: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def cost_millicredits(self, request_id: str) -> int:
        """The true cost of a call that ran."""
        job_id = self.job_of.get(request_id)
        return CREDIT if job_id is None else self.jobs[job_id].cost_millicredits

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        while (await receive()).get("more_body"):
            pass
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"").decode()
        path: str = scope["path"]
        if scope["method"] == "GET":
            await _reply(send, *self._told(path.rpartition("/")[2]))
            return
        self.ran[request_id] += 1
        if path == "/api/v2/parse":
            await _reply(send, 200, {"id": self._started(request_id), "status": "PENDING"})
            return
        slow = self._random.random() < self.slow
        await asyncio.sleep(self._random.uniform(0.2, 1.5) if slow else self._random.uniform(0, 0.03))
        await _reply(send, 200, {"results": ["x" * 40] * 20}, streamed=self._random.random() < 0.2)

    def _started(self, request_id: str) -> str:
        job_id = f"pjb-{len(self.jobs)}"
        cost = self._random.randint(1, 60) * CREDIT
        self.jobs[job_id] = Job(request_id, cost, time.monotonic() + self._random.uniform(*self.job_seconds))
        self.job_of[request_id] = job_id
        return job_id

    def _told(self, job_id: str) -> tuple[int, Any]:
        job = self.jobs.get(job_id)
        if job is None:
            return 404, {"detail": "Job not found"}
        if time.monotonic() < job.ready_at:
            return 200, {"job": {"id": job_id, "status": "RUNNING", "usage": {"credits": None}}}
        credits_ = job.cost_millicredits // CREDIT
        return 200, {"job": {"id": job_id, "status": "COMPLETED", "usage": {"credits": credits_}}}


async def _reply(send: Any, status: int, document: Any, *, streamed: bool = False) -> None:
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json")]
    if not streamed:
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if streamed:
        for part in (body[:100], body[100:200]):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0.01)
        body = body[200:]
    await send({"type": "http.response.body", "body": body, "more_body": False})


@asynccontextmanager
async def serving(witness: Witness) -> AsyncIterator[str]:
    """The witness on a free port of loopback; its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(witness, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    """Signals are the test's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves them alone."""
        yield
