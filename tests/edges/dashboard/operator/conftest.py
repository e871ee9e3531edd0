"""The operator's pages over the same real stores as the accounts' own, with somebody signed in by the admin token."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from gateway.edges.dashboard.guard import Guarded
from gateway.edges.dashboard.operator.app import admin_dashboard
from gateway.edges.dashboard.operator.parts import OperatorParts
from gateway.flows.issue_invoice import Closer
from gateway.flows.look_in import LookIns
from gateway.flows.look_up import LookUp
from gateway.flows.overview import Overviews
from gateway.flows.reconcile_runs import ReconcileRuns
from gateway.ledger.connection import RedisConnection
from gateway.ledger.outbox import Outbox
from gateway.ledger.server_state import ServerState
from tests.billing import billing_over
from tests.edges.dashboard.conftest import Running, Someone
from tests.edges.dashboard.forms import form


@dataclass
class Operating:
    """`client` is the operator's browser; `problems` are what the configuration files are said to have."""

    running: Running
    parts: OperatorParts
    app: Guarded
    client: httpx.AsyncClient
    problems: list[str] = field(default_factory=list)

    async def page(self, path: str, status: int = 200) -> str:
        """A page, where redirects lead."""
        reply = await self.client.get(path, follow_redirects=True)
        assert reply.status_code == status, reply.text
        return reply.text

    async def sends(self, path: str, **typed: str) -> httpx.Response:
        """What comes of the form on this page, filled in and sent."""
        looked = await self.client.get(path)
        assert looked.status_code == 200, looked.text
        action = path.partition("?")[0]
        return await self.client.post(action, data={**form(looked.text, action), **typed})

    async def does(self, path: str, **typed: str) -> str:
        """The page after a change that works."""
        reply = await self.sends(path, **typed)
        assert reply.status_code == 303, reply.text
        return await self.page(reply.headers["location"])


def operator_parts_over(running: Running, store: RedisConnection, problems: list[str]) -> OperatorParts:
    """The parts over a test's stores."""
    books, ledger, clock = running.books, running.ledger, running.clock
    billing = billing_over(books, clock, plans=running.desk.plans(), ledger=ledger, tell=running.tell)
    closer = Closer(billing, longest_hold_ms=lambda: 0)
    return OperatorParts(
        dashboard=running.parts,
        overviews=Overviews(
            books=books, server=ServerState(store), lag=Outbox(store).lag, usage=ledger.usage, clock=clock
        ),
        runs=ReconcileRuns(books=books, ledger=ledger, clock=clock),
        look_up=LookUp(books=books),
        look_ins=LookIns(books=books, clock=clock),
        issue_due=closer.close_account,
        problems=lambda: problems,
        public_url="https://api.example",
    )


@pytest.fixture
async def operating(running: Running, redis_url: str) -> AsyncIterator[Operating]:
    store = RedisConnection(redis_url, attempt_timeout_ms=5000, call_timeout_ms=5000)
    await store.open()
    problems: list[str] = []
    parts = operator_parts_over(running, store, problems)
    app = admin_dashboard(parts)
    async with running.operator(app) as client:
        yield Operating(running, parts, app, client, problems)
    await store.close()


@pytest.fixture
async def acme(running: Running) -> Someone:
    """A Starter account that has used 1,000 credits."""
    one = await running.someone("starter", "Acme", days_ago=3)
    await running.used(one, 1_000, days_ago=1)
    return one
