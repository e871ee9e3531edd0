"""Who owns what: a bounded store of things that only their own account can find.

Does not expire anything by time: where the shelf is full the oldest thing goes.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Owner:
    """The account and project that a call came from, by its identity headers."""

    account_id: str
    project_id: str


class Owned(Protocol):
    """A thing with an id that belongs to someone."""

    @property
    def id(self) -> str:
        """Unique among all owners."""

    @property
    def owner(self) -> Owner:
        """Whose it is."""


T = TypeVar("T", bound=Owned)


class Shelf(Generic[T]):
    """At most `limit` things of one kind. `kind` names them in a "not found"."""

    def __init__(self, kind: str, limit: int) -> None:
        self.kind = kind
        self._limit = limit
        self._things: OrderedDict[str, T] = OrderedDict()

    def put(self, thing: T) -> None:
        """Add or replace by id."""
        self._things[thing.id] = thing
        if len(self._things) > self._limit:
            self._things.popitem(last=False)

    def find(self, owner: Owner, thing_id: str) -> T | None:
        """The account's own thing; another account's is as absent as one that never was."""
        thing = self._things.get(thing_id)
        return thing if thing is not None and thing.owner.account_id == owner.account_id else None

    def of_project(self, owner: Owner) -> Iterator[T]:
        """The project's things, newest first."""
        return (thing for thing in reversed(self._things.values()) if thing.owner == owner)

    def remove(self, thing: T) -> None:
        """Forget it; removing twice is harmless."""
        self._things.pop(thing.id, None)
