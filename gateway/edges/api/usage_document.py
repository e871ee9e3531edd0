"""A usage report as JSON: for `gateway usage --json` and, with LlamaCloud's `UsageAndPlan` around it, for the API.

Credits are decimal numbers, exact to the thousandth; the vendor's own fields are whole credits, rounded down.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from gateway.books.reports import Bucket
from gateway.domain.credits import MILLICREDITS_PER_CREDIT, credits_text
from gateway.domain.instant import from_epoch_ms
from gateway.domain.plan import Plan
from gateway.domain.terms import AccountStatus
from gateway.flows.usage_report import UsageReport

_CENTS_PER_DOLLAR: Final = 100
_CREDIT_TYPE: Final = {"id": "credits", "name": "Credits"}


def usage_document(report: UsageReport) -> dict[str, Any]:
    """Account, plan, period, credits and buckets. `range` only where one was asked for.

    `live` false: Redis was away, so what is held and not yet booked is missing.
    """
    credits_ = report.credits
    document: dict[str, Any] = {
        "account_id": report.account_id,
        "plan": report.plan_id,
        "period": {"start": instant(report.period.start_ms), "end": instant(report.period.end_ms)},
        "credits": {
            "included": amount(credits_.included_millicredits),
            "used": amount(credits_.used_millicredits),
            "held": amount(credits_.held_millicredits),
            "remaining": amount(credits_.remaining_millicredits),
            "pay_as_you_go": amount(credits_.pay_as_you_go_millicredits),
        },
        "buckets": [_bucket(bucket, report) for bucket in report.buckets],
        "live": report.live,
    }
    if report.range is not None:
        document["range"] = {
            "start": instant(report.range.from_ms),
            "end": instant(report.range.to_ms),
            "used": amount(report.bucket_millicredits),
        }
    return document


def usage_and_plan(report: UsageReport, plan: Plan | None, alerts: Sequence[str] = ()) -> dict[str, Any]:
    """The API's answer: LlamaCloud's `plan` and `usage`, and ours beside them.

    `plan` None: it is not sold any more. `alerts` are LlamaCloud's names of what holds now.
    """
    ours = usage_document(report)
    # The vendor's `plan` is an object; the id is in there.
    del ours["plan"]
    return {"plan": _plan(report, plan), "usage": _usage(report, alerts), **ours}


def amount(millicredits: int) -> orjson.Fragment:
    """Credits as a JSON number, without a float in between."""
    return orjson.Fragment(credits_text(millicredits))


def instant(at_ms: int) -> str:
    """An instant as JSON shows it: `2026-11-23T12:00:00.000Z`."""
    return _iso(from_epoch_ms(at_ms))


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bucket(bucket: Bucket, report: UsageReport) -> dict[str, object]:
    told = {name.value: getattr(bucket, name) for name in report.by}
    return {
        **told,
        "calls": bucket.calls,
        "units": bucket.units,
        "credits": amount(bucket.captured_millicredits),
    }


def _plan(report: UsageReport, plan: Plan | None) -> dict[str, object]:
    period = report.period
    pay_as_you_go = plan.pay_as_you_go if plan is not None else None
    most_cents = pay_as_you_go.max_cents_per_period if pay_as_you_go is not None else None
    return {
        "id": report.plan_id,
        "name": plan.name if plan is not None else report.plan_id,
        "plan_frequency": "MONTHLY",
        "limits": {
            "allow_pay_as_you_go": period.overage_millicredits > 0,
            "subscription_cost_usd": plan.price_cents // _CENTS_PER_DOLLAR if plan is not None else 0,
            "max_monthly_invoice_total_usd": None if most_cents is None else most_cents // _CENTS_PER_DOLLAR,
            "max_concurrent_parse_jobs_other": plan.concurrent_calls if plan is not None else None,
            "mfa_enabled": False,
            "sso_enabled": False,
        },
        "recurring_credits": [
            {
                "name": "Included credits",
                "credit_amount": period.granted_millicredits // MILLICREDITS_PER_CREDIT,
                "credit_type": _CREDIT_TYPE,
                "product_id": report.plan_id,
                "priority": 1,
                "rollover_fraction": 0,
                "periods_duration": 1,
            }
        ],
        "current_billing_period": {"start_date": instant(period.start_ms), "end_date": instant(period.end_ms)},
        "is_payment_failed": report.status is AccountStatus.PAYMENT_FAILED,
    }


def _usage(report: UsageReport, alerts: Sequence[str]) -> dict[str, object]:
    credits_, period = report.credits, report.period
    return {
        "active_free_credits_usage": [
            {
                "starting_balance": credits_.included_millicredits // MILLICREDITS_PER_CREDIT,
                "remaining_balance": credits_.remaining_millicredits // MILLICREDITS_PER_CREDIT,
                "grant_name": "Included credits",
                "expires_at": instant(period.end_ms),
            }
        ],
        "active_alerts": list(alerts),
    }
