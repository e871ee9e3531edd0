"""The outbox as a relay sees it: records taken by one consumer of the group, given back if it dies, gone once booked.

Takes and acknowledges; books nothing. A record leaves the stream only after every group has acknowledged it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from gateway.domain.usage import JobAttached, UsageEvent
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import InvariantBroken
from gateway.ledger.keys import SHARDS, account_prefix, outbox_key, shard_prefix
from gateway.ledger.reading import account_events
from gateway.ledger.scripts import Script, load_scripts
from gateway.ledger.store import Argument, Store
from gateway.wire.usage_record import BadRecord, fields_of, read_record

GROUP: Final = "books"
# A consumer that has not acknowledged for this long is taken for dead, which it may not be: booking is by event id.
_DEAD_AFTER_MS: Final = 2000
_CLAIM_EVERY_S: Final = 0.5
# What is left of a settled hold stays this long after it is booked, for repeats that ask Redis first.
_CALL_REMAINS_MS: Final = 60_000
_JOB_REMAINS_MS: Final = 3_600_000
_ACK_BATCH: Final = 200
_DECODED: Final = 100
_POLL_EVERY_MS: Final = 100
# Reading and acknowledging hundreds of records is no call that a user waits for.
_DEADLINE_MS: Final = 5000


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """One record of the outbox. `event` None: it cannot be read, for the `reason` given; `raw` is what it holds."""

    shard: int
    stream_id: str
    event: UsageEvent | JobAttached | None
    raw: Mapping[bytes, bytes]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutboxLag:
    """How far the books are behind: records not acknowledged, and the age of the oldest."""

    records: int
    oldest_ms: int


class Outbox:
    """The outbox of all shards. `reader` is a connection of its own, kept waiting while there is nothing to read.

    Without `reader` (on a Cluster, whose streams live on several servers) it polls. One Outbox serves one relay loop;
    others make their own.
    """

    def __init__(
        self,
        connection: Store,
        *,
        shards: int = SHARDS,
        reader: RedisConnection | None = None,
        scripts: Mapping[str, Script] | None = None,
    ) -> None:
        self.shards = shards
        self._redis = connection
        self._reader = reader
        self._scripts = scripts if scripts is not None else load_scripts()
        self._claim_from: dict[int, str | bytes] = {}
        self._next_claim_at = 0.0

    async def read(
        self, consumer: str, *, count: int, block_ms: int, shards: Sequence[int] | None = None
    ) -> list[OutboxRecord]:
        """About `count` records (up to one a shard more) for this consumer: those of the dead first, else new ones.

        Waits up to `block_ms` for the first. What is not acknowledged comes again, here or elsewhere, in about 2 s.
        """
        wanted = range(self.shards) if shards is None else shards
        now = asyncio.get_running_loop().time()
        if now >= self._next_claim_at:
            claimed = await self._claim(consumer, count, wanted)
            if claimed:
                return claimed
            self._next_claim_at = now + _CLAIM_EVERY_S
        records: list[OutboxRecord] = []
        full = list(wanted)
        # A little of each shard first; then more of those that had more.
        while full and len(records) < count:
            per_shard = max(1, (count - len(records)) // len(full))
            found = await self._read_new(consumer, per_shard, 0 if records else block_ms, full)
            records += found
            full = [shard for shard, part in groupby(found, lambda each: each.shard) if len(list(part)) >= per_shard]
        return records

    async def ack(self, records: Iterable[OutboxRecord]) -> int:
        """The books have these (or have put them aside). Returns how many were not acknowledged before."""
        by_shard: dict[int, list[OutboxRecord]] = {}
        for record in records:
            by_shard.setdefault(record.shard, []).append(record)
        batches = [
            (shard, mine[start : start + _ACK_BATCH])
            for shard, mine in by_shard.items()
            for start in range(0, len(mine), _ACK_BATCH)
        ]
        replies = await asyncio.gather(*(self._ack_batch(shard, batch) for shard, batch in batches))
        return sum(acknowledged for acknowledged, _ in replies)

    async def lag(self) -> OutboxLag:
        """How far the books are behind, over all shards."""
        script = self._scripts["lag"]
        replies = await asyncio.gather(
            *(
                self._redis.evalsha(script, [outbox_key(shard_prefix(shard))], [GROUP], deadline_ms=_DEADLINE_MS)
                for shard in range(self.shards)
            )
        )
        return OutboxLag(sum(records for records, _ in replies), max(age_ms for _, age_ms in replies))

    async def unbooked(self, account_id: str) -> list[UsageEvent]:
        """The account's usage events that are still in the outbox, in order; some may be booked and not yet trimmed."""
        prefix = account_prefix(account_id, self.shards)
        events = await account_events(self._redis, self._scripts["outbox_page"], prefix, account_id)
        return [event for event in events if isinstance(event, UsageEvent)]

    async def _claim(self, consumer: str, count: int, shards: Sequence[int]) -> list[OutboxRecord]:
        """Takes over what others, or an earlier self, were given and did not finish."""
        most = max(1, count // len(shards))
        replies = await asyncio.gather(
            *(
                self._on_stream(
                    shard,
                    "XAUTOCLAIM",
                    None,
                    GROUP,
                    consumer,
                    _DEAD_AFTER_MS,
                    self._claim_from.get(shard, "0-0"),
                    "COUNT",
                    most,
                )
                for shard in shards
            )
        )
        records: list[OutboxRecord] = []
        for shard, reply in zip(shards, replies, strict=True):
            # Where it stopped; 0-0 at the end, and then from the start again.
            self._claim_from[shard] = reply[0]
            records += (_record(shard, stream_id, flat) for stream_id, flat in reply[1])
        return records

    async def _read_new(self, consumer: str, per_shard: int, wait_ms: int, shards: Sequence[int]) -> list[OutboxRecord]:
        if self._reader is not None:
            replies = [await self._read_all(self._reader, consumer, per_shard, wait_ms, shards)]
        else:
            replies = await asyncio.gather(
                *(
                    self._on_stream(shard, "XREADGROUP", ">", "GROUP", GROUP, consumer, "COUNT", per_shard, "STREAMS")
                    for shard in shards
                )
            )
            if wait_ms and not any(replies):
                await asyncio.sleep(min(wait_ms, _POLL_EVERY_MS) / 1000)
        shard_of_key = {outbox_key(shard_prefix(shard)).encode(): shard for shard in shards}
        entries = [
            (shard_of_key[key], stream_id, flat)
            for streams in replies
            for key, found in streams or ()
            for stream_id, flat in found
        ]
        records: list[OutboxRecord] = []
        for first in range(0, len(entries), _DECODED):
            records += (_record(*entry) for entry in entries[first : first + _DECODED])
            # A thousand records take as long as fifty calls, which are not to wait for them.
            await asyncio.sleep(0)
        return records

    async def _read_all(
        self, reader: RedisConnection, consumer: str, per_shard: int, wait_ms: int, shards: Sequence[int]
    ) -> Any:
        """One read over all streams, waiting on the server; they must live on one."""
        keys = [outbox_key(shard_prefix(shard)) for shard in shards]
        waiting: tuple[Argument, ...] = ("BLOCK", wait_ms) if wait_ms else ()
        command: list[Argument] = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", per_shard, *waiting, "STREAMS"]
        command += (*keys, *(">" for _ in keys))
        deadline_ms = wait_ms + _DEADLINE_MS
        try:
            return await reader.execute(*command, key=keys[0], deadline_ms=deadline_ms)
        except InvariantBroken as error:
            if "NOGROUP" not in str(error):
                raise
        await asyncio.gather(*(self._create_group(key) for key in keys))
        return await reader.execute(*command, key=keys[0], deadline_ms=deadline_ms)

    async def _on_stream(self, shard: int, command: str, last: str | None, *args: Argument) -> Any:
        """A group's command on one stream, the group being made where it is missing.

        The key comes first or, where there is a `last` argument, before that.
        """
        key = outbox_key(shard_prefix(shard))
        whole = (command, key, *args) if last is None else (command, *args, key, last)
        try:
            return await self._redis.execute(*whole, key=key, deadline_ms=_DEADLINE_MS)
        except InvariantBroken as error:
            if "NOGROUP" not in str(error):
                raise
        await self._create_group(key)
        return await self._redis.execute(*whole, key=key, deadline_ms=_DEADLINE_MS)

    async def _create_group(self, key: str) -> None:
        """From the stream's beginning, so that what was written before anybody read is booked too."""
        try:
            await self._redis.execute("XGROUP", "CREATE", key, GROUP, "0", "MKSTREAM", key=key)
        except InvariantBroken as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _ack_batch(self, shard: int, records: Sequence[OutboxRecord]) -> tuple[int, int]:
        prefix = shard_prefix(shard)
        args: list[Argument] = [prefix, GROUP, _CALL_REMAINS_MS, _JOB_REMAINS_MS]
        for record in records:
            if isinstance(record.event, UsageEvent):
                args += (record.stream_id, record.event.facts.request_id, record.event.ending.value)
            else:
                args += (record.stream_id, "", "")
        acknowledged, trimmed = await self._redis.evalsha(
            self._scripts["ack"], [outbox_key(prefix)], args, deadline_ms=_DEADLINE_MS
        )
        return acknowledged, trimmed


def _record(shard: int, stream_id: bytes, flat: Sequence[bytes]) -> OutboxRecord:
    raw = fields_of(flat)
    event = read_record(raw)
    if isinstance(event, BadRecord):
        return OutboxRecord(shard, stream_id.decode(), None, raw, event.reason)
    return OutboxRecord(shard, stream_id.decode(), event, raw)
