"""A gateway's processes, to be killed: started like an operator starts them, on a folder of their own.

Every process dies with the test's, however that ends. Shortens nothing: holds live as long as shipped.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.configuration import load
from gateway.flows.accounts import Accounts
from gateway.flows.keys import Keys
from gateway.ledger.file_lock import is_free
from gateway.ledger.server_process import ask
from gateway.stores import open_stores
from tests.ports import free_port

REPOSITORY: Final = Path(__file__).parents[2]
STARTS_WITHIN_S: Final = 30.0
UPSTREAMS: Final = ("PARSE", "EXTRACT", "CLASSIFY", "SPLIT", "INDEX")
# No limits but credits: `large` is never used up, `small` is, in the middle of everything.
PLANS: Final = """
large: {name: Large, price_usd: 0, monthly_credits: 10_000_000, rate_limits: {requests: unlimited, reads: unlimited}}
small: {name: Small, price_usd: 0, monthly_credits: 300, rate_limits: {requests: unlimited, reads: unlimited}}
"""
# Becomes the program after asking Linux to kill it with the test that started it.
_DIE_WITH_PARENT: Final = """\
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass
class Program:
    """One process of ours, which can be killed and started again. `port` 0: it serves nothing."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    port: int = 0
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Starts it; does not wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT),
                *(sys.executable, "-m", "gateway", *self.arguments),
                cwd=REPOSITORY,
                env=dict(self.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal and waits for the end."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            await self.process.wait()
            self.process = None

    async def until_ready(self) -> None:
        """Returns once it says that it is ready."""
        deadline = asyncio.get_running_loop().time() + STARTS_WITHIN_S
        async with httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"{self.url}/readyz")).is_success:
                        return
                assert self.process is not None
                assert self.process.returncode is None, f"{self.name} ended: {self.last_words()}"
                assert asyncio.get_running_loop().time() < deadline, f"{self.name}: {self.last_words()}"
                await asyncio.sleep(0.05)

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


@dataclass
class Site:
    """The processes on one data folder."""

    folder: Path
    upstream_url: str
    books_url: str = ""
    programs: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = self.folder / "config" / "gateway.yaml"
        self.data = self.folder / "data"
        shutil.copytree(REPOSITORY / "config", self.config.parent, ignore=shutil.ignore_patterns("deploy"))
        (self.config.parent / "plans.yaml").write_text(PLANS)

    @property
    def redis_socket(self) -> Path:
        """Where the embedded server answers."""
        return self.data / "valkey.sock"

    @property
    def books(self) -> str:
        """The books' URL, for one who reads them."""
        return self.books_url or f"sqlite:///{self.data / 'books.sqlite'}"

    def environment(self, **more: str) -> dict[str, str]:
        """What every process is started with."""
        upstreams = {f"{name}_URL": self.upstream_url for name in UPSTREAMS}
        passed = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        stores = {"GATEWAY_DATA": str(self.data), "REDIS_URL": "", "DATABASE_URL": self.books_url}
        quiet = {"GATEWAY_LOG_LEVEL": "warning", "GATEWAY_ADMIN_PORT": "0", "PYTHONPATH": str(REPOSITORY)}
        return {**passed, **upstreams, **stores, **quiet, **more}

    async def serve(self, name: str, *arguments: str) -> Program:
        """One more `gateway serve`, ready."""
        port = free_port()
        program = self._add(name, ("serve", *arguments), port, GATEWAY_PORT=str(port))
        await program.start()
        await program.until_ready()
        return program

    async def background(self, name: str = "background") -> Program:
        """One more `gateway background`."""
        program = self._add(name, ("background",), 0)
        await program.start()
        return program

    def _add(self, name: str, arguments: Sequence[str], port: int, **more: str) -> Program:
        whole = (arguments[0], "--config", str(self.config), *arguments[1:])
        program = Program(name, whole, self.environment(**more), self.folder / f"{name}.log", port)
        self.programs.append(program)
        return program

    async def command(self, *arguments: str) -> tuple[int, Any]:
        """A command's exit code and the JSON document it prints."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *arguments, "--json", "--config", str(self.config)),
            cwd=REPOSITORY,
            env=self.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        code = process.returncode
        assert code is not None
        assert out, f"gateway {' '.join(arguments)}: {errors.decode()}"
        return code, json.loads(out)

    async def accounts(self, *plans: str) -> dict[str, str]:
        """New accounts, one on each of these plans: a key by the account's id, in this order."""
        configuration = load(self.config, self.environment())
        opened = {}
        async with open_stores(configuration.settings, configuration.catalog) as stores:
            accounts = Accounts(stores.billing)
            keys = Keys(books=stores.books, tell=stores.billing.tell, pepper=stores.pepper, clock=stores.clock)
            for plan in plans:
                account = await accounts.create(f"{plan} of the kill tests", plan)
                opened[account.id] = (await keys.create(account.id)).secret
        return opened

    def valkey_pid(self) -> int | None:
        """Of the embedded server; None while there is none."""
        for line in (ask(self.redis_socket, b"INFO server") or b"").splitlines():
            if line.startswith(b"process_id:"):
                return int(line.partition(b":")[2])
        return None

    async def until_owned(self) -> None:
        """Returns once an embedded server answers."""
        deadline = asyncio.get_running_loop().time() + STARTS_WITHIN_S
        while await asyncio.to_thread(self.valkey_pid) is None:
            assert asyncio.get_running_loop().time() < deadline, self.programs[-1].last_words()
            await asyncio.sleep(0.02)

    def until_server_gone(self) -> None:
        """Returns once nobody writes the server's files. Blocks."""
        while not is_free(self.data / "server.lock"):
            time.sleep(0.005)

    def valkey(self) -> "redis.asyncio.Redis":
        """A client of the embedded server, for a test that does to it what nobody should."""
        return redis.asyncio.Redis(unix_socket_path=str(self.redis_socket), retry=Retry(NoBackoff(), 0))

    async def end(self) -> None:
        """Kills whatever runs."""
        for program in self.programs:
            await program.kill()


@asynccontextmanager
async def site(folder: Path, upstream_url: str, *, books_url: str = "") -> AsyncIterator[Site]:
    """A site with nothing running; what is started dies at the end."""
    made = Site(folder, upstream_url, books_url)
    try:
        yield made
    finally:
        await made.end()
