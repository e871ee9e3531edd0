"""What every flow that bills an account works with, passed as one: the books, Redis, the plans in force, a clock.

Decides nothing, and takes no payment: whoever does has a provider besides (`flows.till`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.books.accounts import Account
from gateway.books.books import Books
from gateway.domain.instant import epoch_ms
from gateway.domain.plan import Plan
from gateway.domain.terms import PeriodTerms, Terms
from gateway.flows.faults import CallerFault, NoSuchThing
from gateway.flows.in_redis import InRedis, ReadsCounters, in_redis_if_there
from gateway.flows.known_account import open_account
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.terms import catch_up, current_terms


@dataclass(frozen=True, slots=True)
class Billing:
    """`ledger` is asked what an account has used up to a change; `tell` brings Redis up to date after it.

    While Redis is away, what the books do not have yet is charged on the next invoice, and `tell` answers False.
    """

    books: Books
    plans: Callable[[], Mapping[str, Plan]]
    clock: Callable[[], datetime]
    ledger: ReadsCounters
    tell: TellLedger

    def now_ms(self) -> int:
        """The world's time, in epoch ms."""
        return epoch_ms(self.clock())

    def plan(self, plan_id: str) -> Plan:
        """A plan that is sold now. CallerFault."""
        plans = self.plans()
        if plan_id not in plans:
            raise CallerFault(f"there is no plan {plan_id!r}; there are {', '.join(sorted(plans))}")
        return plans[plan_id]

    async def in_redis(self, account_id: str) -> InRedis:
        """What Redis knows of the account; nothing while it is away."""
        return await in_redis_if_there(self.ledger, account_id)

    async def terms_of(self, account_id: str, at: datetime) -> Terms | None:
        """The account's terms at an instant, its due periods booked; None for an unknown account."""
        return await current_terms(self.books, self.plans(), account_id, at)

    async def running(self, account_id: str) -> tuple[PeriodTerms, int]:
        """The account's running period (a closed one's last), and the time by the account's own clock. NoSuchThing."""
        now = self.clock()
        terms = await self.terms_of(account_id, now)
        if terms is None or not terms.periods:
            raise NoSuchThing("account", account_id)
        at_ms = terms.own_ms(epoch_ms(now))
        return terms.period_at(at_ms) or terms.periods[0], at_ms

    async def open_account(self, conn: AsyncConnection, account_id: str, at_ms: int) -> tuple[Account, int]:
        """The account, locked, with every period that is due at `at_ms` booked; and `at_ms` by its own clock.

        NoSuchThing, CallerFault where it was closed.
        """
        account = await open_account(conn, account_id)
        own_ms = account.own_ms(at_ms)
        await catch_up(conn, self.plans(), account_id, own_ms)
        return account, own_ms
