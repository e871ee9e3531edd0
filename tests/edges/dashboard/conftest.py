"""The dashboard over real stores, asked without a network. A real browser's is in `in_browser`."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.books import usage
from gateway.books.books import Books
from gateway.configuration import load as load_configuration
from gateway.domain.instant import epoch_ms
from gateway.domain.usage import UsageEvent
from gateway.edges.dashboard.app import dashboard
from gateway.edges.dashboard.guard import Guarded
from gateway.edges.dashboard.parts import DashboardParts
from gateway.edges.desk import Desk, desk_over
from gateway.flows.accounts import Accounts, OpenedAccount
from gateway.flows.deliver_webhooks import Deliverer
from gateway.flows.fake_bank import FakeBank
from gateway.flows.rebuild import Rebuilder
from gateway.flows.sign_in import SignIns
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import current_terms
from gateway.flows.till import till_over
from gateway.ledger.connection import RedisConnection
from gateway.ledger.holds import Holds
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.payments.fake import Fake
from gateway.sinks.webhook import Posted
from tests.billing import billing_over
from tests.made_up import CREDIT, Clock, event

CATALOG = load_configuration(Path(__file__).parents[3] / "config" / "gateway.yaml", {}).catalog
PEPPER = b"a pepper for tests"
ADMIN_TOKEN = "an admin token for tests"
BASE = "http://gateway"
BILLING = "/settings/billing"


@dataclass
class Someone:
    """An account and a key of it."""

    account: OpenedAccount
    key_id: str
    key: str

    @property
    def id(self) -> str:
        return self.account.id


@dataclass
class Answers:
    """All endpoints at once, without a network."""

    answer: Posted

    async def post(self, _url: str, _headers: Sequence[tuple[str, str]], _body: bytes) -> Posted:
        return self.answer


@dataclass
class Running:
    """The parts behind the pages, and what a test does to them."""

    books: Books
    ledger: Ledger
    rebuild: Rebuilder
    tell: TellLedger
    desk: Desk
    parts: DashboardParts
    clock: Clock
    app: Guarded
    numbers: list[int] = field(default_factory=lambda: [0])

    async def someone(
        self, plan_id: str = "starter", name: str = "Acme", *, products: frozenset[str] | None = None, days_ago: int = 0
    ) -> Someone:
        """A new account that Redis knows, opened so long ago, with a key."""
        then = self.clock() - timedelta(days=days_ago)
        opening = Accounts(billing_over(self.books, lambda: then, plans=self.desk.plans(), tell=self.tell))
        opened = await opening.create(name, plan_id)
        await current_terms(self.books, self.desk.plans(), opened.id, self.clock())
        await self.rebuild(opened.id)
        key = await self.desk.keys.create(opened.id, products=products)
        return Someone(opened, key.id, key.secret)

    async def used(self, one: Someone, credits_: int, *, days_ago: float = 0, **facts: str | int) -> UsageEvent:
        """A call of the account that took so many credits, booked and known to Redis."""
        return (await self.used_often(one, [credits_], days_ago=days_ago, **facts))[0]

    async def used_often(
        self, one: Someone, credits_: Sequence[int], *, days_ago: float = 0, **facts: str | int
    ) -> list[UsageEvent]:
        """Calls, each a day earlier than the one before."""
        made = []
        changed: dict[str, Any] = {"project_id": one.account.project_id, "key_id": one.key_id, **facts}
        for number, amount in enumerate(credits_):
            at = self.clock() - timedelta(days=days_ago + number)
            terms = await current_terms(self.books, self.desk.plans(), one.id, at)
            assert terms is not None
            period = terms.period_at(epoch_ms(at)) or terms.periods[0]
            self.numbers[0] += 1
            made.append(
                event(
                    one.id,
                    self.numbers[0],
                    captured=amount * CREDIT,
                    units=max(1, amount // 10),
                    period_start_ms=period.start_ms,
                    admitted_at_ms=epoch_ms(at),
                    **changed,
                )
            )
        async with self.books.begin() as conn:
            await usage.book(conn, made)
        await self.rebuild(one.id)
        return made

    async def deliver_webhooks(self, status: int | None, reply: bytes = b"", fault: str = "") -> int:
        """Try every delivery that is due; each is answered so. How many they were."""
        answer = Posted(status, reply, fault, 12)
        deliverer = Deliverer(books=self.books, sender=Answers(answer), pepper=PEPPER, clock=self.clock)
        return await deliverer.deliver_due()

    @asynccontextmanager
    async def browser(self, app: Guarded | None = None, base: str = BASE) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody not signed in, who sends what a browser would and follows no redirect."""
        transport = httpx.ASGITransport(app=app or self.app)
        headers = {"origin": base, "sec-fetch-site": "same-origin"}
        async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
            yield client

    @asynccontextmanager
    async def signed_in(self, one: Someone) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody signed in with the account's key."""
        async with self.browser() as client:
            reply = await client.post("/settings/sign-in", data={"key": one.key, "next": ""})
            assert reply.status_code == 303, reply.text
            yield client

    @asynccontextmanager
    async def operator(self, app: Guarded) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody signed in to the operator's pages with the admin token."""
        async with self.browser(app) as client:
            reply = await client.post("/admin/sign-in", data={"key": ADMIN_TOKEN, "next": ""})
            assert reply.status_code == 303, reply.text
            yield client


@asynccontextmanager
async def open_running(
    books_url: str, redis_url: str, *, cards: bool = False, origin: str = BASE
) -> AsyncIterator[Running]:
    """Everything, over these stores. `cards`: the fake provider charges test cards; else invoices are paid by hand.

    `origin` is where the fake bank's pages are.
    """
    now = datetime.now(UTC)
    clock = Clock(now.replace(microsecond=now.microsecond // 1000 * 1000))
    books = await Books.open(books_url)
    store = RedisConnection(redis_url, attempt_timeout_ms=5000, call_timeout_ms=5000)
    await store.open()
    ledger = Ledger(store)
    terms_of = partial(current_terms, books, CATALOG.plans)
    tell = TellLedger(books=books, ledger=ledger, plans=lambda: CATALOG.plans, clock=clock)
    bank = Fake(FakeBank(books), origin)
    billing = billing_over(books, clock, plans=CATALOG.plans, ledger=ledger, tell=tell)
    desk = desk_over(
        billing,
        ledger=ledger,
        holds=Holds(store),
        parts_of=lambda _: None,
        pepper=PEPPER,
        rate_card=lambda: CATALOG.rate_card,
        till=till_over(billing, bank) if cards else None,
    )
    sign_ins = SignIns(books=books, pepper=PEPPER, clock=clock, admin_token=ADMIN_TOKEN)
    parts = DashboardParts(desk=desk, sign_ins=sign_ins)
    yield Running(
        books=books,
        ledger=ledger,
        rebuild=Rebuilder(books=books, ledger=ledger, outbox=Outbox(store), terms_of=terms_of, clock=clock),
        tell=tell,
        desk=desk,
        parts=parts,
        clock=clock,
        app=dashboard(parts),
    )
    await asyncio.sleep(0)
    await store.close()
    await books.close()


@pytest.fixture
async def running(sqlite_copy_url: str, redis_url: str) -> AsyncIterator[Running]:
    async with open_running(sqlite_copy_url, redis_url) as opened:
        yield opened


@pytest.fixture
async def with_cards(sqlite_copy_url: str, redis_url: str) -> AsyncIterator[Running]:
    async with open_running(sqlite_copy_url, redis_url, cards=True) as opened:
        yield opened
