"""The account API and the admin listener over real stores, asked without a network."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gateway.books.books import Books
from gateway.configuration import load as load_configuration
from gateway.domain.plan import Plan
from gateway.edges.api.account import account_api
from gateway.edges.api.admin import admin_api
from gateway.edges.api.front import Front
from gateway.edges.api.parts import AccountApiParts, AdminApiParts
from gateway.edges.api.quote import QuoteParts
from gateway.edges.api.readiness import Readiness
from gateway.edges.desk import desk_over
from gateway.edges.proxy.asgi import Receive, Scope, Send
from gateway.edges.proxy.parts import Offer
from gateway.flows.accounts import Accounts, OpenedAccount
from gateway.flows.admit import Admission
from gateway.flows.authenticate import Directory
from gateway.flows.foresee import Foresight
from gateway.flows.job_news import JobNews
from gateway.flows.keys import Keys
from gateway.flows.rebuild import Rebuilder, rebuild
from gateway.flows.reconcile import reconcile
from gateway.flows.saved_modes import SavedModes
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.ledger.connection import RedisConnection
from gateway.ledger.holds import Holds
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.scripts import Script
from tests.billing import billing_over
from tests.made_up import PLANS, Clock

CATALOG = load_configuration(Path(__file__).parents[3] / "config" / "gateway.yaml", {}).catalog
OFFER = Offer(CATALOG.routes, CATALOG.rate_card, CATALOG.job_kinds)
PEPPER = b"a pepper for tests"
ADMIN_TOKEN = "an admin token for tests"
WEBHOOK_SECRET = "whsec_for_tests"


@dataclass
class Running:
    """The parts behind the doors, and what a test does to them."""

    books: Books
    store: RedisConnection
    ledger: Ledger
    accounts: Accounts
    keys: Keys
    readiness: Readiness
    registry: CollectorRegistry
    clock: Clock
    front: Front
    parts: AccountApiParts
    admin_parts: AdminApiParts

    async def open_account(self, plan_id: str = "starter") -> tuple[OpenedAccount, str]:
        """An account that Redis knows, and a key of it."""
        opened = await self.accounts.create("Acme", plan_id)
        terms = await current_terms(self.books, PLANS, opened.id, self.clock())
        assert terms is not None
        assert await rebuild(self.books, self.ledger, Outbox(self.store), terms)
        return opened, (await self.keys.create(opened.id)).secret

    @asynccontextmanager
    async def caller(self, secret: str = "") -> AsyncIterator[httpx.AsyncClient]:
        """A caller of the public listener."""
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        transport = httpx.ASGITransport(app=self.front)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            yield client

    @asynccontextmanager
    async def operator(self, token: str = ADMIN_TOKEN) -> AsyncIterator[httpx.AsyncClient]:
        """A caller of the admin listener."""
        transport = httpx.ASGITransport(app=admin_api(self.admin_parts))
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://admin", headers=headers) as client:
            yield client


async def proxied(scope: Scope, receive: Receive, send: Send) -> None:
    """Stands in for the proxy: says which path it was given."""
    headers = [(b"x-path", scope["path"].encode())]
    await send({"type": "http.response.start", "status": 299, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def open_running(
    books_url: str,
    redis_url: str,
    *,
    clock: Clock,
    plans: Mapping[str, Plan] = PLANS,
    scripts: Mapping[str, Script] | None = None,
) -> AsyncIterator[Running]:
    """Everything, over these stores. `scripts`: the ledger's, where Redis is to live by another clock."""
    books = await Books.open(books_url)
    store = RedisConnection(redis_url, attempt_timeout_ms=5000, call_timeout_ms=5000)
    await store.open()
    ledger = Ledger(store, scripts=scripts)
    terms_of = partial(current_terms, books, plans)
    tell = TellLedger(books=books, ledger=ledger, plans=lambda: plans, clock=clock)
    readiness = Readiness(ledger=ledger, books=books)
    directory = Directory(books=books, terms_of=terms_of, pepper=PEPPER, clock=clock)
    load = Rebuilder(books=books, ledger=ledger, outbox=Outbox(store), terms_of=terms_of, clock=clock)
    desk = desk_over(
        billing_over(books, clock, plans=plans, ledger=ledger, tell=tell),
        ledger=ledger,
        holds=Holds(store),
        parts_of=lambda _: None,
        pepper=PEPPER,
        rate_card=lambda: CATALOG.rate_card,
    )
    parts = AccountApiParts(
        desk=desk,
        directory=directory,
        admission=Admission(ledger, directory, load=load, plans=lambda: plans, clock=clock),
        quotes=QuoteParts(
            offer=lambda: OFFER,
            saved_modes=SavedModes({}, clock),
            foresight=Foresight(ledger, directory, load=load, clock=clock),
            isolates=lambda _: True,
        ),
        job_news=JobNews(books=books, ledger=ledger),
        webhook_secrets={"parse": SecretStr(WEBHOOK_SECRET)},
        readiness=readiness,
    )
    registry = CollectorRegistry()
    admin_parts = AdminApiParts(
        readiness=readiness,
        registry=registry,
        desk=desk,
        token=SecretStr(ADMIN_TOKEN),
        reconcile=partial(reconcile, books, ledger),
        lag=Outbox(store).lag,
        open_holds=lambda: 0,
    )
    try:
        yield Running(
            books=books,
            store=store,
            ledger=ledger,
            accounts=desk.accounts,
            keys=desk.keys,
            readiness=readiness,
            registry=registry,
            clock=clock,
            front=Front(own=account_api(parts), proxy=proxied),
            parts=parts,
            admin_parts=admin_parts,
        )
    finally:
        await store.close()
        await books.close()


@pytest.fixture
async def running(sqlite_copy_url: str, redis_url: str) -> AsyncIterator[Running]:
    now = datetime.now(UTC)
    clock = Clock(now.replace(microsecond=now.microsecond // 1000 * 1000))
    async with open_running(sqlite_copy_url, redis_url, clock=clock) as opened:
        yield opened
