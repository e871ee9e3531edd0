"""Nobody pays twice and no payment is lost, whoever dies between any two steps, however many work, whatever comes late.

Real books, a bank that does what its cards' names say, and processes that are cut at a step that Hypothesis chooses: a
step is a question to the bank or a transaction of the books, and the cut comes before it, or after it was done.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books import invoices
from gateway.books.books import Books
from gateway.books.tables import invoices as invoices_table
from gateway.books.tables import payment_attempts
from gateway.domain.invoice import InvoiceStatus
from gateway.domain.payment import AttemptState
from gateway.flows.accounts import Accounts
from gateway.flows.fake_bank import FakeBank
from gateway.flows.faults import CallerFault
from gateway.flows.till import Till, till_over
from gateway.payments.fake import Fake
from gateway.payments.provider import ActionRequired, Charge, Failed, Outcome, Paid, Pending, ProviderUnavailable
from tests.billing import billing_over
from tests.made_up import Clock

CARDS = ["fake_ok", "fake_declined", "fake_slow", "fake_3ds"]
ACTIONS = ["turn", "two turns", "pay", "upgrade", "pay by hand", "late news", "wait", "new card"]


class Died(BaseException):
    """The process ends here."""


@dataclass
class Fuse:
    """Counts steps, and cuts at one of them. Less than 0: never."""

    left: int = -1

    def step(self) -> None:
        if self.left == 0:
            self.left = -1
            raise Died
        self.left -= 1 if self.left > 0 else 0


@dataclass
class Bank(Fake):
    """The fake provider; each question is two steps: before it is heard, and before the answer is."""

    books: Books
    fuse: Fuse
    taken: dict[str, int] = field(default_factory=dict)
    back: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(FakeBank(self.books))

    async def charge(self, charge: Charge, *, again: bool) -> Outcome:
        self.fuse.step()
        outcome = await super().charge(charge, again=again)
        return self._told(charge, outcome)

    async def look(self, charge: Charge, ref: str) -> Outcome:
        self.fuse.step()
        return self._told(charge, await super().look(charge, ref))

    async def refund(self, charge: Charge, ref: str) -> None:
        self.fuse.step()
        await super().refund(charge, ref)
        self.back.add(charge.key)
        self.fuse.step()

    def _told(self, charge: Charge, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Paid):
            self.taken[charge.key] = charge.amount_cents
        self.fuse.step()
        return outcome

    @property
    def kept_cents(self) -> int:
        return sum(cents for key, cents in self.taken.items() if key not in self.back)


class DyingBooks(Books):
    """Books whose process may die before a transaction is committed, or right after."""

    fuse: Fuse

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with super().begin() as conn:
            yield conn
            self.fuse.step()
        self.fuse.step()


@dataclass
class World:
    """An account, its bank, and a process that is started anew whenever it died."""

    books: DyingBooks
    clock: Clock
    bank: Bank
    till: Till
    accounts: Accounts
    account_id: str

    async def act(self, action: str, card: str) -> None:
        """One thing that somebody does. Refusals are fine; what must not be is looked at afterwards."""
        try:
            await self._act(action, card)
        except (Died, CallerFault, ProviderUnavailable):
            return
        except BaseExceptionGroup as group:
            assert group.subgroup(Died) is not None, group  # noqa: PT017

    async def _act(self, action: str, card: str) -> None:
        match action:
            case "turn":
                await self.till.collector.turn()
            case "two turns":
                await asyncio.gather(*(self.till.collector.turn() for _ in range(2)), return_exceptions=True)
            case "pay":
                newest = await self.newest()
                await self.till.payments.pay_now(self.account_id, newest, "owner", return_url="https://back.example")
            case "upgrade":
                await self.accounts.change_plan(self.account_id, "pro")
            case "pay by hand":
                await self.pay_by_hand(await self.newest())
            case "late news":
                await self.late_news()
            case "new card":
                await self.till.methods.add_fake(self.account_id, card, actor="owner")
            case _:
                self.clock.forward(days=3)

    async def newest(self) -> str:
        async with self.books.read() as conn:
            return (await invoices.of_account(conn, self.account_id))[0].id

    async def pay_by_hand(self, invoice_id: str) -> None:
        async with self.books.begin() as conn:
            found = await invoices.find(conn, invoice_id, lock=True)
            if found is not None and found.status is InvoiceStatus.ISSUED:
                # By transfer: nothing of it came through the bank.
                await invoices.set_status(
                    conn, invoice_id, InvoiceStatus.PAID, paid_cents=found.total_cents, settled_ms=1
                )

    async def late_news(self) -> None:
        """Everything the bank could ever have said of an attempt that is decided, once more and in any order."""
        for attempt in await self.till.payments.attempts(self.account_id):
            if attempt.state is AttemptState.SUCCEEDED:
                ref = attempt.provider_ref or ""
                for outcome in (Pending(ref), Failed("late", retryable=True), ActionRequired("x", ref), Paid(ref)):
                    await self.till.attempts.record(attempt.id, outcome)

    async def settle_down(self) -> None:
        """Nobody dies any more, every owner refuses what is still open, and time passes."""
        self.bank.fuse.left = -1
        for _ in range(4):
            self.clock.forward(days=8)
            await self.till.collector.turn()


async def in_a_world(template: Path, steps: list[tuple[str, str, int]], card: str) -> None:
    with TemporaryDirectory() as folder:
        file = shutil.copy(template, Path(folder) / "books.db")
        books = await DyingBooks.open(f"sqlite+aiosqlite:///{file}")
        books.fuse = Fuse()
        clock = Clock()
        bank = Bank(books, books.fuse)
        billing = billing_over(books, clock)
        till = till_over(billing, bank)
        flow = Accounts(billing, pay_first=till.pay_first)
        opened = await flow.create("Acme", "starter")
        world = World(books, clock, bank, till, flow, opened.id)
        try:
            await world.till.methods.add_fake(opened.id, card, actor="owner")
            for action, new_card, cut in steps:
                clock.forward(minutes=3)
                books.fuse.left = cut
                await world.act(action, new_card)
                books.fuse.left = -1
                await no_invoice_is_paid_twice(world)
            await world.settle_down()
            await every_cent_is_accounted_for(world)
        finally:
            await books.close()


async def no_invoice_is_paid_twice(world: World) -> None:
    async with world.books.read() as conn:
        table = payment_attempts.c
        query = select(func.count()).where(table.state == AttemptState.SUCCEEDED).group_by(table.invoice_id)
        assert all(count == 1 for count in (await conn.execute(query)).scalars())


async def every_cent_is_accounted_for(world: World) -> None:
    """What the bank kept is what attempts say that paid invoices; each of those is paid, and nothing is undecided."""
    async with world.books.read() as conn:
        table = payment_attempts.c
        rows = (await conn.execute(select(table.state, table.amount_cents, table.invoice_id))).all()
        query = select(invoices_table.c.id, invoices_table.c.status)
        status: dict[str, Any] = {row[0]: row[1] for row in await conn.execute(query)}
    paid = [row for row in rows if row.state == AttemptState.SUCCEEDED]
    assert world.bank.kept_cents == sum(row.amount_cents for row in paid)
    assert {status[row.invoice_id] for row in paid} <= {InvoiceStatus.PAID}
    assert {row.state for row in rows} <= {AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.REFUNDED}


@settings(max_examples=20)
@given(
    card=st.sampled_from(CARDS),
    steps=st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.sampled_from(CARDS), st.integers(-1, 12)), min_size=1, max_size=7
    ),
)
async def test_whoever_dies_wherever_every_cent_is_accounted_for_and_nobody_pays_twice(
    sqlite_template: Path, card: str, steps: list[tuple[str, str, int]]
) -> None:
    await in_a_world(sqlite_template, steps, card)
