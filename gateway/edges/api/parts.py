"""What the account API and the admin listener work with. Handed in by the one who serves them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gateway.domain.plan import Plan
from gateway.edges.api.quote import QuoteParts
from gateway.edges.api.readiness import Readiness
from gateway.flows.authenticate import Directory
from gateway.flows.explain import Explain
from gateway.flows.job_news import JobNews
from gateway.flows.usage_metrics import UsageMetrics
from gateway.flows.usage_report import UsageReports
from gateway.flows.usage_series import UsageSeries


@dataclass(frozen=True, slots=True)
class AccountApiParts:
    """`directory` tells who asks, `reports` what they used, `plans` what is sold now.

    `explain` tells what one call cost and why, `metrics` lists the calls, `series` shows them over time, `quotes` tells
    what one would cost. `job_news` hears of jobs from the services, which sign with the secrets of `webhook_secrets`,
    by upstream.
    """

    directory: Directory
    reports: UsageReports
    explain: Explain
    metrics: UsageMetrics
    series: UsageSeries
    quotes: QuoteParts
    job_news: JobNews
    webhook_secrets: Mapping[str, SecretStr]
    plans: Callable[[], Mapping[str, Plan]]
    readiness: Readiness
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class AdminApiParts:
    """`registry` holds this process's metrics; with PROMETHEUS_MULTIPROC_DIR set, those of all are there instead."""

    readiness: Readiness
    registry: CollectorRegistry
