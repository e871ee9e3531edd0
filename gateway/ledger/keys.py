"""Names of keys. Everything of an account lives under the tag of its shard, so one script's keys share a Cluster slot.

The number of shards is fixed at first start (the books remember it): another number would look for every account in
another place.
"""

from functools import lru_cache
from typing import Final
from zlib import crc32

SHARDS: Final = 64


def shard_of(account_id: str, shards: int = SHARDS) -> int:
    """The shard an account lives in, the same in every process and release."""
    return crc32(account_id.encode()) % shards


def shard_tag(shard: int) -> str:
    """`{s07}`: what Redis Cluster hashes."""
    return f"{{s{shard:02d}}}"


@lru_cache(maxsize=65_536)
def account_prefix(account_id: str, shards: int = SHARDS) -> str:
    """`{s07}:`, the beginning of every key of the account. Remembered, for it is asked for on every call."""
    return f"{shard_tag(shard_of(account_id, shards))}:"


def shard_prefix(shard: int) -> str:
    """`{s07}:` by number."""
    return f"{shard_tag(shard)}:"


def acct_key(prefix: str, account_id: str) -> str:
    """Hash: `e` epoch, `seq`, `terms` version, `status`, `periods` (their starts, with commas)."""
    return f"{prefix}acct:{account_id}"


def periods_prefix(prefix: str, account_id: str) -> str:
    """What a period's key begins with; its start in epoch ms follows."""
    return f"{prefix}period:{account_id}:"


def period_key(prefix: str, account_id: str, start_ms: int) -> str:
    """Hash: `end granted over captured held`."""
    return f"{prefix}period:{account_id}:{start_ms}"


def hold_key(prefix: str, hold_id: str) -> str:
    """Hash: the hold, and what is left of it once settled."""
    return f"{prefix}hold:{hold_id}"


def open_key(prefix: str, account_id: str) -> str:
    """Sorted set: the account's open holds by deadline."""
    return f"{prefix}open:{account_id}"


def due_key(prefix: str) -> str:
    """Sorted set: all open holds of the shard by deadline."""
    return f"{prefix}due"


def follow_key(prefix: str) -> str:
    """Sorted set: the shard's running jobs by the time of their next look."""
    return f"{prefix}follow"


def window_key(prefix: str, account_id: str, limit_name: str, group: int) -> str:
    """List: times of admitted calls in µs, newest first; above 1 call a group the list has another form and name."""
    name = f"{prefix}window:{account_id}:{limit_name}"
    return name if group == 1 else f"{name}:{group}"


def job_key(prefix: str, upstream: str, job_id: str) -> str:
    """String: whose job it is and under which hold."""
    return f"{prefix}job:{upstream}:{job_id}"


def claim_key(prefix: str, upstream: str, account_id: str, job_id: str) -> str:
    """Hash: `hold at` of the hold whose own this job is: of jobs that are only named by what they work on."""
    return f"{prefix}claim:{upstream}:{account_id}:{job_id}"


def own_job_key(prefix: str, hold_id: str) -> str:
    """String: the one job that the hold has claimed."""
    return f"{prefix}own:{hold_id}"


def name_key() -> str:
    """String: the name that this Redis was given when it was empty."""
    return f"{shard_prefix(0)}name"


def outbox_key(prefix: str) -> str:
    """Stream: usage events and job attachments, in order."""
    return f"{prefix}outbox"


def idem_key(prefix: str, account_id: str, key: str) -> str:
    """Hash: `hold digest at reply` of the first call with an Idempotency-Key."""
    return f"{prefix}idem:{account_id}:{key}"
