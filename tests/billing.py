"""What the flows that bill an account work with, over a test's stores."""

from collections.abc import Callable, Mapping
from datetime import datetime

from gateway.books.books import Books
from gateway.domain.plan import Plan
from gateway.flows.billing import Billing
from gateway.flows.in_redis import ReadsCounters
from gateway.flows.tell_ledger import TellLedger
from gateway.ledger.answers import Counters
from tests.made_up import PLANS


class NoRedis:
    """Of accounts that Redis has never seen."""

    async def counters(self, account_id: str) -> Counters:
        return Counters(epoch=None, seq=0, terms_version=None, periods={}, open_holds=())


def billing_over(
    books: Books,
    clock: Callable[[], datetime],
    *,
    plans: Mapping[str, Plan] = PLANS,
    ledger: ReadsCounters | None = None,
    tell: TellLedger | None = None,
) -> Billing:
    """Without `ledger` Redis has never seen anybody; without `tell` it is told nothing."""
    if tell is None:
        tell = TellLedger(books=books, ledger=None, plans=lambda: plans, clock=clock)
    return Billing(books=books, plans=lambda: plans, clock=clock, ledger=ledger or NoRedis(), tell=tell)
