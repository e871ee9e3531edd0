"""Starts many processes of ours fast: one process has imported everything, and forks for each that is asked for.

A child is as real as one from `python -m`: its own pid, session, environment, folder and output files, its own
interpreter end. It only skips the imports, which cost more than all that most commands do.
Run as a program, with a socket's path; ends, with everything it started, when its standard input does.
"""

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

EVERYTHING = (
    "aiosqlite",
    "alembic.command",
    "asyncpg",
    "gateway.edges.cli.commands",
    "gateway.edges.cli.demo",
    "gateway.edges.cli.serve",
    "gateway.flows.accounts",
    "gateway.flows.keys",
    "gateway.flows.preview_plan",
    "gateway.flows.reconcile",
    "gateway.flows.usage_report",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "tests.journeys.stand_ins",
    "uvicorn",
    "uvloop",
    "watchfiles",
)
Main = Callable[[], None]


def become(asked: dict[str, Any]) -> Main:
    """In the child: puts on what was asked for, and gives the main function."""
    os.setsid()
    os.chdir(asked["cwd"])
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, asked["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["argv"]
    module, _, name = asked["main"].partition(":")
    main: Main = getattr(importlib.import_module(module), name)
    return main


class Nursery:
    """The parent of all. A connection asks for one process, and is told its pid and, later, its exit code."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._children: dict[int, socket.socket] = {}
        for wanted in (self._listener, self._woken, sys.stdin):
            self._selector.register(wanted, selectors.EVENT_READ)

    def run(self) -> Main:
        """Serves; returns in each child, with what it is to do. The parent does not return."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    if (main := self._bear()) is not None:
                        return main
                elif key.fileobj is sys.stdin:
                    self._end()
                else:
                    os.read(self._woken, 4096)
                    self._reap()

    def _bear(self) -> Main | None:
        connection, _ = self._listener.accept()
        with connection.makefile("rb") as lines:
            asked = json.loads(lines.readline())
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            os.close(self._woken)
            for mine in (self._listener, connection, *self._children.values()):
                mine.close()
            return become(asked)
        self._children[pid] = connection
        connection.sendall(b"%d\n" % pid)
        return None

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._children.pop(pid) as connection, contextlib.suppress(OSError):
                connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))

    def _end(self) -> None:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)


if __name__ == "__main__":
    for each in EVERYTHING:
        importlib.import_module(each)
    gc.freeze()
    nursery = Nursery(sys.argv[1])
    main = nursery.run()
    main()
