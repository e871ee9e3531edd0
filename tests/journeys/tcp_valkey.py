"""A Valkey server over TCP, set up as the documentation asks of any: what `redis.url` names in a real deployment."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from gateway.ledger.server_process import arguments, find_binary
from tests.journeys.gateway_process import eventually
from tests.ports import free_port


@contextmanager
def running_valkey() -> Iterator[str]:
    """Its URL. It is gone, with its files, on leaving."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with tempfile.TemporaryDirectory(prefix="cgw-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        own = ["--port", str(port), "--bind", "127.0.0.1", "--logfile", str(folder / "valkey.log")]
        command = [str(find_binary()), *arguments(folder, folder / "valkey.sock"), *own]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            with redis.Redis.from_url(url) as client:
                eventually(lambda: _answers(client))
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
