"""Keeps the holds of this process's running calls alive, so that only a dead process's holds expire."""

import asyncio
from typing import Final

from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger

HOLD_TTL_MS: Final = 60_000
RENEW_EVERY_S: Final = 15.0


class LiveHolds:
    """The holds of calls in flight, by account. `add` and `discard` are on the hot path: one dict operation each."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._holds: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._holds)

    def add(self, hold_id: str, account_id: str) -> None:
        """From now on the hold is renewed."""
        self._holds[hold_id] = account_id

    def discard(self, hold_id: str) -> None:
        """The hold is settled, or a job's: it is renewed no longer."""
        self._holds.pop(hold_id, None)

    async def renew(self) -> None:
        """Moves the deadlines of all holds in flight. A store that is away is tried again at the next turn."""
        pairs = [(account_id, hold_id) for hold_id, account_id in self._holds.items()]
        await self._ledger.renew(pairs, ttl_ms=HOLD_TTL_MS)

    async def run(self) -> None:
        """Renews until cancelled, four times within a hold's life."""
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            if self._holds:
                try:
                    await self.renew()
                except StoreUnavailable:
                    continue
