"""Which kind of connection a `redis.url` asks for."""

from gateway.ledger.cluster import ClusterConnection
from gateway.ledger.connection import RedisConnection


def redis_at(url: str) -> RedisConnection | ClusterConnection:
    """Not yet open. `redis+cluster://` and `rediss+cluster://` name nodes of a Cluster; ValueError for unknown URLs."""
    if url.partition("://")[0] in {"redis+cluster", "rediss+cluster"}:
        return ClusterConnection(url)
    return RedisConnection(url)


def reader_at(url: str) -> RedisConnection | None:
    """A second connection for the outbox to wait on; None on a Cluster, whose streams live on several servers."""
    reader = redis_at(url)
    return reader if isinstance(reader, RedisConnection) else None
