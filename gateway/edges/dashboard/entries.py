"""Amounts as people type them: dollars with a comma or a sign, credits, percentages. Exact; nothing is rounded.

Each raises WrongParameter with a sentence for the field; how high an amount may be is for the flows to say.
"""

import re
from decimal import Decimal
from typing import Final

from gateway.domain.credits import MILLICREDITS_PER_CREDIT
from gateway.flows.faults import WrongParameter

_WHOLE: Final = r"([0-9]{1,3}(,[0-9]{3})+|[0-9]{1,15})"
_DOLLARS: Final = re.compile(rf"\$? ?{_WHOLE}(\.[0-9]{{1,2}})?")
_CREDITS: Final = re.compile(rf"{_WHOLE}(\.[0-9]{{1,3}})?")
_PERCENT: Final = re.compile(r"([0-9]{1,4}) ?%?")


def cents(field: str, typed: str) -> int:
    """As in "$1,250.50", which is 125050."""
    if not _DOLLARS.fullmatch(typed):
        raise WrongParameter(field, "Write an amount in dollars, like 250 or 1,250.50.")
    return int(_exact(typed.lstrip("$ ")) * 100)


def millicredits(field: str, typed: str) -> int:
    """As in "10,000", which is ten million thousandths."""
    if not _CREDITS.fullmatch(typed):
        raise WrongParameter(field, "Write a number of credits, like 10,000 or 2.5.")
    return int(_exact(typed) * MILLICREDITS_PER_CREDIT)


def percent(field: str, typed: str) -> int:
    """As in "80 %", which is 80."""
    found = _PERCENT.fullmatch(typed)
    if found is None:
        raise WrongParameter(field, "Write a whole number of percent, like 75.")
    return int(found[1])


def _exact(typed: str) -> Decimal:
    return Decimal(typed.replace(",", ""))
