"""The gateway as an operator runs it, for tests: real processes on real ports, its own data folder, its real commands.

Starts processes through `warm_start`, so that a test that starts five of them takes a second and not ten.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import yaml

from gateway.edges.demo.services import DEMO_CREDENTIAL
from tests.journeys.clerk import Clerk
from tests.ports import free_port

ROOT: Final = Path(__file__).parents[2]
PRODUCTS: Final = ("PARSE", "EXTRACT", "CLASSIFY", "SPLIT", "INDEX")
START_WITHIN_S: Final = 60.0
END_WITHIN_S: Final = 10.0
# Plans that nobody sells. A purse is all there is: no rate limit stands before its last credit.
TEST_PLANS: Final = """
purse:
  name: Purse
  price_usd: 0
  monthly_credits: 50
  rate_limits: {requests: unlimited, reads: unlimited}
  when_exhausted: refuse
  support: none
blink:
  name: Blink
  price_usd: 0
  monthly_credits: 50
  rate_limits: {requests: 3/s, reads: unlimited}
  when_exhausted: refuse
  support: none
"""

T = TypeVar("T")
Edit = Callable[[dict[str, Any]], None]


def eventually(look: Callable[[], T | None], *, within_s: float = 25.0, every_s: float = 0.02) -> T:
    """The first thing that `look` gives which is true; fails, with the last one, when the time is up.

    The time is for machines that do much else at once: nobody waits for it where what is awaited comes.
    """
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {within_s} s"
        time.sleep(every_s)
    return found


class Running:
    """A process that `Launcher` started."""

    def __init__(self, connection: socket.socket, stdout: Path, stderr: Path) -> None:
        self._connection = connection
        self._said = b""
        self._exit_code: int | None = None
        self._stdout, self._stderr = stdout, stderr
        self.pid = self._next_number(START_WITHIN_S)

    @property
    def printed(self) -> str:
        """Its standard output so far."""
        return self._stdout.read_text()

    @property
    def complained(self) -> str:
        """Its standard error so far."""
        return self._stderr.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; one that is gone already gets none."""
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self, within_s: float = END_WITHIN_S) -> int:
        """Waits until it has ended; its exit code, negative where a signal ended it."""
        if self._exit_code is None:
            try:
                self._exit_code = self._next_number(within_s)
            except TimeoutError as late:
                raise AssertionError(f"pid {self.pid} runs on after {within_s} s:\n{self.complained}") from late
            self.forget()
        return self._exit_code

    def alive(self) -> bool:
        """Whether it still runs."""
        if self._exit_code is None and select.select([self._connection], [], [], 0)[0]:
            self.ended()
        return self._exit_code is None

    def stop(self) -> int:
        """Ends it as an operator would, and waits."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.signal(signal.SIGKILL)
        self.ended()

    def forget(self) -> None:
        """Asks no more how it does."""
        self._connection.close()

    def _next_number(self, within_s: float) -> int:
        self._connection.settimeout(within_s)
        while b"\n" not in self._said:
            said = self._connection.recv(64)
            assert said, "the parent of all processes is gone"
            self._said += said
        line, _, self._said = self._said.partition(b"\n")
        return int(line)


class Launcher:
    """Starts processes; those left over end with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "start.sock"
        self._started: list[Running] = []
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.journeys.warm_start", str(self._socket)], cwd=ROOT, stdin=subprocess.PIPE
        )
        try:
            eventually(self._listens, within_s=START_WITHIN_S)
        except BaseException:
            self.close()
            raise

    def start(self, main: str, *argv: str, environment: Mapping[str, str], cwd: Path = ROOT) -> Running:
        """A process that runs `module:function` with these arguments."""
        stdout, stderr = (self._folder / f"{len(self._started)}.{name}" for name in ("out", "err"))
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(START_WITHIN_S)
        connection.connect(str(self._socket))
        asked = {
            "main": main,
            "argv": [main.partition(".")[0], *argv],
            "environment": {**os.environ, **environment},
            "cwd": str(cwd),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        connection.sendall(json.dumps(asked).encode() + b"\n")
        self._started.append(Running(connection, stdout, stderr))
        return self._started[-1]

    def _listens(self) -> bool:
        assert self._parent.poll() is None, "what all processes are forked from could not import everything"
        return self._socket.exists()

    def close(self) -> None:
        """Ends every process that is left."""
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait(END_WITHIN_S)
        for process in self._started:
            process.forget()


@dataclass(frozen=True)
class Account:
    """An account with one key."""

    id: str
    project_id: str
    key_id: str
    key: str

    @property
    def bearer(self) -> dict[str, str]:
        """The header that a caller sends."""
        return {"Authorization": f"Bearer {self.key}"}


class Gateway:
    """A serving process."""

    def __init__(self, process: Running, port: int, admin_port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.admin_url = f"http://127.0.0.1:{admin_port}"

    def ready(self) -> bool:
        """Whether it says that it may be given calls."""
        assert self.process.alive(), self.process.complained
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz").is_success
        return False

    @contextlib.contextmanager
    def caller(self, account: Account, **options: Any) -> Iterator[httpx.Client]:
        """Somebody with the account's key."""
        with httpx.Client(base_url=self.url, headers=account.bearer, timeout=20, **options) as client:
            yield client


@dataclass(frozen=True)
class Usage:
    """What `gateway usage --json` says, with amounts as decimals."""

    document: dict[str, Any]

    @property
    def credits(self) -> dict[str, Decimal]:
        """The account's credits."""
        found: dict[str, Decimal] = self.document["credits"]
        return found

    @property
    def charged(self) -> dict[tuple[str, str], Decimal]:
        """Credits by product and mode."""
        return {(one["product"], one["mode"]): one["credits"] for one in self.document["buckets"]}

    @property
    def calls(self) -> int:
        """How many calls were charged."""
        return sum(int(one["calls"]) for one in self.document["buckets"])


class Place:
    """One data folder with its configuration: the gateway processes and commands that work on it."""

    def __init__(
        self,
        launcher: Launcher,
        upstream_url: str,
        *,
        environment: Mapping[str, str] | None = None,
        edit: Edit | None = None,
        routes: Edit | None = None,
    ) -> None:
        """The shipped configuration and `TEST_PLANS`, pointed at `upstream_url`; `edit` changes gateway.yaml."""
        self._launcher = launcher
        self._folder = tempfile.TemporaryDirectory(prefix="cgw-", dir="/tmp", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.data = self.folder / "data"
        self.config = self.folder / "config" / "gateway.yaml"
        shutil.copytree(ROOT / "config", self.config.parent)
        with (self.config.parent / "plans.yaml").open("a") as plans:
            plans.write(TEST_PLANS)
        for change, file in ((edit, self.config), (routes, self.config.parent / "routes.yaml")):
            if change is not None:
                document = yaml.safe_load(file.read_text())
                change(document)
                file.write_text(yaml.safe_dump(document, sort_keys=False))
        self.environment = {
            "GATEWAY_DATA": str(self.data),
            "GATEWAY_CONFIG": str(self.config),
            "GATEWAY_PORT": "0",
            "GATEWAY_ADMIN_PORT": "0",
            "REDIS_URL": "",
            "DATABASE_URL": "",
            **{f"{name}_URL": upstream_url for name in PRODUCTS},
            **{f"{name}_CREDENTIAL": DEMO_CREDENTIAL for name in PRODUCTS},
            **(environment or {}),
        }
        self._gateways: list[Gateway] = []
        self._clerk: Clerk | None = None

    def begin(self, *arguments: str, **environment: str) -> Gateway:
        """Starts a serving process and does not wait for it."""
        port, admin_port = free_port(), free_port()
        own = {"GATEWAY_PORT": str(port), "GATEWAY_ADMIN_PORT": str(admin_port), **environment}
        process = self._command("serve", *arguments, **own)
        gateway = Gateway(process, port, admin_port)
        self._gateways.append(gateway)
        return gateway

    def serve(self, *arguments: str, **environment: str) -> Gateway:
        """Starts a serving process, and waits until it is ready."""
        gateway = self.begin(*arguments, **environment)
        eventually(gateway.ready, within_s=START_WITHIN_S)
        return gateway

    def background(self) -> Running:
        """Starts a process that does only the background work."""
        return self._command("background")

    def cli(self, *arguments: str) -> dict[str, Any]:
        """What a command prints with --json; it must succeed."""
        process = self._command(*arguments, "--json")
        assert process.ended(START_WITHIN_S) == 0, process.complained
        document: dict[str, Any] = json.loads(process.printed, parse_float=Decimal, parse_int=Decimal)
        return document

    def account(self, plan: str, *, credits_: int | None = None, products: str | None = None) -> Account:
        """A new account with a key; `credits_` is what it is left with."""
        allowed = None if products is None else frozenset(products.split(","))
        opened, key = self.clerk.account(plan, credits_=credits_, products=allowed)
        return Account(opened.id, opened.project_id, key.id, key.secret)

    def key(self, account: Account, *arguments: str) -> dict[str, Any]:
        """One more key, made by the command."""
        return self.cli("key", "create", "--account", account.id, *arguments)

    def usage(self, account: Account) -> Usage:
        """An account's usage, by product and mode, with what is held: told once Redis can be asked."""

        def live() -> Usage | None:
            document = self.clerk.usage(account.id)
            return Usage(document) if document["live"] else None

        return eventually(live)

    def settled(self, account: Account, within_s: float = 25.0) -> Usage:
        """The account's usage once nothing is held any more."""

        def nothing_held() -> Usage | None:
            used = self.usage(account)
            return used if used.credits["held"] == 0 else None

        return eventually(nothing_held, within_s=within_s)

    def reconciled(self, account: Account) -> bool:
        """Whether books and Redis agree on an account."""
        report = self.clerk.reconciled(account.id)
        assert report.ok, report.differences
        return report.ok

    @property
    def clerk(self) -> Clerk:
        """Hired when first needed."""
        if self._clerk is None:
            self._clerk = Clerk(self.config, self.environment)
        return self._clerk

    @property
    def valkey_pid(self) -> int:
        """The embedded server's."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes()
                if b"valkey-server" in command and (process / "cwd").resolve() == self.data.resolve():
                    return int(process.name)
        raise AssertionError(f"no server runs in {self.data}")

    def close(self) -> None:
        """Ends what still runs here; the folder goes."""
        if self._clerk is not None:
            self._clerk.close()
        for gateway in self._gateways:
            gateway.process.signal(signal.SIGCONT)
            gateway.process.signal(signal.SIGTERM)
        for gateway in self._gateways:
            gateway.process.ended()
        self._folder.cleanup()

    def _command(self, *arguments: str, **environment: str) -> Running:
        return self._launcher.start(
            "gateway.edges.cli:main", *arguments, environment={**self.environment, **environment}
        )
