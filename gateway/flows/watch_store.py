"""Noticing that Redis may have less than it had: it was reached again, or somebody has emptied it.

A name that Redis is given once tells the second: where it is gone, so is everything else. A Redis that was set back to
an older state has the name still, but cannot have been without a restart. What to do about it is for those told.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn

import structlog

from gateway.ledger.faults import StoreUnavailable
from gateway.ledger.ledger import Ledger

LOOK_EVERY_S: Final = 0.5

log = structlog.get_logger()


class StoreWatch:
    """One process's. Every one of `told` is called, in order, when Redis may have lost something."""

    def __init__(self, ledger: Ledger, told: Sequence[Callable[[], None]]) -> None:
        self._ledger = ledger
        self._told = told
        self._known: str | None = None

    def reached_again(self) -> None:
        """A connection was made after one had been lost."""
        log.info("redis was reached again")
        self._tell()

    async def look(self) -> None:
        """Asks Redis for its name. StoreUnavailable."""
        name = await self._ledger.name(secrets.token_hex(16))
        if self._known not in {None, name}:
            log.error("redis has lost what it had, and is rebuilt from the books")
            self._tell()
        self._known = name

    async def run(self) -> NoReturn:
        """Looks twice a second until cancelled."""
        while True:
            with suppress(StoreUnavailable):
                await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell(self) -> None:
        for told in self._told:
            told()
