"""Instants in bodies: with a zone, and near enough that everything that shows them later can."""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime

_FIRST: Final = datetime(1970, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def _near(at: datetime) -> datetime:
    """As it is. ValueError."""
    if not _FIRST <= at < _LAST:
        raise ValueError("must be between 1970 and 2200")
    return at


NearInstant = Annotated[AwareDatetime, AfterValidator(_near)]
