"""Calls with an Idempotency-Key: charged once, and answered with the first reply for a day.

A claim is made before the call is admitted and refers to its hold: a call that never was charged gives way to the next,
whatever became of its process. Deliberately not here: what a digest is taken of, and which replies are
small enough to be kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.ledger.faults import InvariantBroken
from gateway.ledger.keys import SHARDS, account_prefix, idem_key
from gateway.ledger.scripts import Script, load_scripts
from gateway.ledger.store import Store

_LIFE_MS: Final = 86_400_000
# From the claim to the hold: an admission, which may have to wait for the books.
_ADMITTED_WITHIN_MS: Final = 10_000
# A hold's life, and as long as a settlement is insisted on after that.
_CHARGED_LATE_WITHIN_MS: Final = 660_000


class Claim(Enum):
    """What became of a claim; see also `FirstReply` and `ChargedBefore`."""

    CLAIMED = b"claimed"  # it is the first: go on
    IN_PROGRESS = b"in_progress"  # the first is still running
    MISMATCH = b"mismatch"  # the key was used for another request


@dataclass(frozen=True, slots=True)
class FirstReply:
    """The call has run before; this is what was kept of it."""

    reply: bytes


@dataclass(frozen=True, slots=True)
class ChargedBefore:
    """The call has run and was charged, but its reply was not kept. It must not run again."""

    hold_id: str


@dataclass(frozen=True, slots=True)
class AskTheBooks:
    """Redis no longer knows whether the first call was charged. If the books do not, claim `instead_of` it."""

    hold_id: str


class Idempotency:
    """The Idempotency-Keys of all accounts. A key of one account says nothing to another."""

    def __init__(self, redis: Store, *, shards: int = SHARDS, scripts: Mapping[str, Script] | None = None) -> None:
        self._redis = redis
        self._shards = shards
        self._scripts = scripts if scripts is not None else load_scripts()

    async def claim(
        self, account_id: str, key: str, *, hold_id: str, digest: bytes = b"", instead_of: str = ""
    ) -> Claim | FirstReply | ChargedBefore | AskTheBooks:
        """May the call under this hold id run? With an empty digest (a body still to come) no mismatch is found.

        Claiming again with the same hold id is claiming once.
        """
        prefix = account_prefix(account_id, self._shards)
        reply = await self._redis.evalsha(
            self._scripts["idem_claim"],
            [idem_key(prefix, account_id, key)],
            [prefix, hold_id, digest, _LIFE_MS, _ADMITTED_WITHIN_MS, instead_of, _CHARGED_LATE_WITHIN_MS],
        )
        match reply:
            case [b"reply", first]:
                return FirstReply(first)
            case [b"charged", hold]:
                return ChargedBefore(hold.decode())
            case [b"ask", hold]:
                return AskTheBooks(hold.decode())
            case [(b"claimed" | b"in_progress" | b"mismatch") as word]:
                return Claim(word)
            case _:
                raise InvariantBroken(f"idem_claim: {reply!r}")

    async def keep(self, account_id: str, key: str, *, hold_id: str, reply: bytes, digest: bytes = b"") -> bool:
        """Keeps the first reply. False where the claim is another call's by now."""
        keys = [idem_key(account_prefix(account_id, self._shards), account_id, key)]
        return bool(await self._redis.evalsha(self._scripts["idem_keep"], keys, [hold_id, digest, reply]))

    async def forget(self, account_id: str, key: str, *, hold_id: str) -> bool:
        """The call was refused, or was not charged: the next with its key runs."""
        keys = [idem_key(account_prefix(account_id, self._shards), account_id, key)]
        return bool(await self._redis.evalsha(self._scripts["idem_forget"], keys, [hold_id]))
