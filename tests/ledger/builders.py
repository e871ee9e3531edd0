"""Accounts, calls and settlements with defaults, so that a test names only what it is about."""

import itertools
from dataclasses import replace
from typing import Any

from gateway.domain.plan import RateLimit
from gateway.domain.terms import AccountStatus, PeriodTerms, Terms
from gateway.domain.usage import CallFacts, Settlement
from gateway.ledger.answers import AdmitCall
from gateway.wire.call_facts import facts_json, settlement_json

DAY_MS = 86_400_000
# Long before any test runs and long after, so that Redis's own clock is inside.
PERIOD_START_MS = 1_700_000_000_000
PERIOD_END_MS = 4_000_000_000_000
DELIVERED = settlement_json(Settlement(3, "reply"))
GIVEN_BACK = settlement_json(Settlement(None, "upstream error"))

_numbers = itertools.count(1)


def fresh_id(what: str) -> str:
    return f"{what}_{next(_numbers)}"


def facts_of(hold_id: str, account_id: str) -> CallFacts:
    return CallFacts(
        request_id=hold_id,
        account_id=account_id,
        project_id="prj_1",
        key_id="key_1",
        product="parse",
        mode="cost_effective",
        unit="page",
        route="POST /api/v1/parsing/upload",
        upstream="parse",
        plan_id="free",
        rate_card_version="2026-11",
        millicredits_per_unit=3000,
        expected_units=10,
        quote_millicredits=30_000,
    )


def terms_of(account_id: str, *, granted: int = 100_000, overage: int = 0, **changes: Any) -> Terms:
    period = PeriodTerms(PERIOD_START_MS, PERIOD_END_MS, "free", granted, overage)
    return replace(Terms(account_id, 1, AccountStatus.ACTIVE, (period,), epoch=1, booked_seq=0), **changes)


def call_of(terms: Terms, hold_id: str | None = None, **changes: Any) -> AdmitCall:
    hold_id = hold_id or fresh_id("req")
    call = AdmitCall(
        hold_id=hold_id,
        nonce="n1",
        terms=terms,
        plan_limits=(),
        concurrent_calls=None,
        quote_millicredits=10_000,
        least_millicredits=1000,
        ttl_ms=60_000,
        facts=facts_json(facts_of(hold_id, terms.account_id)),
    )
    return call._replace(**changes)


def free_call_of(terms: Terms, **changes: Any) -> AdmitCall:
    free = call_of(terms, quote_millicredits=0, least_millicredits=0, facts=b"")
    return free._replace(**changes)


def per_minute(calls: int, name: str = "requests") -> RateLimit:
    return RateLimit(name, calls, 60_000)
