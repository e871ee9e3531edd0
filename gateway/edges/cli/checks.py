"""What `gateway doctor` looks at. Opens stores to read them; makes, migrates and changes nothing.

The one exception: where the embedded server is not running, it runs for the moment of the look.
"""

import asyncio
import os
import platform
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import httpx

from gateway.books.books import Books
from gateway.books.faults import BooksUnavailable
from gateway.config_files.problem import ConfigurationInvalid
from gateway.configuration import Configuration, load
from gateway.ledger.connection import RedisConnection
from gateway.ledger.faults import InvariantBroken, StoreUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.outbox import Outbox
from gateway.ledger.server import EmbeddedValkey
from gateway.ledger.server_process import EmbeddedServerError, find_binary
from gateway.plans_in_use import plans_gone
from gateway.settings import IsolatesBy, Settings, Upstream

UPSTREAM_PATIENCE_S: Final = 3.0
LATE_S: Final = 60
SKEW_WARN: Final = timedelta(seconds=1)
SKEW_FAIL: Final = timedelta(seconds=30)
DISK_WARN_BYTES: Final = 2**30
DISK_FAIL_BYTES: Final = 100 * 2**20
# Where it is there, and will not.
_BRING_BACK: Final = {
    "loading": "wait: it reads its files",
    "misconf": "look at its disk: it cannot write its files",
    "authentication": "mend the user or the password in redis.url",
}
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Status(StrEnum):
    """How a part is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: what is so, and how to mend it."""

    part: str
    status: Status
    said: str
    mend: str = ""


async def examine(config: Path) -> list[Finding]:
    """Everything that can be looked at; without a usable configuration, only versions and what is wrong with it."""
    findings = [_versions()]
    try:
        configuration = load(config)
    except ConfigurationInvalid as invalid:
        mend = "mend the file; `gateway config schema` helps an editor to"
        return findings + [Finding("config", Status.FAIL, str(problem), mend) for problem in invalid.problems]
    settings = configuration.settings
    findings.append(Finding("config", Status.OK, ", ".join(map(str, configuration.files))))
    findings += _data_folder(settings.data)
    findings += [finding async for finding in _redis(settings)]
    findings += await _books(configuration)
    findings += await asyncio.gather(*(_upstream(name, one) for name, one in settings.upstreams.items()))
    return findings


def _versions() -> Finding:
    names = ("credit-gateway", "redis", "SQLAlchemy", "starlette", "uvicorn")
    said = [f"Python {platform.python_version()}", f"{platform.system()} {platform.machine()}"]
    for name in names:
        try:
            said.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return Finding("versions", Status.OK, ", ".join(said))


def _data_folder(folder: Path) -> list[Finding]:
    part = "data folder"
    there = folder
    if not folder.exists():
        there = next((parent for parent in folder.parents if parent.exists()), Path("/"))
        findings = [Finding(part, Status.OK, f"{folder} is not there yet; the first start makes it")]
    else:
        findings = [_permissions(part, folder)]
    if not os.access(there, os.W_OK | os.X_OK):
        findings.append(Finding(part, Status.FAIL, f"{there} cannot be written", f"chown or chmod u+rwx {there}"))
    free = shutil.disk_usage(there).free
    status = Status.FAIL if free < DISK_FAIL_BYTES else Status.WARN if free < DISK_WARN_BYTES else Status.OK
    mend = "" if status is Status.OK else "free some space: a full disk stops both embedded stores"
    findings.append(Finding("disk", status, f"{free / 2**30:.1f} GiB free at {there}", mend))
    return findings


