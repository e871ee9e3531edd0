"""Health, and news that were taken."""

from typing_extensions import TypedDict


class Alive(TypedDict):
    """The process lives."""

    status: str


class ReadyNow(TypedDict):
    """Whether calls may be sent here, and what of each part."""

    ready: bool
    parts: dict[str, str]


class Accepted(TypedDict):
    """Taken."""

    status: str
