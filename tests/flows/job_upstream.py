"""The upstream's side of one job: its states, its bill, and when either came to be. Behind a replica's gate."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.upstream.answer import HeaderLines, RequestBody
from gateway.wire.route import CostSource, Delivery, JobKind
from tests.flows.job_faults import Fault, Gate
from tests.made_up import CREDIT

LIMIT_MS: Final = 1_800_000
HELD: Final = 100 * CREDIT
# More than anybody looks before patience is over.
MANY_LOOKS: Final = 1_000
KIND: Final = JobKind(
    name="parse_v2",
    upstream="parse",
    id=("id",),
    poll_path="/jobs/{job_id}?expand=usage",
    status=("job", "status"),
    statuses={"COMPLETED": Delivery.CHARGED, "CANCELLED": Delivery.STOPPED, "FAILED": Delivery.FREE},
    costs=(
        CostSource(credits=("job", "usage", "credits")),
        CostSource(path="/metrics?key={job_id}", credits=("items", "*", "credits")),
    ),
    limit_ms=LIMIT_MS,
    billed_mode=("job", "tier"),
)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a completed job costs, after how many looks that is told, and whether the usage metrics tell it too."""

    cost: int
    looks_until_billed: int = 0
    metrics: bool = False


@dataclass
class Answer:
    """A whole answer."""

    status: int
    body: bytes
    headers: HeaderLines = field(default_factory=list)
    complete: bool = True

    @property
    def content_length(self) -> int | None:
        return len(self.body)

    async def read(self) -> bytes:
        body, self.body = self.body, b""
        return body

    async def close(self) -> None:
        """Nothing is open."""


class MadeUpJob:
    """The upstream's side: one job, its bill, and when either came to be."""

    def __init__(self, bill: Bill, job_id: str, now_ms: Callable[[], int]) -> None:
        self.bill = bill
        self.id = job_id
        self.status = "RUNNING"
        self.ended_ms: int | None = None
        self.deleted_ms: int | None = None
        self.billed = bill.cost
        self.tier = "agentic"
        # What is answered to every poll instead of a document.
        self.unreadable: bytes | None = None
        self._looks_left = bill.looks_until_billed
        self._now_ms = now_ms
        # When a caller's poll told the gateway that it has ended.
        self.end_told_ms: int | None = None

    def end(self, status: str, billed: int) -> None:
        if self.status == "RUNNING" and self.deleted_ms is None:
            self.status, self.billed, self.ended_ms = status, billed, self._now_ms()

    def delete(self) -> None:
        if self.deleted_ms is None:
            self.deleted_ms = self._now_ms()

    def poll(self, *, usage: bool) -> Answer:
        if self.deleted_ms is not None:
            return Answer(404, b"{}")
        if self.unreadable is not None:
            return Answer(200, self.unreadable)
        job: dict[str, Any] = {"id": self.id, "status": self.status, "tier": self.tier}
        if usage:
            job["usage"] = {"credits": self._bill()}
        return Answer(200, orjson.dumps({"job": job}))

    def metrics(self) -> Answer:
        told = self.bill.metrics and self.ended_ms is not None and self.status != "FAILED" and not self._looks_left
        return Answer(200, orjson.dumps({"items": [{"credits": self.billed / CREDIT}] if told else []}))

    def _bill(self) -> float | None:
        if self.ended_ms is None:
            return None
        if self._looks_left:
            self._looks_left -= 1
            return None
        return 0.0 if self.status == "FAILED" else self.billed / CREDIT


class MadeUpUpstream:
    """The job's service, behind one replica's gate."""

    def __init__(self, job: MadeUpJob, gate: Gate) -> None:
        self._job = job
        self._gate = gate

    async def send(self, method: bytes, target: bytes, headers: HeaderLines, body: RequestBody) -> Answer:
        assert (method, body) == (b"GET", None)
        assert dict(headers)[b"x-account-id"]
        await self._gate.pass_(Fault.UNREACHABLE, Fault.CRASH, Fault.PAUSE)
        path, job_id = target.decode().split("?")[0], self._job.id
        answer = self._job.poll(usage=True) if path == f"/jobs/{job_id}" else self._job.metrics()
        await self._gate.pass_(Fault.CRASH, Fault.PAUSE)
        return answer

    async def aclose(self) -> None:
        """Nothing is open."""