def _permissions(part: str, folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding(part, Status.FAIL, f"{folder} is no folder", "name another one as `data`")
    found = folder.stat()
    if found.st_uid != os.geteuid():
        return Finding(part, Status.WARN, f"{folder} belongs to another user", f"run as that user, or chown {folder}")
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        return Finding(part, Status.WARN, f"{folder} can be opened by other users", f"chmod 700 {folder}")
    pepper = folder / "pepper"
    if pepper.exists() and stat.S_IMODE(pepper.stat().st_mode) & _OTHERS:
        return Finding(part, Status.WARN, f"{pepper} can be read by other users", f"chmod 600 {pepper}")
    return Finding(part, Status.OK, str(folder))


async def _redis(settings: Settings) -> AsyncIterator[Finding]:
    async with AsyncExitStack() as stack:
        if settings.redis.url is not None:
            url, kind = settings.redis.url.get_secret_value(), "redis.url"
        else:
            kind = "embedded"
            try:
                if not settings.data.exists():
                    yield Finding("redis", Status.OK, f"embedded, not started yet: {find_binary()}")
                    return
                embedded = await stack.enter_async_context(EmbeddedValkey(settings.data))
            except (EmbeddedServerError, OSError) as broken:
                yield Finding("redis", Status.FAIL, str(broken), "mend that, or name a server as redis.url")
                return
            url = f"unix://{embedded.socket_path}"
        try:
            store = RedisConnection(url, call_timeout_ms=2_000, attempt_timeout_ms=2_000)
        except ValueError:
            # The text may hold a password, so it is not repeated.
            yield Finding("redis", Status.FAIL, "redis.url is not a URL", "write redis://, rediss:// or unix://")
            return
        await store.open()
        stack.push_async_callback(store.close)
        try:
            async for finding in _running_redis(store, kind):
                yield finding
        except StoreUnavailable as away:
            mend = _BRING_BACK.get(away.reason, "start it, or mend redis.url, its password or its network")
            yield Finding("redis", Status.FAIL, f"not available: {away.reason}", mend)


async def _running_redis(store: RedisConnection, kind: str) -> AsyncIterator[Finding]:
    ledger = Ledger(store)
    try:
        problems = await ledger.settings_check()
    except InvariantBroken:
        problems = ["its settings cannot be read; allow this user to run INFO"]
    for problem in problems:
        said, _, mend = problem.rpartition("; ")
        yield Finding("redis", Status.FAIL, said or problem, mend if said else "")
    if not problems:
        yield Finding("redis", Status.OK, f"{kind}, answers, keeps what it is told")
    yield await _clocks(store)
    lag = await Outbox(store).lag()
    late = lag.oldest_ms > LATE_S * 1000
    said = f"{lag.records} usage events wait to be booked, the oldest for {lag.oldest_ms / 1000:.0f} s"
    mend = "nobody books them: run `gateway serve` or `gateway background`" if late else ""
    yield Finding("outbox", Status.WARN if late else Status.OK, said, mend)


async def _clocks(store: RedisConnection) -> Finding:
    before = datetime.now(UTC)
    seconds, micros = (await store.on_every_node("TIME"))[0]
    after = datetime.now(UTC)
    there = datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))
    skew = max(before - there, there - after, timedelta())
    status = Status.FAIL if skew > SKEW_FAIL else Status.WARN if skew > SKEW_WARN else Status.OK
    mend = "" if status is Status.OK else "let NTP set both clocks: billing periods are read on either"
    return Finding("clocks", status, f"this host and Redis differ by {skew.total_seconds():.3f} s", mend)


async def _books(configuration: Configuration) -> list[Finding]:
    settings = configuration.settings
    part, file = "books", settings.data / "books.sqlite"
    if settings.books.url is None and not file.exists():
        return [Finding(part, Status.OK, f"{file} is not there yet; the first start makes it")]
    url = f"sqlite:///{file}" if settings.books.url is None else settings.books.url.get_secret_value()
    try:
        books = await Books.open(url, read_only=True)
        try:
            gone = await plans_gone(configuration, books, datetime.now(UTC))
        finally:
            await books.close()
    except BooksUnavailable as away:
        return [Finding(part, Status.FAIL, away.reason, "start the store, or mend books.url and its rights")]
    kind = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    answers = Finding(part, Status.OK, f"{kind} answers, with the tables of this version")
    mend = "with these files no gateway starts, and one that runs stays with those it has"
    return [answers, *(Finding("plans", Status.FAIL, str(problem), mend) for problem in gone)]


async def _upstream(name: str, upstream: Upstream) -> Finding:
    """Any HTTP answer will do: what it answers to a GET of its root is its own affair."""
    part, shown = f"upstream {name}", upstream.url
    try:
        async with httpx.AsyncClient(timeout=UPSTREAM_PATIENCE_S, trust_env=False) as client:
            answer = await client.get(upstream.url)
    except httpx.ConnectTimeout:
        problem = f"{shown} cannot be reached in {UPSTREAM_PATIENCE_S:.0f} s"
        return Finding(part, Status.FAIL, problem, f"check upstreams.{name}.url and the network")
    except httpx.TimeoutException:
        problem = f"{shown} accepts connections and does not answer"
        return Finding(part, Status.WARN, problem, "look at the service")
    except httpx.HTTPError as error:
        problem = f"{shown}: {str(error) or type(error).__name__}"
        return Finding(part, Status.FAIL, problem, f"start the service, or mend upstreams.{name}.url")
    if upstream.isolates_by is IsolatesBy.NOTHING:
        problem = f"{shown} answers ({answer.status_code}), and keeps accounts apart by nothing"
        return Finding(part, Status.WARN, problem, "its lists and files are off until isolates_by is headers")
    return Finding(part, Status.OK, f"{shown} answers ({answer.status_code})")
