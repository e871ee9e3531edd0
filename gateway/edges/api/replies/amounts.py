"""Amounts, instants and spans, as all answers show them."""

from typing import Annotated, Any, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

# Written from whole millicredits without a float in between: an `orjson.Fragment`.
Credits: TypeAlias = Annotated[
    Any, WithJsonSchema({"type": "number", "description": "Decimal credits, exact to the thousandth"})
]
Usd: TypeAlias = Annotated[Any, WithJsonSchema({"type": "number", "description": "Exact US dollars"})]
Cents: TypeAlias = Annotated[int, Field(description="Whole US cents")]
Instant: TypeAlias = Annotated[
    str, WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T12:00:00.000Z"]})
]


class Span(TypedDict):
    """From `start` on, up to and without `end`; UTC."""

    start: Instant
    end: Instant
