"""The parts that take money, over one provider. Built once per process; holds no rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.books.books import Books
from gateway.domain.plan import Plan
from gateway.flows.attempt_payment import Attempts
from gateway.flows.dunning import Collector
from gateway.flows.pay_first import PayFirst
from gateway.flows.payment_news import PaymentNews
from gateway.flows.payments import Payments
from gateway.flows.tell_ledger import TellLedger
from gateway.flows.usage_report import ReadsCounters
from gateway.payments.provider import Provider


@dataclass(frozen=True, slots=True)
class Till:
    """`collector` works by itself, `payments` answers people, `pay_first` plan changes, `news` the provider."""

    attempts: Attempts
    collector: Collector
    payments: Payments
    pay_first: PayFirst
    news: PaymentNews


def till_over(
    *,
    books: Books,
    provider: Provider,
    tell: TellLedger,
    plans: Callable[[], Mapping[str, Plan]],
    clock: Callable[[], datetime],
    ledger: ReadsCounters | None = None,
) -> Till:
    """All of them, sharing what they share."""
    attempts = Attempts(books=books, provider=provider, tell=tell, plans=plans, clock=clock, ledger=ledger)
    collector = Collector(
        books=books, provider=provider, attempts=attempts, tell=tell, plans=plans, clock=clock, ledger=ledger
    )
    payments = Payments(
        books=books, provider=provider, attempts=attempts, collector=collector, plans=plans, clock=clock
    )
    return Till(
        attempts=attempts,
        collector=collector,
        payments=payments,
        pay_first=PayFirst(books=books, provider=provider, attempts=attempts, plans=plans, clock=clock, ledger=ledger),
        news=PaymentNews(books=books, provider=provider, attempts=attempts, payments=payments, clock=clock),
    )
