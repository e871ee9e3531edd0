"""Asks a gateway as a browser or a program would, over one connection, and tells how long it took."""

import http.client
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from tests.bench.processes import cpu_us
from tests.bench.volume_people import Person
from tests.bench.volume_rows import Door, Row

HOST: Final = "127.0.0.1"
ADMIN_TOKEN: Final = "an admin token for benchmarks"
# Rounds before anything is counted: caches of statements, templates and pages of the books fill.
WARM_UPS: Final = 3


class Unanswered(Exception):
    """An answer that is none: its status, and the beginning of what it said."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds of the rounds, to the first byte and to the last; CPU of the gateway in each, and bytes."""

    first: tuple[float, ...]
    last: tuple[float, ...]
    cpu: float
    size: int

    def judged(self, row: Row) -> tuple[float, ...]:
        """What counts: all of an answer, of a long download its first byte."""
        return self.first if row.streamed else self.last


def p50(taken: Sequence[float]) -> float:
    """The median."""
    return statistics.median(taken)


def p95(taken: Sequence[float]) -> float:
    """The smallest that at least 95 of a hundred do not exceed."""
    return sorted(taken)[math.ceil(len(taken) * 0.95) - 1]


class Asker:
    """One person's browser and program, and the operator's."""

    def __init__(self, person: Person, *, port: int, admin_port: int, pid: int) -> None:
        self._pid = pid
        self._main = http.client.HTTPConnection(HOST, port, timeout=120)
        self._admin = http.client.HTTPConnection(HOST, admin_port, timeout=120)
        self._headers: dict[Door, dict[str, str]] = {
            Door.KEY: {"authorization": f"Bearer {person.secret}"},
            Door.ADMIN_TOKEN: {"authorization": f"Bearer {ADMIN_TOKEN}"},
            Door.OWNER: self._signed_in(self._main, "/settings/sign-in", person.secret),
            Door.OPERATOR: self._signed_in(self._admin, "/admin/sign-in", ADMIN_TOKEN),
        }

    def close(self) -> None:
        """Hang up; whoever asks again calls again."""
        self._main.close()
        self._admin.close()

    def measured(self, row: Row, rounds: int) -> Figures:
        """The same question again and again. Unanswered."""
        # A connection that waited for the other door's rows to pass may be closed by now.
        self.close()
        last = 0.0
        for _ in range(WARM_UPS):
            _, last, _ = self._once(row)
        # What takes seconds is slow after few rounds as well.
        rounds = rounds if last < 1_000 else max(3, rounds // 10)
        before = cpu_us(self._pid)
        taken = [self._once(row) for _ in range(rounds)]
        cpu_ms = (cpu_us(self._pid) - before) / rounds / 1_000
        firsts, lasts, sizes = zip(*taken, strict=True)
        return Figures(tuple(firsts), tuple(lasts), cpu_ms, sizes[-1])

    def _once(self, row: Row) -> tuple[float, float, int]:
        connection = self._main if row.door in {Door.OWNER, Door.KEY} else self._admin
        begun = time.perf_counter()
        connection.request("GET", row.path, headers=self._headers[row.door])
        reply = connection.getresponse()
        body = reply.read(1)
        first = (time.perf_counter() - begun) * 1_000
        size = len(body)
        while piece := reply.read(1 << 20):
            size += len(piece)
        last = (time.perf_counter() - begun) * 1_000
        if reply.status != http.client.OK:
            raise Unanswered(f"{reply.status} {reply.headers.get('location', '')} {row.path}")
        return first, last, size

    @staticmethod
    def _signed_in(connection: http.client.HTTPConnection, path: str, secret: str) -> dict[str, str]:
        origin = f"http://{connection.host}:{connection.port}"
        headers = {"origin": origin, "content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", path, urlencode({"key": secret, "next": ""}), headers)
        reply = connection.getresponse()
        said = reply.read()
        if reply.status != http.client.SEE_OTHER:
            raise Unanswered(f"{reply.status} {path}: {said[:200]!r}")
        return {"cookie": reply.headers["set-cookie"].partition(";")[0]}
