"""What a Redis server says of its own CPU time, and of what is still to be booked."""

import sys
import time

import redis

from gateway.ledger.keys import SHARDS, outbox_key, shard_prefix

BOOKED_WITHIN_S = 60.0


def redis_cpu_us(port: int) -> int:
    """User and system time of the server so far, in microseconds."""
    with redis.Redis(port=port) as connection:
        cpu = connection.info("cpu")
    return int((float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])) * 1_000_000)


def until_booked(port: int) -> None:
    """Waits until nothing is left in the outbox."""
    deadline = time.monotonic() + BOOKED_WITHIN_S
    with redis.Redis(port=port) as connection:
        while any(connection.xlen(outbox_key(shard_prefix(shard))) for shard in range(SHARDS)):
            if time.monotonic() > deadline:
                sys.exit("usage was not booked in time")
            time.sleep(0.2)  # another process's work: there is nothing to be told by
