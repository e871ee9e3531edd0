"""One hold at a time, for showing: how it stands in Redis, and how it ended as far as no relay has booked that yet.

Takes nothing away and changes nothing; settling is the ledger's.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from gateway.domain.hold import Ending, HoldState
from gateway.domain.usage import UsageEvent
from gateway.ledger.answers import HoldSeen
from gateway.ledger.keys import SHARDS, account_prefix, due_key, hold_key, shard_prefix
from gateway.ledger.reading import account_events
from gateway.ledger.scripts import Script, load_scripts
from gateway.ledger.store import Store

# A server that took over may have a clock behind the one that admitted the call.
_CLOCKS_APART_MS: Final = 60_000
_FIELDS: Final = (
    *("account", "state", "amount", "period", "admitted"),
    *("facts", "ending", "job", "kind", "upstream", "attached", "looks"),
)


class Holds:
    """Holds of all accounts, to be looked at."""

    def __init__(self, connection: Store, *, shards: int = SHARDS, scripts: Mapping[str, Script] | None = None) -> None:
        self._redis = connection
        self._shards = shards
        self._scripts = scripts if scripts is not None else load_scripts()

    async def of_account(self, hold_id: str, account_id: str) -> HoldSeen | None:
        """A hold of the account; None where Redis has forgotten it, which it does only once its end is booked."""
        seen = await self._seen(account_prefix(account_id, self._shards), hold_id)
        return seen if seen is not None and seen.account_id == account_id else None

    async def find(self, hold_id: str) -> HoldSeen | None:
        """A hold, whosever it is: asks every shard."""
        prefixes = map(shard_prefix, range(self._shards))
        found = await asyncio.gather(*(self._seen(prefix, hold_id) for prefix in prefixes))
        return next((seen for seen in found if seen is not None), None)

    async def endings(self, hold_id: str, seen: HoldSeen) -> list[UsageEvent]:
        """How a settled hold ended, as far as that is still in the outbox, in order."""
        since_ms = seen.admitted_at_ms - _CLOCKS_APART_MS
        events = await account_events(
            self._redis,
            self._scripts["outbox_page"],
            account_prefix(seen.account_id, self._shards),
            seen.account_id,
            since=str(since_ms) if since_ms > 0 else "-",
        )
        return [event for event in events if isinstance(event, UsageEvent) and event.facts.request_id == hold_id]

    async def _seen(self, prefix: str, hold_id: str) -> HoldSeen | None:
        key, due = hold_key(prefix, hold_id), due_key(prefix)
        seen = _read(await self._redis.execute("HMGET", key, *_FIELDS, key=key, repeat=True))
        if seen is None or seen.state is not HoldState.OPEN:
            return seen
        deadline = await self._redis.execute("ZSCORE", due, hold_id, key=due, repeat=True)
        if deadline is None:  # it has just ended
            return _read(await self._redis.execute("HMGET", key, *_FIELDS, key=key, repeat=True))
        return replace(seen, deadline_ms=int(float(deadline)))


def _read(values: Sequence[bytes | None]) -> HoldSeen | None:
    """The hold; None where there is none, or only the mark of an admission that was withdrawn."""
    account, state, *numbers, facts, ending, job, kind, upstream, attached, looks = values
    if account is None or state is None or ending == b"":
        return None
    amount, period, admitted_at = (int(number or 0) for number in numbers)
    return HoldSeen(
        account_id=account.decode(),
        state=HoldState(state.decode()),
        amount_millicredits=amount,
        period_start_ms=period,
        admitted_at_ms=admitted_at,
        deadline_ms=None,
        facts=facts or b"",
        ending=None if ending is None else Ending(ending.decode()),
        job_id=None if job is None else job.decode(),
        job_kind=(kind or b"").decode(),
        upstream=(upstream or b"").decode(),
        attached_at_ms=int(attached or 0),
        looks=int(looks or 0),
    )
