"""Is Redis set up so that credits survive in it, and does that work?

Reads what INFO says; managed services often forbid CONFIG.
"""

from collections.abc import Iterator
from typing import Final

_OLDEST_REDIS: Final = 7
_OLDEST_VALKEY: Final = 8


def settings_problems(info: bytes) -> Iterator[str]:
    """Sentences for `doctor` and readiness; none if all is well."""
    said = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    policy = said.get("maxmemory_policy", "")
    if policy != "noeviction":
        yield f"maxmemory-policy is {policy or 'unknown'}: holds may be evicted; set it to noeviction"
    if said.get("aof_enabled") != "1":
        yield "the append-only file is off: a restart loses holds and unbooked usage; set appendonly yes"
    elif said.get("aof_last_write_status", "ok") != "ok":
        yield "the append-only file cannot be written: it takes no holds until that works; look at its disk"
    if said.get("role") != "master":
        yield "it is a replica: it cannot take holds; name the primary, or Sentinel"
    if "valkey_version" in said:
        name, version, oldest = "Valkey", said["valkey_version"], _OLDEST_VALKEY
    else:
        name, version, oldest = "Redis", said.get("redis_version", "0"), _OLDEST_REDIS
    if int(version.split(".", 1)[0]) < oldest:
        yield f"{name} {version} is too old: {oldest} or newer is needed"
