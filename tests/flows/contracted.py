"""A plan with contracts, the flows over it, and a small hand to use and close periods with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.books import grants, invoices, periods, usage
from gateway.books.books import Books
from gateway.books.invoices import BookedInvoice
from gateway.books.periods import BookedPeriod
from gateway.domain.contract import Contract, OverageMode
from gateway.domain.instant import HOUR_MS, epoch_ms
from gateway.domain.plan import Plan, Tier
from gateway.domain.usage import UsageEvent
from gateway.flows.accounts import Accounts
from gateway.flows.contracts import Contracts
from gateway.flows.issue_invoice import Closer
from tests.billing import billing_over
from tests.made_up import CREDIT, PLANS, Clock, event

ENTERPRISE = Plan("enterprise", "Enterprise", 0, 0, contract=True)
SOLD: Mapping[str, Plan] = {**PLANS, "enterprise": ENTERPRISE}
MILLION = 1_000_000 * CREDIT
GRADUATED = (Tier(MILLION, 1_000), Tier(None, 800))
CONTRACT = Contract(
    committed_millicredits=2 * MILLION,
    price_cents=200_000,
    overage=OverageMode.PAY_AS_YOU_GO,
    tiers=GRADUATED,
    net_days=30,
)


@dataclass
class Contracted:
    """Books and the flows that change them, at a clock that a test moves."""

    books: Books
    clock: Clock
    accounts: Accounts
    contracts: Contracts
    closer: Closer
    used: int = 0

    async def open(self, plan: str = "starter") -> str:
        return (await self.accounts.create("Acme", plan)).id

    async def under(self, contract: Contract = CONTRACT) -> str:
        """An account whose first period under the contract begins now."""
        account_id = await self.open("enterprise")
        await self.contracts.agree(account_id, contract, reason="C-1")
        return account_id

    async def use(
        self, account_id: str, *used: tuple[str, int], period_start_ms: int | None = None
    ) -> list[UsageEvent]:
        """Usage in credits by product: of the running period, or of one that began earlier."""
        start_ms = (await self.running(account_id)).start_ms if period_start_ms is None else period_start_ms
        made = []
        for product, amount in used:
            self.used += 1
            made.append(
                event(
                    account_id,
                    self.used,
                    product=product,
                    captured=amount * CREDIT,
                    period_start_ms=start_ms,
                    admitted_at_ms=start_ms,
                )
            )
        async with self.books.begin() as conn:
            await usage.book(conn, made)
        return made

    async def booked(self, account_id: str) -> list[BookedPeriod]:
        async with self.books.read() as conn:
            return await periods.of_account(conn, account_id)

    async def running(self, account_id: str) -> BookedPeriod:
        now_ms = epoch_ms(self.clock())
        return next(one for one in await self.booked(account_id) if one.start_ms <= now_ms < one.end_ms)

    async def granted(self, account_id: str, start_ms: int) -> int:
        async with self.books.read() as conn:
            return await grants.granted(conn, account_id, start_ms)

    async def pass_period(self, account_id: str) -> list[BookedInvoice]:
        """Wait until the running period is charged; what was issued for the account."""
        end_ms = (await self.running(account_id)).end_ms
        self.clock.forward(milliseconds=end_ms + HOUR_MS - epoch_ms(self.clock()))
        return [one for one in await self.closer.close_due() if one.account_id == account_id]

    async def issued(self, account_id: str) -> list[BookedInvoice]:
        async with self.books.read() as conn:
            return (await invoices.of_account(conn, account_id))[::-1]


def contracted_over(books: Books, clock: Clock) -> Contracted:
    """The flows over open books; there is no Redis."""
    billing = billing_over(books, clock, plans=SOLD)
    closer = Closer(billing, longest_hold_ms=lambda: 0)
    return Contracted(books, clock, Accounts(billing), Contracts(billing), closer)


def lines(invoice: BookedInvoice) -> list[tuple[str, int]]:
    """Kind and cents of each line."""
    return [(line["kind"], line["amount_cents"]) for line in document(invoice)["lines"]]


def document(invoice: BookedInvoice) -> Any:
    return orjson.loads(invoice.document)
