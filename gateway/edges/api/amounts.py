"""Amounts of credits in bodies: whole thousandths. One that is finer, by however little, is refused and not rounded."""

from decimal import Decimal
from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from gateway.domain.credits import exact_millicredits
from gateway.edges.api.endpoint import wrong_member

MOST: Final = 10**12


def _schema(least: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", "minimum": least, "maximum": MOST, "description": "In thousandths"})


Credits = Annotated[Decimal, Field(ge=0, le=MOST), _schema(0)]
SignedCredits = Annotated[Decimal, Field(ge=-MOST, le=MOST), _schema(-MOST)]


def millicredits(member: str, credits_: Decimal) -> int:
    """The amount of a member of the body. Refuse where it is finer than a thousandth."""
    found = exact_millicredits(credits_)
    if found is None:
        raise wrong_member(member, "is finer than a thousandth")
    return found
