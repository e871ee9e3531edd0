"""Amounts and days as operators type them into forms. What cannot be read is WrongParameter, with an example."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from gateway.config_files.amounts import cents as exact_cents
from gateway.domain.credits import millicredits
from gateway.domain.instant import epoch_ms
from gateway.edges.dashboard.pages import Visit
from gateway.flows.faults import WrongParameter

_LONGEST: Final = 30


def signed_credits(visit: Visit, name: str) -> int:
    """`500`, `-2.5`, `10,000` credits in thousandths."""
    said = _short(visit, name, "write a number of credits such as 500 or -2.5").replace(",", "")
    sign = -1 if said.startswith("-") else 1
    try:
        return sign * millicredits(said.lstrip("+-") if said[:1] in {"+", "-"} else said)
    except (ValueError, ArithmeticError):
        raise WrongParameter(name, "write a number of credits such as 500 or -2.5") from None


def cents(visit: Visit, name: str) -> int:
    """`12.50`, `$1,200` in whole cents."""
    said = _short(visit, name, "write an amount in dollars such as 12.50")
    try:
        return exact_cents(Decimal(said.removeprefix("$").replace(",", "")))
    except (ValueError, ArithmeticError):
        raise WrongParameter(name, "write an amount in dollars such as 12.50") from None


def end_of_day_ms(visit: Visit, name: str) -> int:
    """When the day `2026-12-31` is over, UTC."""
    return day_ms(visit, name) + 86_400_000


def day_ms(visit: Visit, name: str) -> int:
    """When the day `2026-12-31` begins, UTC."""
    said = _short(visit, name, "write a day such as 2026-12-31")
    try:
        return epoch_ms(datetime.strptime(said, "%Y-%m-%d").replace(tzinfo=UTC))
    except ValueError:
        raise WrongParameter(name, "write a day such as 2026-12-31") from None


def _short(visit: Visit, name: str, wrong: str) -> str:
    said = visit.form[name]
    if not 0 < len(said) <= _LONGEST:
        raise WrongParameter(name, wrong)
    return said
