"""Somebody who opens accounts and reads usage all day: through the flows that the commands use, without their start.

For what a journey needs and is not about; what is about the commands uses the commands.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from gateway.configuration import load
from gateway.domain.credits import MILLICREDITS_PER_CREDIT
from gateway.edges.api.usage_document import usage_document
from gateway.flows.accounts import Accounts, OpenedAccount
from gateway.flows.keys import CreatedKey, Keys
from gateway.flows.reconcile import Report, reconcile
from gateway.flows.usage_report import UsageReports
from gateway.stores import Stores, open_stores

PATIENCE_S: Final = 20.0

T = TypeVar("T")


class Clerk:
    """Has the stores of a place open, in a thread of its own, until `close`. The place's gateways run already."""

    def __init__(self, config: Path, environment: Mapping[str, str]) -> None:
        self._configuration = load(config, environment)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="clerk")
        self._opened = threading.Event()
        self._stores: Stores | None = None
        self._leave = asyncio.Event()
        self._thread.start()
        assert self._opened.wait(PATIENCE_S), "the stores did not open"

    def account(
        self, plan: str, *, credits_: int | None, products: frozenset[str] | None
    ) -> tuple[OpenedAccount, CreatedKey]:
        """A new account and its key; `credits_` is what it is left with."""

        async def work(stores: Stores) -> tuple[OpenedAccount, CreatedKey]:
            accounts = Accounts(stores.billing)
            opened = await accounts.create(plan, plan)
            granted = stores.current.plans()[plan].granted_millicredits
            if credits_ is not None and (change := credits_ * MILLICREDITS_PER_CREDIT - granted):
                await accounts.adjust(opened.id, change, reason="for a test")
            keys = Keys(books=stores.books, tell=stores.billing.tell, pepper=stores.pepper, clock=stores.clock)
            return opened, await keys.create(opened.id, products=products)

        return self._do(work)

    def usage(self, account_id: str) -> dict[str, Any]:
        """What `gateway usage --json` prints."""

        async def work(stores: Stores) -> dict[str, Any]:
            reports = UsageReports(books=stores.books, ledger=stores.ledger, terms_of=stores.billing.terms_of)
            return usage_document(await reports.of_account(account_id, stores.clock()))

        document: dict[str, Any] = json.loads(orjson.dumps(self._do(work)), parse_float=Decimal, parse_int=Decimal)
        return document

    def reconciled(self, account_id: str) -> Report:
        """What `gateway reconcile` finds."""
        return self._do(lambda stores: reconcile(stores.books, stores.ledger, [account_id]))

    def close(self) -> None:
        """Closes the stores."""
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(PATIENCE_S)

    def _do(self, work: Callable[[Stores], Awaitable[T]]) -> T:
        async def with_stores() -> T:
            assert self._stores is not None
            return await work(self._stores)

        return asyncio.run_coroutine_threadsafe(with_stores(), self._loop).result(PATIENCE_S)

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._open())

    async def _open(self) -> None:
        async with open_stores(self._configuration.settings, self._configuration.catalog) as self._stores:
            self._opened.set()
            await self._leave.wait()
