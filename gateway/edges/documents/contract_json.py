"""A contract as JSON: what its file says, and each version with where it stands. Amounts are decimal numbers."""

from decimal import Decimal
from typing import Any, Final

import orjson

from gateway.domain.contract import Contract, OverageMode
from gateway.domain.credits import credits_text
from gateway.domain.instant import from_epoch_ms
from gateway.domain.plan import RateLimit
from gateway.flows.contracts import ContractView
from gateway.flows.invoice_document import instant_text

_UNITS_MS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))


def contract_json(view: ContractView) -> dict[str, Any]:
    """All versions, newest first. `terms` are in the words of a contract's file."""
    return {
        "account_id": view.account_id,
        "plan": view.plan_id,
        "next_boundary": instant_text(view.next_ms),
        "in_force": None if view.in_force is None else view.in_force.version,
        "versions": [
            {
                "version": one.version,
                "state": state.value,
                "effective_at": instant_text(one.effective_ms),
                "agreed_at": instant_text(one.agreed_ms),
                "agreed_by": one.actor,
                "reason": one.reason,
                "terms": terms_json(one.contract),
            }
            for one, state in view.versions
        ],
    }


def terms_json(contract: Contract) -> dict[str, Any]:
    """A contract in the words of its file."""
    return {
        "period": contract.period.value,
        "price_usd": _number(_dollars(contract.price_cents, 100)),
        "committed_credits": _number(credits_text(contract.committed_millicredits)),
        "overage": _overage(contract),
        "rollover": _number(_decimal(Decimal(contract.rollover_parts_per_million) / 1_000_000)),
        "rate_limits": {name: rate_text(limit) for name, limit in contract.rate_limits.items()},
        "concurrent_calls": contract.concurrent_calls,
        "net_days": contract.net_days,
        "ends": None if contract.ends_ms is None else f"{from_epoch_ms(contract.ends_ms):%Y-%m-%d}",
    }


def rate_text(limit: RateLimit | None) -> str:
    """`600/min`, `50/5s`, or `unlimited`."""
    if limit is None:
        return "unlimited"
    unit, unit_ms = next((unit, ms) for unit, ms in (*_UNITS_MS, ("ms", 1)) if limit.window_ms % ms == 0)
    times = limit.window_ms // unit_ms
    return f"{limit.calls}/{times if times > 1 else ''}{unit}"


def _overage(contract: Contract) -> dict[str, Any]:
    shown: dict[str, Any] = {"mode": contract.overage.value}
    if contract.overage is not OverageMode.REFUSE:
        shown["tiers"] = [
            {
                "up_to_credits": None
                if tier.up_to_millicredits is None
                else _number(credits_text(tier.up_to_millicredits)),
                "usd_per_1000_credits": _number(_dollars(tier.nanodollars_per_millicredit, 1000)),
            }
            for tier in contract.tiers
        ]
        ceiling = contract.max_cents_per_period
        shown["max_usd_per_period"] = None if ceiling is None else _number(_dollars(ceiling, 100))
    return shown


def _dollars(amount: int, parts: int) -> str:
    return _decimal(Decimal(amount) / parts)


def _decimal(exact: Decimal) -> str:
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _number(text: str) -> orjson.Fragment:
    return orjson.Fragment(text)
