"""Expiring the holds of dead processes and of jobs that never ended. Any number of processes may sweep at a time."""

import asyncio
from typing import Final

import structlog

from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger

SWEEP_EVERY_S: Final = 1.0

log = structlog.get_logger()


class Sweeper:
    """Asks each shard for overdue holds once a second."""

    def __init__(self, ledger: Ledger, shards: int) -> None:
        self._ledger = ledger
        self._shards = shards

    async def sweep(self) -> int:
        """Expires what is overdue, a bounded batch per shard; how many there were."""
        expired = sum(await asyncio.gather(*(self._ledger.expire(shard) for shard in range(self._shards))))
        if expired:
            log.warning("holds expired", count=expired)
        return expired

    async def run(self) -> None:
        """Sweeps until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await self.sweep()
            except StoreUnavailable:
                continue
