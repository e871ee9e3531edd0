"""The catalog: plans, rate card and routes as one frozen value that is replaced as a whole.

A call works with one catalog from its first look to its last, so a reload in between can never price it by two lists.
Holds no settings (`gateway.settings`) and no account.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.plan import Plan
from gateway.domain.rate_card import RateCard
from gateway.wire.route import JobKind, RouteTable


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is sold, at which price, and where calls go. `version` changes whenever any of it does."""

    plans: Mapping[str, Plan]
    rate_card: RateCard
    routes: RouteTable
    job_kinds: Mapping[str, JobKind]
    version: str
