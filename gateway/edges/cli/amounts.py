"""How amounts, durations and instants are written on the command line. A wrong one is a usage error."""

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import typer

from gateway.config_files.amounts import cents as exact_cents
from gateway.config_files.amounts import duration_ms
from gateway.domain.credits import millicredits
from gateway.domain.instant import epoch_ms
from gateway.domain.invoice import MILLION


def signed_millicredits(text: str) -> int:
    """`+500`, `-2.5`, `10_000`: credits, in thousandths."""
    unsigned = text.strip()
    sign = -1 if unsigned.startswith("-") else 1
    try:
        return sign * millicredits(unsigned[1:] if unsigned[:1] in {"+", "-"} else unsigned)
    except ValueError as wrong:
        raise typer.BadParameter(f"{wrong}; write +500 or -2.5") from None


def cents(text: str) -> int:
    """`12.50`, `$12.50`: dollars, in whole cents."""
    try:
        return exact_cents(Decimal(text.strip().removeprefix("$").replace("_", "")))
    except (ValueError, InvalidOperation):
        raise typer.BadParameter(f"{text!r} is not an amount in dollars; write 12.50") from None


def parts_per_million(text: str) -> int:
    """`19`, `7.7%` in parts per million."""
    wrong = typer.BadParameter(f"{text!r} is not a percentage; write 19 or 7.7, with at most four decimals")
    try:
        exact = Decimal(text.strip().removesuffix("%").strip()) * MILLION / 100
    except InvalidOperation:
        raise wrong from None
    if not 0 <= exact <= MILLION or exact != int(exact):
        raise wrong
    return int(exact)


def duration(text: str) -> int:
    """`24h`, `90d`, `30min`, `0s` in milliseconds."""
    try:
        return duration_ms(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a duration; write 30min, 24h or 90d") from None


def instant(text: str) -> int:
    """`2026-11-23` or `2026-11-23T12:00`, UTC where no zone is written, in epoch milliseconds."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a date; write 2026-11-23, or 2026-11-23T12:00Z"
        raise typer.BadParameter(message) from None
    try:
        return epoch_ms(at if at.tzinfo is not None else at.replace(tzinfo=UTC))
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too far away") from None


def names(text: str) -> list[str]:
    """`parse,split`."""
    return [name.strip() for name in text.split(",") if name.strip()]
