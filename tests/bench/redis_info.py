"""What a Redis server says of its own CPU time."""

import redis


def redis_cpu_us(port: int) -> int:
    """User and system time of the server so far, in microseconds."""
    with redis.Redis(port=port) as connection:
        cpu = connection.info("cpu")
    return int((float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])) * 1_000_000)
