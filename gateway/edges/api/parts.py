"""What the account API and the admin listener work with. Handed in by the one who serves them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from starlette.routing import BaseRoute

from gateway.edges.api.quote import QuoteParts
from gateway.edges.api.readiness import Readiness
from gateway.edges.desk import Desk
from gateway.flows.admit import Admission
from gateway.flows.authenticate import Directory
from gateway.flows.job_news import JobNews
from gateway.flows.reconcile import Report
from gateway.ledger.outbox import OutboxLag


@dataclass(frozen=True, slots=True)
class AccountApiParts:
    """`directory` tells who asks, `desk` answers them, `quotes` tells what a call would cost.

    `job_news` hears of jobs from the services, which sign with the secrets of `webhook_secrets`, by upstream.
    `pages` are those for people, whose own door lets them in. Without `stripe_webhook_secret`, Stripe's are not taken.
    """

    desk: Desk
    directory: Directory
    admission: Admission
    quotes: QuoteParts
    job_news: JobNews
    webhook_secrets: Mapping[str, SecretStr]
    readiness: Readiness
    pages: Sequence[BaseRoute] = ()
    stripe_webhook_secret: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class AdminApiParts:
    """`registry` holds this process's metrics; with PROMETHEUS_MULTIPROC_DIR set, those of all are there instead.

    `token` None: the admin API is off. `reconcile` compares books and Redis, of some accounts or all; `lag` tells how
    far the books are behind, `open_holds` how many calls and jobs this process keeps credits for. `pages` are those
    for people, as above. `trusted` tells the proxies whose word is taken on where a request comes from.
    """

    readiness: Readiness
    registry: CollectorRegistry
    desk: Desk
    token: SecretStr | None
    reconcile: Callable[[Sequence[str] | None], Awaitable[Report]]
    lag: Callable[[], Awaitable[OutboxLag]]
    open_holds: Callable[[], int]
    pages: Sequence[BaseRoute] = ()
    trusted: Callable[[str], bool] = lambda _peer: False
