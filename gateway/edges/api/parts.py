"""What the account API and the admin listener work with. Handed in by the one who serves them."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from gateway.edges.api.quote import QuoteParts
from gateway.edges.api.readiness import Readiness
from gateway.edges.desk import Desk
from gateway.flows.authenticate import Directory
from gateway.flows.job_news import JobNews


@dataclass(frozen=True, slots=True)
class AccountApiParts:
    """`directory` tells who asks, `desk` answers them, `quotes` tells what a call would cost.

    `job_news` hears of jobs from the services, which sign with the secrets of `webhook_secrets`, by upstream.
    """

    desk: Desk
    directory: Directory
    quotes: QuoteParts
    job_news: JobNews
    webhook_secrets: Mapping[str, SecretStr]
    readiness: Readiness


@dataclass(frozen=True, slots=True)
class AdminApiParts:
    """`registry` holds this process's metrics; with PROMETHEUS_MULTIPROC_DIR set, those of all are there instead."""

    readiness: Readiness
    registry: CollectorRegistry
