"""What every door for people and programs asks: the flows over accounts, usage, keys and invoices, as running parts.

Built once by the wiring and handed to the account API, the admin API and the dashboard, so that all of them answer
alike. Holds no rule; the proxy, which asks none of this, has parts of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.plan import Plan
from gateway.domain.rate_card import RateCard
from gateway.flows.accounts import Accounts
from gateway.flows.alerts import Alerts
from gateway.flows.audit_trail import AuditTrail
from gateway.flows.billing import Billing
from gateway.flows.contracts import Contracts
from gateway.flows.credit_ledger import CreditLedger
from gateway.flows.explain import Explain, PartsOf
from gateway.flows.first_change import FirstChanges
from gateway.flows.invoices import Invoices
from gateway.flows.issue_invoice import Closer
from gateway.flows.keys import Keys
from gateway.flows.limits import Limits
from gateway.flows.own_clock import OwnClocks
from gateway.flows.payment_methods import PaymentMethods
from gateway.flows.payment_news import PaymentNews
from gateway.flows.payments import Payments
from gateway.flows.till import Till, till_over
from gateway.flows.usage_metrics import UsageMetrics
from gateway.flows.usage_report import UsageReports
from gateway.flows.usage_series import UsageSeries
from gateway.flows.webhooks import Webhooks
from gateway.ledger.holds import Holds
from gateway.ledger.ledger import Ledger
from gateway.payments.manual import Manual


@dataclass(frozen=True, slots=True)
class Desk:
    """`plans` and `rate_card` tell what is sold now: a reload replaces them.

    `reports` tells what an account used, `series` shows it over time, `metrics` lists the calls, `explain` tells what
    one of them cost and why; `changes` tells a repeated change from a second one.
    """

    accounts: Accounts
    own_clocks: OwnClocks
    ledger: CreditLedger
    keys: Keys
    limits: Limits
    invoices: Invoices
    contracts: Contracts
    payments: Payments
    payment_methods: PaymentMethods
    payment_news: PaymentNews
    reports: UsageReports
    series: UsageSeries
    metrics: UsageMetrics
    explain: Explain
    audit: AuditTrail
    alerts: Alerts
    webhooks: Webhooks
    changes: FirstChanges
    plans: Callable[[], Mapping[str, Plan]]
    rate_card: Callable[[], RateCard]
    clock: Callable[[], datetime]


def desk_over(
    billing: Billing,
    *,
    ledger: Ledger,
    holds: Holds,
    parts_of: PartsOf,
    pepper: bytes,
    rate_card: Callable[[], RateCard],
    private_webhooks: bool = False,
    till: Till | None = None,
) -> Desk:
    """The flows over open stores. `till` None: invoices are paid by transfer."""
    books, clock = billing.books, billing.clock
    if till is None:
        till = till_over(billing, Manual())
    # Of sandboxes alone, whose calls end in the world's time: no longest hold is a measure of them.
    closer = Closer(billing, longest_hold_ms=lambda: 0)
    return Desk(
        ledger=CreditLedger(books=books),
        own_clocks=OwnClocks(billing, closer=closer, collector=till.collector),
        accounts=Accounts(billing, pay_first=till.pay_first),
        keys=Keys(books=books, tell=billing.tell, pepper=pepper, clock=clock),
        limits=Limits(billing, ledger),
        invoices=Invoices(billing),
        payments=till.payments,
        payment_methods=till.methods,
        payment_news=till.news,
        contracts=Contracts(billing),
        reports=UsageReports(books=books, ledger=ledger, terms_of=billing.terms_of),
        series=UsageSeries(books=books, ledger=ledger),
        metrics=UsageMetrics(books=books, ledger=ledger),
        explain=Explain(books=books, holds=holds, parts_of=parts_of),
        alerts=Alerts(books=books, terms_of=billing.terms_of, clock=clock),
        webhooks=Webhooks(books=books, pepper=pepper, clock=clock, allow_private=private_webhooks),
        audit=AuditTrail(books=books),
        changes=FirstChanges(books=books, pepper=pepper, clock=clock),
        plans=billing.plans,
        rate_card=rate_card,
        clock=clock,
    )
