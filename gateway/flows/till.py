"""The parts that take money, over one provider. Built once per process; holds no rule."""

from dataclasses import dataclass

from gateway.flows.attempt_payment import Attempts
from gateway.flows.billing import Billing
from gateway.flows.dunning import Collector
from gateway.flows.pay_first import PayFirst
from gateway.flows.payment_methods import PaymentMethods
from gateway.flows.payment_news import PaymentNews
from gateway.flows.payments import Payments
from gateway.payments.provider import Provider


@dataclass(frozen=True, slots=True)
class Till:
    """`collector` works by itself, `payments` and `methods` answer people.

    `pay_first` answers plan changes, `news` the provider.
    """

    attempts: Attempts
    collector: Collector
    payments: Payments
    methods: PaymentMethods
    pay_first: PayFirst
    news: PaymentNews


def till_over(billing: Billing, provider: Provider) -> Till:
    """All of them, sharing what they share."""
    attempts = Attempts(billing, provider)
    collector = Collector(billing, provider, attempts)
    methods = PaymentMethods(billing, provider, collector)
    return Till(
        attempts=attempts,
        collector=collector,
        payments=Payments(billing, provider, attempts, collector),
        methods=methods,
        pay_first=PayFirst(billing, provider, attempts),
        news=PaymentNews(billing, provider, attempts, methods),
    )
