"""Amounts of credits: whole millicredits inside, decimal credits at the border.

Deliberately holds no balances and no prices. A float may come in from a foreign JSON document, where it is read by
its shortest decimal text; none ever leaves or is calculated with.
"""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Final

MILLICREDITS_PER_CREDIT: Final = 1000
_DECIMALS: Final = 3
# Lua numbers are doubles: above this a script could not tell two neighbouring amounts apart.
MAX_MILLICREDITS: Final = 2**53 - 1


def millicredits(credits_: int | str | Decimal) -> int:
    """Credits as an operator writes them (`10_000`, "2.5") in whole millicredits.

    ValueError where the amount is negative, finer than a millicredit, not finite or beyond 2^53 - 1.
    """
    try:
        exact = Decimal(credits_)
    except InvalidOperation as error:
        message = f"{credits_!r} is not a number of credits"
        raise ValueError(message) from error
    found = exact_millicredits(exact) if exact.is_finite() and 0 <= exact < MAX_MILLICREDITS else None
    if found is None or found > MAX_MILLICREDITS:
        message = f"{credits_} credits: must be from 0 to {MAX_MILLICREDITS // MILLICREDITS_PER_CREDIT}, in thousandths"
        raise ValueError(message)
    return found


def exact_millicredits(credits_: Decimal) -> int | None:
    """Credits in whole millicredits; None where they are finer than that, by however little.

    Of a finite number of a size that credits have: the digits are looked at, since multiplying rounds the 29th.
    """
    _, digits, exponent = credits_.as_tuple()
    if isinstance(exponent, int) and exponent < -_DECIMALS and any(digits[exponent + _DECIMALS :]):
        return None
    return int(credits_ * MILLICREDITS_PER_CREDIT)


def reported_millicredits(value: object) -> int | None:
    """What a product service reports as credits, rounded half up to a millicredit; None where it is no usable amount.

    0 is an amount (free); null, text, booleans, negatives and anything beyond 2^53 - 1 are not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    exact = Decimal(repr(value)) * MILLICREDITS_PER_CREDIT
    if not exact.is_finite() or exact < 0 or exact > MAX_MILLICREDITS:
        return None
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def credits_text(amount_millicredits: int) -> str:
    """Decimal credits without trailing zeros, also a valid JSON number: 12500 is "12.5"."""
    if amount_millicredits < 0:
        return f"-{credits_text(-amount_millicredits)}"
    whole, part = divmod(amount_millicredits, MILLICREDITS_PER_CREDIT)
    return f"{whole}.{part:03d}".rstrip("0") if part else str(whole)
