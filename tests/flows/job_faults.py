"""Faults between any two awaits of a replica: what may go wrong when it asks the store or the upstream."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.scripts import Script
from gateway.ledger.store import Argument, Still, Store
from gateway.upstream.faults import UpstreamUnreachable


class Fault(StrEnum):
    """What is put at one await of one act."""

    AWAY = "store away before it ran"
    LOST = "reply lost after it ran"
    CRASH = "replica killed"
    PAUSE = "replica stands still while others go on"
    UNREACHABLE = "upstream unreachable"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that happens. A fault, if any, hits the act's await number `at`."""

    name: str
    replica: int = 0
    amount: int = 0
    fault: Fault | None = None
    at: int = 0


NOTHING: Final = Act("nothing")


class Crashed(asyncio.CancelledError):
    """The replica is gone: nothing of it runs any further."""


class Gate:
    """Stands at every await of a replica and lets its plan happen."""

    def __init__(self, hit: Callable[[Fault], None]) -> None:
        self._hit = hit
        self._plan: Act | None = None
        self._awaits = 0
        self.dead = False
        self.paused = asyncio.Event()
        self.resume = asyncio.Event()

    def plan(self, act: Act) -> None:
        self._plan, self._awaits = act, 0
        self.paused.clear()
        self.resume.clear()

    async def pass_(self, *possible: Fault) -> None:
        """One await of the replica's; the faults that make sense here."""
        if self.dead:
            raise Crashed
        plan = self._plan
        if plan is None or plan.fault is None or plan.fault not in possible:
            return
        self._awaits += 1
        if self._awaits <= plan.at:
            return
        self._plan = None
        self._hit(plan.fault)
        match plan.fault:
            case Fault.AWAY:
                raise StoreUnavailable("connection_lost")
            case Fault.LOST:
                raise StoreUnavailable("timeout", outcome_unknown=True)
            case Fault.UNREACHABLE:
                raise UpstreamUnreachable("made up")
            case Fault.CRASH:
                self.dead = True
                raise Crashed
            case Fault.PAUSE:
                self.paused.set()
                await self.resume.wait()
                if self.dead:
                    raise Crashed


class FaultyStore:
    """The real store, with a gate before and after everything asked of it."""

    def __init__(self, store: Store, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    async def evalsha(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        repeat: bool = True,
        deadline_ms: int | None = None,
        still: Still | None = None,
    ) -> Any:
        await self._gate.pass_(Fault.AWAY, Fault.CRASH, Fault.PAUSE)
        reply = await self._store.evalsha(script, keys, args, repeat=repeat, deadline_ms=deadline_ms, still=still)
        await self._gate.pass_(Fault.LOST, Fault.CRASH, Fault.PAUSE)
        return reply

    async def execute(self, *command: Argument, key: str, repeat: bool = False, deadline_ms: int | None = None) -> Any:
        return await self._store.execute(*command, key=key, repeat=repeat, deadline_ms=deadline_ms)

    async def on_every_node(self, *command: Argument) -> list[Any]:
        return await self._store.on_every_node(*command)
