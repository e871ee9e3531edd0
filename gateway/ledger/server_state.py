"""How a Redis stands, for operators: its version and clock, and what is held on it by all accounts together.

Reads a bounded part of each shard; changes nothing. Whether its settings are right is `settings_check`'s.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.ledger.keys import SHARDS, due_key, shard_prefix
from gateway.ledger.scripts import Script, load_scripts
from gateway.ledger.store import Argument, Store

# Of one shard; while they are read, Redis does nothing else.
MOST_LOOKED_AT: Final = 200
_DEADLINE_MS: Final = 2000


@dataclass(frozen=True, slots=True)
class OpenHolds:
    """Holds that nobody has settled. `held_millicredits` and `oldest_ms` (None: there are none) are of `looked_at`."""

    count: int
    looked_at: int
    held_millicredits: int
    oldest_ms: int | None

    @property
    def all_looked_at(self) -> bool:
        """Whether the sums are of all of them."""
        return self.looked_at >= self.count


class ServerState:
    """One Redis, or all servers of a Cluster."""

    def __init__(self, connection: Store, *, shards: int = SHARDS, scripts: Mapping[str, Script] | None = None) -> None:
        self._redis = connection
        self._shards = shards
        self._script = (scripts if scripts is not None else load_scripts())["open_holds"]

    async def version(self) -> str:
        """As in "Valkey 8.1.4". StoreUnavailable."""
        info: bytes = (await self._redis.on_every_node("INFO", "server"))[0]
        said = dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
        if "valkey_version" in said:
            return f"Valkey {said['valkey_version']}"
        return f"Redis {said.get('redis_version', 'of an unknown version')}"

    async def clock_ms(self) -> int:
        """What time it is there. StoreUnavailable."""
        seconds, micros = (await self._redis.on_every_node("TIME"))[0]
        return int(seconds) * 1000 + int(micros) // 1000

    async def open_holds(self) -> OpenHolds:
        """All that is held, shard by shard. StoreUnavailable."""
        found = await asyncio.gather(*(self._of_shard(shard_prefix(shard)) for shard in range(self._shards)))
        since = [oldest_ms for _, _, _, oldest_ms in found if oldest_ms >= 0]
        count, looked_at, held = (sum(column) for column in list(zip(*found, strict=True))[:3])
        return OpenHolds(count, looked_at, held, min(since, default=None))

    async def _of_shard(self, prefix: str) -> tuple[int, int, int, int]:
        args: list[Argument] = [prefix, MOST_LOOKED_AT]
        count, looked_at, held, oldest_ms = await self._redis.evalsha(
            self._script, [due_key(prefix)], args, deadline_ms=_DEADLINE_MS
        )
        return count, looked_at, held, oldest_ms
