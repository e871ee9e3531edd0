"""What the ledger and the outbox need of Redis, whether it is one server or a cluster of them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from gateway.ledger.scripts import Script

Argument: TypeAlias = str | bytes | int
Still: TypeAlias = Callable[[], bool]


class Packed(bytes):
    """A script's whole command in Redis's own form, put together in advance. It stands where the arguments stand."""


class Store(Protocol):
    """One connection, or a cluster's many behind one face. Faults: see `faults`."""

    async def evalsha(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument],
        *,
        repeat: bool = True,
        deadline_ms: int | None = None,
        still: Still | None = None,
    ) -> Any:
        """Runs a script; all its keys share a slot, so the first says where. `args` may be the whole command, Packed.

        `still` is asked in the moment of sending: whether what the arguments were made from still holds. A Redis
        that was reached again may have less than it had. StoreUnavailable (OUTDATED) where it does not.
        """
        ...

    async def execute(self, *command: Argument, key: str, repeat: bool = False, deadline_ms: int | None = None) -> Any:
        """Runs a command where `key` lives."""
        ...

    async def on_every_node(self, *command: Argument) -> list[Any]:
        """Runs a keyless command on every node that holds keys."""
        ...
