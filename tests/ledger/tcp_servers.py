"""Servers on loopback ports, for what unix sockets cannot show: clusters and failovers."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis

from gateway.ledger.server_process import find_binary
from tests.ports import free_port


def wait_until(true: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TcpServer:
    """A server with nothing on disk."""

    def __init__(self, folder: Path, *settings: str, sentinel: str | None = None) -> None:
        self.port = free_port()
        folder.mkdir()
        command = [str(find_binary()), "--port", str(self.port), "--dir", str(folder), "--save", "", *settings]
        if sentinel is not None:
            (folder / "sentinel.conf").write_text(f"port {self.port}\ndir {folder}\n{sentinel}\n")
            command = [str(find_binary()), str(folder / "sentinel.conf"), "--sentinel"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port, decode_responses=True)
        wait_until(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.kill()
