"""Money on documents: whole cents, made from exact fractions of a cent once, and shared out without losing any.

Knows no prices and no currency.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor


@dataclass(frozen=True, slots=True)
class Share:
    """One part of an amount: what it comes to exactly, and what decides ties (more credits first, then the name)."""

    name: tuple[str, ...]
    millicredits: int
    exact_cents: Fraction


def rounded(exact_cents: Fraction) -> int:
    """Whole cents, halves away from zero: 0.5 is 1, -0.5 is -1."""
    cents = floor(abs(exact_cents) + Fraction(1, 2))
    return cents if exact_cents >= 0 else -cents


def shared(cents: int, shares: Sequence[Share]) -> list[int]:
    """`cents` shared out by largest remainder, in the order of `shares`; the parts add up to `cents`.

    `cents` must be what the shares come to, rounded: from the sum of their whole cents to one more for each share.
    ValueError otherwise.
    """
    whole = [floor(share.exact_cents) for share in shares]
    left = cents - sum(whole)
    if not 0 <= left <= len(shares):
        message = f"{cents} cents cannot be shared out as {[str(share.exact_cents) for share in shares]}"
        raise ValueError(message)

    def urgency(index: int) -> tuple[Fraction, int, tuple[str, ...]]:
        share = shares[index]
        return whole[index] - share.exact_cents, -share.millicredits, share.name

    for index in sorted(range(len(shares)), key=urgency)[:left]:
        whole[index] += 1
    return whole


def dollars_text(cents: int) -> str:
    """`-1234567` cents as "-$12,345.67"."""
    whole, part = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}${whole:,}.{part:02d}"
